"""When a capture was scanned, by wall time, as far as that is known. Pure.

A capture's own `at` is the moment of its commit; its keys came `mono_ms - end_mono_ms` before. On a clock that nobody had set
yet `at` says nothing: what else is known of the same boot puts it right (`common.boot_time`), and without that it is unknown.
"""

from datetime import datetime, timedelta
from typing import Protocol

from common.boot_time import Moments
from common.clock import ClockQuality


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


def scanned_at(capture: Stamp, known: Moments) -> datetime | None:
    """The moment of the last key; None where no clock knew it."""
    if capture.clock == "synced":
        return datetime.fromisoformat(capture.at) - timedelta(milliseconds=capture.mono_ms - capture.end_mono_ms)
    return known.wall(capture.boot, capture.end_mono_ms)
