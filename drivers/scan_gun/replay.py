"""A recording to captures, on the recording's own times, by the same decoders as the live path.

JSON lines; the first may be `{"config": {...}}` with options of the gun's table:

    evdev             {"t": seconds, "type": "EV_KEY", "code": "KEY_A", "value": 1}     several guns: "device": "name"
    serial, hidpos    {"t": seconds, "hex": "..."}                                      (hidpos: one report a line)

The end of the file counts as silence. What `recording` adds: `"error": true` (a byte that came broken) and the lines
`{"t": seconds, "mark": "opened" | "quiet" | "unplugged" | "stopped"}`. After `opened` a gap in the times of bytes is no
silence, as it is none while they are read: only `quiet` is.
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
from drivers.scan_gun.keys import Caps
from drivers.scan_gun.recording import Entry, Mark
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
    error: bool = False
    device: str | None = None


class _Marked(msgspec.Struct):
    t: float
    mark: Mark
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
            what = msgspec.convert(entry, _kind_of(entry, source))
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


def replay_into(framer: Framer, entries: Iterable[Entry], source: Source) -> None:
    """Feed a framer with entries of one gun; its captures go nowhere. Errors: BadRecording."""
    gun = _Gun(framer, source, "ignore")
    for number, entry in enumerate(entries, 1):
        try:
            gun.feed(msgspec.convert(entry, _kind_of(entry, source)))
        except (ValueError, TypeError, OverflowError, msgspec.ValidationError) as error:
            raise BadRecording(f"entry {number}: {error}") from error


class _Gun:
    def __init__(self, framer: Framer, source: Source, caps: Caps) -> None:
        self.framer, self._source, self._caps = framer, source, caps
        self._keys = EvdevDecoder(self.framer, caps)
        self._serial, self._hidpos = SerialDecoder(self.framer), HidposDecoder(self.framer)

    def feed(self, what: _Event | _Chunk | _Marked) -> list[Capture]:
        at_ms = round(what.t * 1000)
        if isinstance(what, _Marked):
            return self._marked(what.mark, at_ms)
        if isinstance(what, _Chunk):
            broken = self._serial.line_error(at_ms) if what.error else []
            decoder = self._serial if self._source == "serial" else self._hidpos
            return broken + decoder.feed(bytes.fromhex(what.hex), at_ms)
        kind = _number(what.type)
        return self._keys.event(at_ms, kind, _number(what.code), what.value)

    def _marked(self, mark: Mark, at_ms: int) -> list[Capture]:
        if mark == "quiet":
            return self.framer.quiet(at_ms)
        if mark != "opened":
            self._keys = EvdevDecoder(self.framer, self._caps)  # a gun that is opened again has no key down
            return self.framer.gone(at_ms, mark)
        self._keys.opened(at_ms)
        self.framer.stamped = self._source == "evdev"
        return []


def _kind_of(entry: Any, source: Source) -> type[_Event | _Chunk | _Marked]:
    if isinstance(entry, dict) and "mark" in entry:
        return _Marked
    return _Event if source == "evdev" else _Chunk


def _gun(options: dict[str, Any], device: str | None, source: Source) -> _Gun:
    table = {key: value for key, value in options.items() if key not in ("class", "grab")}
    table = {"id": device or "gun"} | table | ({"id": device} if device else {})
    gun = msgspec.convert(table, ScanGun)
    return _Gun(Framer(gun.id, device or "recording", source, gun.framing), source, gun.caps)


def _number(name: str | int) -> int:
    from evdev import ecodes

    if isinstance(name, int):
        return name
    number = ecodes.ecodes.get(name)
    if not isinstance(number, int):
        raise ValueError(f"no event name: {name}")
    return number
