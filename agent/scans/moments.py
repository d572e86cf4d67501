"""When a capture was scanned, by wall time, as far as that is known. Pure.

A capture's own `at` is the moment of its commit; its keys came `mono_ms - end_mono_ms` before. On a clock that nobody had set
yet `at` says nothing: the journal's `clock_synced` of the same boot puts it right, and without one the time is unknown.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from agent.clock import ClockQuality

CLOCK_SYNCED = "clock_synced"


class Stamp(Protocol):
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


class Moment(NamedTuple):
    """A wall time that was known, on the clock of its boot."""

    at: datetime
    mono_ms: int


def scanned_at(capture: Stamp, known: Mapping[str, Moment]) -> datetime | None:
    """The moment of the last key; None where no clock knew it. `known`: boot -> the moment at which its clock became good."""
    if capture.clock == "synced":
        return datetime.fromisoformat(capture.at) - timedelta(milliseconds=capture.mono_ms - capture.end_mono_ms)
    moment = known.get(capture.boot)
    return moment and moment.at + timedelta(milliseconds=capture.end_mono_ms - moment.mono_ms)


def moment_of(event: str, details: Mapping[str, Any]) -> Moment | None:
    """What a journal entry tells of its boot's clock; None where it is another entry."""
    at, mono_ms = details.get("at"), details.get("mono_ms")
    if event != CLOCK_SYNCED or not isinstance(at, str) or not isinstance(mono_ms, int):
        return None
    try:
        return Moment(datetime.fromisoformat(at), mono_ms)
    except ValueError:
        return None
