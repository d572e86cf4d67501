"""A gun that types: texts to the events of linux/input.h, as a recording's lines or as struct input_event."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from evdev import ecodes as e

from drivers.scan_gun.capture import RawCapture
from drivers.scan_gun.decoding.keys import US
from drivers.scan_gun.replay.replay import replay
from drivers.scan_gun.sources.evdev import EVENT

Event = tuple[float, int, int, int]  # seconds, type, code, value

_KEYS = {c: (code, c != pair[0]) for code, pair in US.items() for c in pair} | {"\n": (e.KEY_ENTER, False)}
KEYPAD = [e.KEY_KP0, e.KEY_KP1, e.KEY_KP2, e.KEY_KP3, e.KEY_KP4, e.KEY_KP5, e.KEY_KP6, e.KEY_KP7, e.KEY_KP8, e.KEY_KP9]


class Typist:
    """Types as a gun does: each edge one report, `step_s` between two characters. Collects events; the clock is its own."""

    def __init__(self, t: float = 10.0, step_s: float = 0.004) -> None:
        self.t, self.step_s = t, step_s
        self.events: list[Event] = []

    def edge(self, code: int, value: int) -> "Typist":
        self.events.append((self.t, e.EV_MSC, e.MSC_SCAN, 0x70000 + code))
        self.events.append((self.t, e.EV_KEY, code, value))
        self.events.append((self.t, e.EV_SYN, e.SYN_REPORT, 0))
        self.t += 0.001
        return self

    def key(self, code: int, *held: int) -> "Typist":
        for modifier in held:
            self.edge(modifier, 1)
        self.edge(code, 1).edge(code, 0)
        for modifier in reversed(held):
            self.edge(modifier, 0)
        self.t += self.step_s
        return self

    def type(self, text: str) -> "Typist":
        for c in text:
            if c < " " and c not in "\n\t\b\x1b":
                self.key(_KEYS[chr(ord(c) + 64).lower()][0], e.KEY_LEFTCTRL)
            else:
                code, shifted = _KEYS[c]
                self.key(code, *([e.KEY_LEFTSHIFT] if shifted else []))
        return self

    def alt(self, digits: str) -> "Typist":
        self.edge(e.KEY_LEFTALT, 1)
        for d in digits:
            self.key(KEYPAD[int(d)])
        return self.edge(e.KEY_LEFTALT, 0)

    def event(self, kind: int, code: int, value: int) -> "Typist":
        self.events.append((self.t, kind, code, value))
        return self

    def wait(self, seconds: float) -> "Typist":
        self.t += seconds
        return self

    def lines(self, device: str | None = None) -> list[str]:
        return [line for _, line in timed_lines(self.events, device)]

    def raw(self) -> bytes:
        return b"".join(
            EVENT.pack(int(ms) // 1000, int(ms) % 1000 * 1000, kind, code, value)
            for ms, kind, code, value in ((round(t * 1000), k, c, v) for t, k, c, v in self.events)
        )


def timed_lines(events: Iterable[Event], device: str | None = None) -> list[tuple[float, str]]:
    found: list[tuple[float, str]] = []
    for t, kind, code, value in events:
        name = e.bytype[kind].get(code, code)
        entry: dict[str, Any] = {
            "t": t,
            "type": e.EV[kind],
            "code": name if isinstance(name, str) else name[0],
            "value": value,
        }
        found.append((t, json.dumps(entry | ({"device": device} if device else {}))))
    return found


@pytest.fixture
def typist() -> type[Typist]:
    return Typist


@pytest.fixture
def typed() -> Callable[..., list[RawCapture]]:
    """Captures of what a typist typed, through `replay`, with options of the gun's table."""

    def run(typist: Typist, **config: Any) -> list[RawCapture]:
        return list(replay([json.dumps({"config": config}), *typist.lines()], "evdev"))

    return run


@pytest.fixture
def sent() -> Callable[..., list[RawCapture]]:
    """Captures of what a serial or HID POS gun sent: bytes, or (seconds, bytes)."""

    def run(*chunks: bytes | tuple[float, bytes], source: Any = "serial", **config: Any) -> list[RawCapture]:
        lines = [json.dumps({"config": config})]
        for i, chunk in enumerate(chunks):
            t, data = chunk if isinstance(chunk, tuple) else (1.0 + i, chunk)
            lines.append(json.dumps({"t": t, "hex": data.hex()}))
        return list(replay(lines, source))

    return run
