"""Boot-clock correction: the wall time of records that were stamped before the clock was synchronised. Pure.

Every record carries its boot and its monotonic time. One record of the same boot with a synchronised clock fixes the wall time
of the whole boot. The wall time of a boot without such a record stays unknown; it is never guessed.

A capture's own `at` is the time of its commit; its last key came `mono_ms - end_mono_ms` before (`scanned_at`).
"""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from common.clock import ClockQuality

CLOCK_SYNCED = "clock_synced"  # the journal entry that is written when the clock becomes synchronised
MIN_GAP_MS = 600_000  # sync points of one boot nearer than this add nothing


class SyncPoint(NamedTuple):
    """A trusted wall time and the monotonic time of its boot at that moment."""

    at: datetime
    mono_ms: int


class BootClocks:
    """Sync points of each boot; memory grows with hours, not with records."""

    def __init__(self) -> None:
        self._boots: dict[str, list[SyncPoint]] = {}  # sorted by monotonic time

    def learn(self, boot: str, mono_ms: int, at: str, clock: ClockQuality) -> None:
        """Learn from any record: one with a synchronised clock fixes the wall time of its whole boot."""
        if clock == "synced" and (moment := _sync_point(at, mono_ms)):
            self._add(boot, moment)

    def learn_entry(
        self, boot: str, mono_ms: int, at: str, clock: ClockQuality, event: str, details: Mapping[str, Any]
    ) -> None:
        """Learn from a journal entry: from its stamp, and of `clock_synced` from the time in its details."""
        self.learn(boot, mono_ms, at, clock)
        point = _sync_point(details.get("at"), details.get("mono_ms")) if event == CLOCK_SYNCED else None
        if point:
            self._add(boot, point)

    def knows(self, boot: str) -> bool:
        return boot in self._boots

    def wall_time(self, boot: str, mono_ms: int) -> datetime | None:
        """The wall time, computed from the nearest sync point of the boot; None if the boot has none.

        Its error is the drift of the terminal's oscillator between the two: seconds a day.
        """
        known = self._boots.get(boot)
        if not known:
            return None
        place = _position(known, mono_ms)
        moment = min(known[max(0, place - 1) : place + 1], key=lambda near: abs(near.mono_ms - mono_ms))
        try:
            return moment.at + timedelta(milliseconds=mono_ms - moment.mono_ms)
        except OverflowError:  # an impossible monotonic time
            return None

    def _add(self, boot: str, moment: SyncPoint) -> None:
        known = self._boots.setdefault(boot, [])
        place = _position(known, moment.mono_ms)
        if not any(abs(near.mono_ms - moment.mono_ms) < MIN_GAP_MS for near in known[max(0, place - 1) : place + 1]):
            known.insert(place, moment)


class CaptureStamp(Protocol):
    """The fields of a capture that determine when it was scanned."""

    @property
    def boot(self) -> str: ...
    @property
    def at(self) -> str: ...
    @property
    def mono_ms(self) -> int: ...
    @property
    def clock(self) -> ClockQuality: ...
    @property
    def end_mono_ms(self) -> int: ...


def scanned_at(capture: CaptureStamp, clocks: BootClocks) -> datetime | None:
    """The wall time of the last key; None if it is not known."""
    if capture.clock == "synced":
        return datetime.fromisoformat(capture.at) - timedelta(milliseconds=capture.mono_ms - capture.end_mono_ms)
    return clocks.wall_time(capture.boot, capture.end_mono_ms)


def _position(known: list[SyncPoint], mono_ms: int) -> int:
    return bisect_left(known, mono_ms, key=lambda moment: moment.mono_ms)


def _sync_point(at: Any, mono_ms: Any) -> SyncPoint | None:
    if not isinstance(at, str) or not isinstance(mono_ms, int):
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    return SyncPoint(moment, mono_ms) if moment.tzinfo else None
