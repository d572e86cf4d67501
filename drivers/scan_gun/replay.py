"""A recording to captures, on the recording's own times, by the same decoders as the live path.

JSON lines; the first may be `{"config": {...}}` with options of the gun's table:

    evdev             {"t": seconds, "type": "EV_KEY", "code": "KEY_A", "value": 1}     several guns: "device": "name"
    serial, hidpos    {"t": seconds, "hex": "..."}                                      (hidpos: one report a line)

The end of the file counts as silence.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, cast

import msgspec

from drivers.reading import YinongError
from drivers.scan_gun.capture import Capture, Source
from drivers.scan_gun.driver import ScanGun
from drivers.scan_gun.evdev_source import EvdevDecoder
from drivers.scan_gun.framing import Framer
from drivers.scan_gun.hidpos_source import HidposDecoder
from drivers.scan_gun.serial_source import SerialDecoder


class BadRecording(YinongError):  # noqa: N818
    """A line of the recording is not of the documented form; says which and why."""


class _Event(msgspec.Struct):
    t: float
    type: str | int
    code: str | int
    value: int
    device: str | None = None


class _Chunk(msgspec.Struct):
    t: float
    hex: str
    device: str | None = None


def replay(lines: Iterable[str], source: Source) -> Iterator[Capture]:
    """The captures of a recording, in the order in which they ended. Errors: BadRecording."""
    options: dict[str, Any] = {}
    guns: dict[str | None, _Gun] = {}
    started = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if not started and isinstance(entry, dict) and "config" in entry:
                options = dict(cast("dict[str, Any]", entry["config"]))
                started = True
                _gun(options, None, source)  # a wrong option is told of also where no line follows
                continue
            started = True
            what = msgspec.convert(entry, _Event if source == "evdev" else _Chunk)
            gun = guns.get(what.device) or guns.setdefault(what.device, _gun(options, what.device, source))
            told = gun.feed(what)
        except (ValueError, TypeError, OverflowError, msgspec.ValidationError) as error:
            raise BadRecording(f"line {number}: {error}") from error
        at_ms = round(what.t * 1000)
        for other in guns.values():  # a gun that is silent while another one types
            if other is not gun:
                yield from other.framer.quiet(at_ms)
        yield from told
    for gun in guns.values():
        yield from gun.framer.silence()


def printed(capture: Capture) -> dict[str, Any]:
    """A capture of a replay as its JSON line: times in seconds of the recording."""
    fields = cast("dict[str, Any]", msgspec.to_builtins(capture))
    start_ms, end_ms = fields.pop("start_mono_ms"), fields.pop("end_mono_ms")
    return fields | {"start": start_ms / 1000, "end": end_ms / 1000}


class _Gun:
    def __init__(self, gun: ScanGun, source: Source, identity: str) -> None:
        self.framer = Framer(gun.id, identity, source, gun.framing)
        self._keys = EvdevDecoder(self.framer, gun.caps)
        self._bytes = SerialDecoder(self.framer) if source == "serial" else HidposDecoder(self.framer)

    def feed(self, what: _Event | _Chunk) -> list[Capture]:
        at_ms = round(what.t * 1000)
        if isinstance(what, _Chunk):
            return self._bytes.feed(bytes.fromhex(what.hex), at_ms)
        kind = _number(what.type)
        return self._keys.event(at_ms, kind, _number(what.code), what.value)


def _gun(options: dict[str, Any], device: str | None, source: Source) -> _Gun:
    table = {key: value for key, value in options.items() if key not in ("class", "grab")}
    table = {"id": device or "gun"} | table | ({"id": device} if device else {})
    return _Gun(msgspec.convert(table, ScanGun), source, device or "recording")


def _number(name: str | int) -> int:
    from evdev import ecodes

    if isinstance(name, int):
        return name
    number = ecodes.ecodes.get(name)
    if not isinstance(number, int):
        raise ValueError(f"no event name: {name}")
    return number
