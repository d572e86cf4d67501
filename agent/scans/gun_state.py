"""What the daemon keeps of a gun from scan to scan: a mark in the outbox, committed with the scan that changes it."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from drivers.scan_gun.capture import RawCapture


class GunState(msgspec.Struct, frozen=True):
    number: int = 0  # captures that it has given
    text: str | None = None  # of the last one, for the flag `repeated`
    context: dict[str, str] = {}  # as control cards said: step, product, batch
    voided: int = 0  # number of the capture that was voided last


class Numbered(NamedTuple):
    raw: RawCapture
    state: GunState  # after this capture
    repeated: bool  # the same text as the one before: two captures, the second flagged


def state_key(gun: str) -> str:
    return f"gun:{gun}"


def encoded(state: GunState) -> bytes:
    return msgspec.json.encode(state)


def number_captures(reads: Iterable[RawCapture], states: Mapping[str, GunState]) -> list[Numbered]:
    """Each capture's number of its gun, counted on from `states`, which stay as they are."""
    now = dict(states)
    found: list[Numbered] = []
    for read in reads:
        before = now.get(read.gun, GunState())
        again = not read.damaged and bool(before.number) and before.text == read.text
        text = None if read.damaged else read.text
        now[read.gun] = msgspec.structs.replace(before, number=before.number + 1, text=text)
        found.append(Numbered(read, now[read.gun], again))
    return found
