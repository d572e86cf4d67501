"""One thousand scans as guns type them, by kind: text and key events, the same for whoever reads them."""

import random
from typing import NamedTuple

from evdev import ecodes as e
from stage import ROOT  # noqa: F401 - puts the repository on the path

from tests.drivers.scan_gun.conftest import Event, Typist

FULL = 1000
SHARES = {  # of 1,000
    "EAN-13": 250,
    "GS1 with GS by Ctrl+]": 150,
    "Chinese by Alt codes": 150,
    "a held Shift": 100,
    "left and right Shift at once": 50,
    "seed label, four lines": 50,
    "two guns interleaved": 100,
    "three waiting in one read": 90,
    "SYN_DROPPED in the middle": 20,
    "consumer stalled for 2 s": 40,
}
DROPPED = 40  # events that the kernel threw away; its ring holds 64


class Scan(NamedTuple):
    text: str
    events: list[Event]  # times are of no account


def mix(scans: int) -> dict[str, list[Scan]]:
    """By kind, no text twice. Deterministic."""
    seeded = random.Random(20261125)
    made: dict[str, list[Scan]] = {}
    number = 0
    for kind, share in SHARES.items():
        together = 3 if kind.startswith("three") else 2
        amount = max(together, share * scans // FULL // together * together)
        made[kind] = [_scan(kind, number + n, seeded) for n in range(amount)]
        number += amount
    return made


def _scan(kind: str, number: int, seeded: random.Random) -> Scan:
    gun = Typist()
    if kind.startswith("GS1"):
        return typed(f"010690123456789210L{number:05}\x1d21{seeded.randrange(10**6):06}")
    if kind.startswith("Chinese"):
        return _with_hanzi(gun, f"桂融水{number:05}笔记")
    if "Shift" in kind:
        return _held_shift(gun, f"AbCDEfg-{number:05}-XYZq", both=kind.startswith("left"))
    if kind.startswith("seed"):
        return _with_hanzi(gun, f"登海605\n某某种业\n45022500{number:08}\nhttp://seed.example.cn/{number}")
    scan = typed(f"69{seeded.randrange(10**6):06}{number:05}")
    return scan._replace(events=_dropped(scan.events)) if kind.startswith("SYN") else scan


def typed(text: str) -> Scan:
    return Scan(text, Typist().type(text + "\n").events)


def _with_hanzi(gun: Typist, text: str) -> Scan:
    """Hanzi as the decimals of their Unicode code points."""
    for character in text:
        gun.type(character) if character.isascii() else gun.alt(str(ord(character)))
    return Scan(text, gun.type("\n").events)


def _held_shift(gun: Typist, text: str, *, both: bool) -> Scan:
    """Shift goes down once for a run of capitals; `both`: the other one is tapped meanwhile."""
    shift_down = False
    for character in text:
        upper = character.isupper()
        if upper != shift_down:
            gun.edge(e.KEY_LEFTSHIFT, int(upper))
            if upper and both:
                gun.edge(e.KEY_RIGHTSHIFT, 1).edge(e.KEY_RIGHTSHIFT, 0)
            shift_down = upper
        gun.type(character.lower())
    if shift_down:
        gun.edge(e.KEY_LEFTSHIFT, 0)
    return Scan(text, gun.type("\n").events)


def _dropped(events: list[Event]) -> list[Event]:
    at = len(events) // 3
    return [*events[:at], (events[at][0], e.EV_SYN, e.SYN_DROPPED, 0), *events[at + DROPPED :]]
