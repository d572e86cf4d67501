"""The state of a gun from scan to scan: kept in the outbox, committed with the scan that changes it."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from drivers.scan_gun.capture import RawCapture


class GunState(msgspec.Struct, frozen=True):
    number: int = 0  # captures of this gun so far
    text: str | None = None  # of the last one, for the flag `repeated`
    context: dict[str, str] = {}  # set by control cards: step, product, batch
    voided: int = 0  # number of the capture that was voided last


class Numbered(NamedTuple):
    raw: RawCapture
    state: GunState  # after this capture
    repeated: bool  # the same text as the one before: two captures, the second flagged


def state_key(gun: str) -> str:
    return f"gun:{gun}"


def encoded(state: GunState) -> bytes:
    return msgspec.json.encode(state)


def number_captures(raws: Iterable[RawCapture], states: Mapping[str, GunState]) -> list[Numbered]:
    """Number the captures of each gun, continuing from `states`, which are not changed."""
    latest = dict(states)
    result: list[Numbered] = []
    for raw in raws:
        before = latest.get(raw.gun, GunState())
        repeated = not raw.damaged and bool(before.number) and before.text == raw.text
        text = None if raw.damaged else raw.text
        latest[raw.gun] = msgspec.structs.replace(before, number=before.number + 1, text=text)
        result.append(Numbered(raw, latest[raw.gun], repeated))
    return result
