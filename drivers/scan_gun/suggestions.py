"""For the operator: the table in agent.toml for a node that could be a gun, and which mode it is in."""

from drivers.reading import Found, Scalar
from drivers.scan_gun.identity import MAKERS, Candidate

_MODE = {
    "evdev": "键盘模式；请把扫码枪切换到 USB 串口（CDC）或 HID POS 模式，中文和特殊字符才不会丢失"
    " / keyboard mode: switch this gun to CDC or HID POS for lossless Chinese",
    "serial": "串口模式 / serial mode",
    "hidpos": "HID POS 模式 / HID POS mode",
}
_MAYBE = "不确定是不是扫码枪，请先确认再写入配置 / perhaps no scan gun: make sure before you configure it"
_NO_SERIAL = "没有序列号，按 USB 接口识别，请勿换接口 / no serial number: known by its USB socket, leave it there"


def suggest(c: Candidate) -> Found:
    """What `find` reports for a candidate."""
    options: dict[str, Scalar] = {"source": c.source}
    notes = [_MODE[c.source] if c.likely == "gun" else _MAYBE]
    if not c.vendor:
        options["port"] = str(c.node)
    else:
        options["usb"] = c.usb
        if not c.serial:
            options["usb_port"] = c.usb_port
            notes.append(_NO_SERIAL)
    if c.likely == "gun" and c.serial and c.source != "evdev":
        del options["source"]  # any mode of this gun is accepted, the lossless ones preferred
    label = c.name or MAKERS.get(c.vendor, "") or c.node.name
    return Found(
        device_class="scan_gun",
        identity=c.identity,
        label=label,
        options=options,
        note="; ".join(notes),
    )
