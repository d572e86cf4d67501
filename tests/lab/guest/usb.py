"""USB devices of a station, made by the kernel's own gadget drivers over configfs (Documentation/usb/gadget_configfs.rst).

Each of dummy_hcd's eight controllers is one USB port of the terminal: what is bound to `dummy_udc.N` is plugged into port N.
"""

import base64
import os
import select
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

_CONFIGFS = Path("/sys/kernel/config")
_GADGETS = _CONFIGFS / "usb_gadget"
_CONTROLLERS = Path("/sys/class/udc")
_MODULES = ("libcomposite", "dummy_hcd", "usbhid", "hid-generic", "cdc-acm", "usblp", "ftdi_sio")


def ready() -> None:
    """Load the gadget drivers."""
    if not (_GADGETS.is_dir() and _CONTROLLERS.is_dir()):
        subprocess.run(["modprobe", "-a", *_MODULES], check=True)
        if not _GADGETS.is_dir():
            subprocess.run(["mount", "-t", "configfs", "none", _CONFIGFS], check=True)


def create(
    name: str, function: str, ids: dict[str, str], attributes: dict[str, str], port: int | None
) -> dict[str, Any]:
    """Create a device, plugged in. `function` is of configfs (`hid`, `acm`, `printer`); attributes in base64."""
    ready()
    gadget = _GADGETS / name
    gadget.mkdir()
    for attribute in ("idVendor", "idProduct"):
        _write(gadget / attribute, ids[attribute])
    _write(gadget / "bcdUSB", "0x0200")
    strings = gadget / "strings/0x409"
    strings.mkdir()
    for attribute in ("manufacturer", "product", "serialnumber"):
        if ids.get(attribute):
            _write(strings / attribute, ids[attribute])
    configuration = gadget / "configs/c.1"
    configuration.mkdir()
    part = gadget / "functions" / f"{function}.{name}"
    part.mkdir()
    for attribute, value in attributes.items():
        _write(part / attribute, base64.b64decode(value))
    (configuration / part.name).symlink_to(part)
    return {"port": plug(name, port), "node": node(name)}


def plug(name: str, port: int | None = None) -> int:
    """Plug it into that port, else into its previous one, else into the first free one."""
    kept = Path(f"/run/lab.{name}.port")
    taken = {_read(gadget / "UDC") for gadget in _GADGETS.iterdir()}
    free = [n for n in range(len(list(_CONTROLLERS.iterdir()))) if f"dummy_udc.{n}" not in taken]
    before = int(kept.read_text()) if kept.exists() else None
    if port is None:
        port = before if before in free else free[0]
    _write(_GADGETS / name / "UDC", f"dummy_udc.{port}")
    kept.write_text(str(port))
    return port


def unplug(name: str) -> None:
    """Unplug it: the kernel has removed the device (udev may still be busy)."""
    gadget = _GADGETS / name
    there = _host_side(_read(gadget / "UDC"))
    _write(gadget / "UDC", "\n")
    while there is not None and there.exists():
        time.sleep(0.005)


def remove(name: str) -> None:
    gadget = _GADGETS / name
    if _read(gadget / "UDC"):
        unplug(name)
    for link in (gadget / "configs/c.1").iterdir():
        if link.is_symlink():
            link.unlink()
    for folder in (gadget / "configs/c.1", *(gadget / "functions").iterdir(), gadget / "strings/0x409", gadget):
        folder.rmdir()


def replug_often(name: str, times: int, apart_s: float) -> list[dict[str, float]]:
    """Unplug and plug N times; return the time since boot of each, in ms."""
    moments: list[dict[str, float]] = []
    for _ in range(times):
        out = _boot_ms()
        unplug(name)
        time.sleep(apart_s)
        moments.append({"out_ms": out, "in_ms": _boot_ms()})
        plug(name)
        time.sleep(apart_s)
    return moments


def write_serial(name: str, data: str) -> None:
    """Bytes (base64) from the gun's end of its serial line."""
    line = os.open(node(name), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        waiting = base64.b64decode(data)
        while waiting:
            if not select.select([], [line], [], 5)[1]:
                raise TimeoutError(f"nobody reads what {name} sends")
            waiting = waiting[os.write(line, waiting) :]
    finally:
        os.close(line)


def node(name: str) -> str:
    """The device's own end: the terminal receives what is written there."""
    (part,) = (_GADGETS / name / "functions").iterdir()
    function = part.name.partition(".")[0]
    if function == "acm":
        path = f"/dev/ttyGS{_read(part / 'port_num')}"
        subprocess.run(["stty", "-F", path, "raw", "-echo"], check=True)
        return path
    if function == "hid":
        return "/dev/" + Path(f"/sys/dev/char/{_read(part / 'dev')}").resolve().name
    (printer_node,) = Path("/dev").glob("g_printer0")  # f_printer does not report its own number: one printer at a time
    return str(printer_node)


def in_background(what: Any, *arguments: Any) -> None:
    threading.Thread(target=what, args=arguments, daemon=True).start()


def _host_side(controller: str) -> Path | None:
    number = controller.rpartition(".")[2]
    found = list(Path(f"/sys/devices/platform/dummy_hcd.{number}").glob("usb*/*-*/idVendor")) if number else []
    return found[0].parent if found else None


def _boot_ms() -> float:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6


def _read(path: Path) -> str:
    return path.read_text(errors="replace").strip()


def _write(path: Path, value: str | bytes) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(value if isinstance(value, bytes) else value.encode())
