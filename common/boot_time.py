"""Records put right: the wall time of something that happened while no clock knew it. Pure, for agent and center.

Every record carries boot and monotonic time. One record of the same boot that was stamped on a good clock ties the whole
boot to wall time; a boot that never had one stays unknown, and nothing is ever invented for it.
"""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from common.clock import ClockQuality

CLOCK_SYNCED = "clock_synced"  # the journal's entry of the moment at which a clock became good
MIN_GAP_MS = 600_000  # moments of one boot nearer than this tell nothing new


class SyncPoint(NamedTuple):
    """A wall time that was known, on the monotonic clock of its boot."""

    at: datetime
    mono_ms: int


class BootClocks:
    """What is known of the clocks of boots; grows with hours, not with records."""

    def __init__(self) -> None:
        self._boots: dict[str, list[SyncPoint]] = {}  # in the order of their monotonic times

    def learn(self, boot: str, mono_ms: int, at: str, clock: ClockQuality) -> None:
        """From any record: what is stamped on a good clock tells of its whole boot."""
        if clock == "synced" and (moment := _sync_point(at, mono_ms)):
            self._add(boot, moment)

    def learn_entry(
        self, boot: str, mono_ms: int, at: str, clock: ClockQuality, event: str, details: Mapping[str, Any]
    ) -> None:
        """From an entry of the journal: its stamp, or the moment that it tells of (`clock_synced`)."""
        self.learn(boot, mono_ms, at, clock)
        told = _sync_point(details.get("at"), details.get("mono_ms")) if event == CLOCK_SYNCED else None
        if told:
            self._add(boot, told)

    def knows(self, boot: str) -> bool:
        return boot in self._boots

    def wall_time(self, boot: str, mono_ms: int) -> datetime | None:
        """When it was, by the nearest good moment of the boot; None where it never had one.

        Off by what the terminal's oscillator drifts between the two: seconds a day.
        """
        known = self._boots.get(boot)
        if not known:
            return None
        place = _position(known, mono_ms)
        moment = min(known[max(0, place - 1) : place + 1], key=lambda near: abs(near.mono_ms - mono_ms))
        try:
            return moment.at + timedelta(milliseconds=mono_ms - moment.mono_ms)
        except OverflowError:  # a monotonic time that no machine ever had
            return None

    def _add(self, boot: str, moment: SyncPoint) -> None:
        known = self._boots.setdefault(boot, [])
        place = _position(known, moment.mono_ms)
        if not any(abs(near.mono_ms - moment.mono_ms) < MIN_GAP_MS for near in known[max(0, place - 1) : place + 1]):
            known.insert(place, moment)


class CaptureStamp(Protocol):
    """What of a capture tells when it was scanned."""

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
    """The moment of the last key; None where no clock knew it."""
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
