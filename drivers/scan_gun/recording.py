"""The input of an open gun as lines, from which `replay` produces the same captures. The README describes the format."""

import json
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, cast

import msgspec

from drivers.scan_gun.options import ScanGunOptions

Entry: TypeAlias = dict[str, Any]
OnEntry: TypeAlias = Callable[[Entry], None]  # receives one entry of the recording; called in the loop's thread
Mark: TypeAlias = Literal["opened", "quiet", "unplugged", "stopped"]


def first_line(options: ScanGunOptions) -> str:
    """The first line of a recording: the options that differ from the default."""
    values = cast("dict[str, Any]", msgspec.to_builtins(options))
    defaults = cast("dict[str, Any]", msgspec.to_builtins(type(options)(id=options.id)))
    return line({"config": {key: value for key, value in values.items() if key == "id" or value != defaults[key]}})


def line(entry: Entry) -> str:
    return json.dumps(entry, ensure_ascii=False)


def key_entry(at_ms: int, kind: int, code: int, value: int) -> Entry:
    from evdev import ecodes as e

    name = cast("str | int | tuple[str, ...]", e.bytype.get(kind, {}).get(code, code))
    shown = name if isinstance(name, str | int) else name[0]
    return {"t": at_ms / 1000, "type": str(e.EV.get(kind, kind)), "code": shown, "value": value}


def bytes_entry(at_ms: int, data: bytes, *, error: bool = False) -> Entry:
    """`error`: the serial line marked a byte as broken (parity, framing, break)."""
    return {"t": at_ms / 1000, "hex": data.hex()} | ({"error": True} if error else {})


def cause_mark(cause: str) -> Mark:
    return "stopped" if cause == "stopped" else "unplugged"


def mark_entry(at_ms: int, mark: Mark) -> Entry:
    """Other events that the captures depend on: when the gun was opened, when it was found silent, how reading ended."""
    return {"t": at_ms / 1000, "mark": mark}
