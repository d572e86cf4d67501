"""`inspect`: the reading that results from a recorded raw answer, or from the text of a scan."""

import sys
from pathlib import Path
from typing import Literal

from agent.cli.config import unusable
from agent.cli.output import ShownAs, Terms, console, device_table, print_json
from agent.configuration.settings import load
from agent.devices.state import DeviceState, device_json
from common.clock import SystemClock, rfc3339
from common.codes.platforms import PlatformRule
from drivers.catalogue import refused_by_system
from drivers.reading import Condition, Reading, YinongError

MOST_BYTES = 4 << 20
SHOWN_AS: dict[str, ShownAs] = {
    "screen": ShownAs(("屏幕参数", "screen data")),
    "printer": ShownAs(("打印机数据", "printer data")),
    "scan": ShownAs(
        ("条码内容", "scanned text"),
        {Condition.WORKING: ("格式正确", "of the right form"), Condition.ATTENTION: ("有问题", "something is wrong"),
         Condition.UNKNOWN: ("未识别", "not understood")},
    ),
}  # fmt: skip


def inspect(say: Terms, what: Literal["screen", "printer", "scan"], source: str, config: Path, *, as_json: bool) -> int:
    """Exit code 0: read; 2: the file cannot be read. For a scan, the platform rules of `config` apply if that file exists."""
    seen = _seen(say, what, source, config)
    if as_json:
        print_json(device_json(seen, say.lang))
    else:
        console().print(device_table([device_json(seen, say.lang)], say, SHOWN_AS[what]))
        for name, value in seen.reading.measures.items():
            print(f"{name}: {'—' if value is None else value}")
    return 0


def _seen(say: Terms, what: Literal["screen", "printer", "scan"], source: str, config: Path) -> DeviceState:
    if what == "screen":
        from drivers.led_screen.driver import inspect_edid

        device_class, reading = "led_screen", inspect_edid(_bytes(say, source))
    elif what == "printer":
        from drivers.printer.driver import inspect_ipp

        device_class, reading = "printer", inspect_ipp(_bytes(say, source))
    else:
        from common.codes.meaning import inspect_scan

        device_class, reading = "scan_gun", inspect_scan(_text(source), _platforms(say, config))
    return _stamped(device_class, reading)


def _platforms(say: Terms, config: Path) -> tuple[PlatformRule, ...]:
    """The platform rules; none, with a warning, if the file cannot be used: the scan can be read without them."""
    if not config.exists():
        return ()
    loaded = load(config)
    if loaded.settings is None:
        print(unusable(say, config, loaded.mistakes), file=sys.stderr)
        print(say("平台规则未采用", "read without rules for platforms"), file=sys.stderr)
        return ()
    return loaded.settings.platform


def _stamped(device_class: str, reading: Reading) -> DeviceState:
    clock = SystemClock()
    return DeviceState(device_class, "inspected", reading, rfc3339(clock.now()), clock.quality())


def _bytes(say: Terms, source: str) -> bytes:
    try:
        with Path(source).open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError as error:
        raise YinongError(
            say(f"无法读取 {source}：{refused_by_system(error)}", f"cannot read {source}: {error.strerror}")
        ) from error


def _text(source: str) -> str:
    """The text itself, or the content of a file of this name if there is one (a GS cannot be typed in a shell)."""
    try:
        path = Path(source)
        if path.is_file():
            return path.read_bytes()[:MOST_BYTES].decode("utf-8", "replace")
    except (OSError, ValueError):
        pass
    return source
