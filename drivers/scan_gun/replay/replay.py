"""A recording to captures, with the recording's own times, by the same decoders as the live path.

JSON lines; the first may be `{"config": {...}}` with options of the gun's table:

    evdev             {"t": seconds, "type": "EV_KEY", "code": "KEY_A", "value": 1}     several guns: "device": "name"
    serial, hidpos    {"t": seconds, "hex": "..."}                                      (hidpos: one report a line)

A device's lines are in the order of its events; a time that goes backwards in mid-scan damages the scan (`out_of_order`).
The end of the file counts as silence. `recording` adds `"error": true` (a byte with a line error) and the lines
`{"t": seconds, "mark": "opened" | "quiet" | "unplugged" | "stopped"}`. After `opened` a gap between the times of bytes is not
silence, as in live reading: only `quiet` is.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, TypeAlias, cast

import msgspec
from evdev import ecodes
from msgspec import Meta

from drivers.scan_gun.capture import RawCapture, Source
from drivers.scan_gun.decoding.framing import Framer
from drivers.scan_gun.decoding.keys import Caps
from drivers.scan_gun.options import ScanGunOptions
from drivers.scan_gun.recording import Entry, Mark
from drivers.scan_gun.replay.errors import bad_form, not_json, wrong_option
from drivers.scan_gun.sources.evdev import EvdevDecoder
from drivers.scan_gun.sources.hidpos import HidposDecoder
from drivers.scan_gun.sources.serial_port import SerialDecoder

Seconds: TypeAlias = Annotated[float, Meta(ge=-1e10, le=1e10)]
Number: TypeAlias = Annotated[int, Meta(ge=0, le=0xFFFF)]


class _Event(msgspec.Struct):
    t: Seconds
    type: str | Number
    code: str | Number
    value: int
    device: str | None = None


class _Chunk(msgspec.Struct):
    t: Seconds
    hex: str
    error: bool = False
    device: str | None = None


class _Marked(msgspec.Struct):
    t: Seconds
    mark: Mark
    device: str | None = None


def replay(lines: Iterable[str], source: Source) -> Iterator[RawCapture]:
    """The captures of a recording, in the order in which they ended. Errors: BadRecording."""
    options: dict[str, Any] = {}
    guns: dict[str | None, _Gun] = {}
    started = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entry = _parsed(line, number)
        if not started and isinstance(entry, dict) and "config" in entry:
            options = _options(cast("dict[str, Any]", entry)["config"], source, number)
            started = True
            continue
        started = True
        try:
            parsed = msgspec.convert(entry, _kind_of(entry, source))
            gun = guns.get(parsed.device) or guns.setdefault(parsed.device, _gun(options, parsed.device, source))
            captures = gun.feed(parsed)
        except (ValueError, msgspec.ValidationError) as error:
            raise bad_form(number, entry, error, source) from error
        at_ms = round(parsed.t * 1000)
        for other in guns.values():  # guns that are silent while another one types
            if other is not gun:
                yield from other.framer.quiet(at_ms)
        yield from captures
    for gun in guns.values():
        yield from gun.framer.silence()


def _parsed(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise not_json(number, error) from error


def _options(config: Any, source: Source, number: int) -> dict[str, Any]:
    """Checks the options immediately, so that an invalid one is reported even if no line follows."""
    if not isinstance(config, dict):
        raise wrong_option(number, f"expected an object, got {json.dumps(config)[:40]}")
    options = cast("dict[str, Any]", config)
    try:
        _gun(options, None, source)
    except (ValueError, msgspec.ValidationError) as error:
        raise wrong_option(number, str(error)) from error
    return options


def replay_into(framer: Framer, entries: Iterable[Entry], source: Source) -> None:
    """Feed a framer with entries of one gun; its captures are discarded. Errors: BadRecording."""
    gun = _Gun(framer, source, "ignore")
    for number, entry in enumerate(entries, 1):
        try:
            gun.feed(msgspec.convert(entry, _kind_of(entry, source)))
        except (ValueError, msgspec.ValidationError) as error:
            raise bad_form(number, entry, error, source) from error


class _Gun:
    def __init__(self, framer: Framer, source: Source, caps: Caps) -> None:
        self.framer, self._source = framer, source
        self._caps: Caps = caps
        self._keys = EvdevDecoder(self.framer, caps)
        self._serial, self._hidpos = SerialDecoder(self.framer), HidposDecoder(self.framer)
        self._last_ms: int | None = None

    def feed(self, entry: _Event | _Chunk | _Marked) -> list[RawCapture]:
        """Errors: ValueError."""
        at_ms = round(entry.t * 1000)
        back = self._last_ms is not None and at_ms < self._last_ms and self.framer.scanning
        captures = self.framer.damage("out_of_order", at_ms, lost=False) if back else []
        self._last_ms = at_ms
        return captures + self._captures(entry, at_ms)

    def _captures(self, entry: _Event | _Chunk | _Marked, at_ms: int) -> list[RawCapture]:
        if isinstance(entry, _Marked):
            return self._marked(entry.mark, at_ms)
        if isinstance(entry, _Chunk):
            broken = self._serial.line_error(at_ms) if entry.error else []
            decoder = self._serial if self._source == "serial" else self._hidpos
            return broken + decoder.feed(bytes.fromhex(entry.hex), at_ms)
        kind = _event_type(entry.type)
        return self._keys.event(at_ms, kind, _event_code(kind, entry.code), entry.value)

    def _marked(self, mark: Mark, at_ms: int) -> list[RawCapture]:
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
    table = {key: value for key, value in options.items() if key != "class"}
    table = {"id": device or "gun"} | table | ({"id": device} if device else {})
    gun = msgspec.convert(table, ScanGunOptions)
    gun.id.encode()  # half a surrogate pair, which JSON can escape, cannot be printed
    return _Gun(Framer(gun.id, device or "recording", source, gun.framing), source, gun.caps)


def _event_type(name: str | int) -> int:
    if isinstance(name, int):
        return name
    number = ecodes.ecodes.get(name) if name.startswith("EV_") else None
    if not isinstance(number, int):
        raise ValueError(f"no event type: {name}")
    return number


def _event_code(kind: int, name: str | int) -> int:
    """A key name that this machine's table does not contain counts as a key without a character."""
    if isinstance(name, int):
        return name
    beginnings = ("KEY_", "BTN_") if kind == ecodes.EV_KEY else (f"{ecodes.EV.get(kind, kind)}_".removeprefix("EV_"),)
    number = ecodes.ecodes.get(name) if name.startswith(beginnings) else None
    if isinstance(number, int):
        return number
    if kind == ecodes.EV_KEY and name.startswith(beginnings):
        return ecodes.KEY_UNKNOWN
    raise ValueError(f"no code of {ecodes.EV.get(kind, kind)}: {name}")
