"""The daemon's writes to the terminal's flash, by the day: metered, stored over restarts, and limited by a budget.

    /proc/self/io ─┐
    log's bytes ───┴─> update (each minute) ─> the day's bytes ─> telemetry, status
                                                    └─ budget spent ─> only scans are still written (docs/decisions/0022)

A day is 24 hours of the terminal's own running time: monotonic, so that no clock correction makes a day longer or shorter. It
continues after a restart, from a state that is committed together with other things and costs no write of its own.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from common.clock import Clock

STATE_KEY = "flash"
DAY_MS = 24 * 3_600_000
UPDATE_S = 60
DAYS_KEPT = 7
SAVE_BYTES = 64 << 10  # a power cut may lose this many
SAVE_MS = 3_600_000


class BudgetState(msgspec.Struct, frozen=True, kw_only=True):
    """The meter as stored under its state key."""

    boot: str
    began_mono_ms: int  # of the day, in `boot`
    passed_ms: int  # of the day, when this was stored
    day_bytes: int
    reported: bool = msgspec.field(name="told")  # that the budget is spent
    before: tuple[int, ...] = ()  # bytes of the days before, newest first


class RecordOther(Protocol):
    """Writes an entry into the journal."""

    def __call__(self, event: str, /, **details: object) -> Awaitable[None]: ...


class WriteBudget:
    """The meter and its budget. `watch` belongs in the daemon's task group; `state` is added to commits."""

    def __init__(
        self,
        clock: Clock,
        budget_bytes: int,
        saved: BudgetState | None,
        *,
        root: Path = Path("/"),
        logged: Callable[[], int] = lambda: 0,
    ) -> None:
        self._clock, self._budget = clock, budget_bytes
        self._file, self._logged = root / "proc/self/io", logged
        self._began_mono_ms = _began(clock, saved)
        self._day_bytes = saved.day_bytes if saved else 0
        self._days_before = saved.before if saved else ()
        self._reported = saved.reported if saved else False
        self._seen = 0  # of this process's own count: what it wrote before the first update counts too
        self._last_saved: tuple[int, int] | None = None  # bytes and time when the state was last stored
        self._ends = False
        self.metered = True  # whether the kernel counts

    def is_spent(self) -> bool:
        """Whether the day's budget is spent, as of the last update."""
        return self._day_bytes >= self._budget

    @property
    def day_bytes(self) -> int | None:
        """Of this day so far, as of the last update; None if the kernel does not count."""
        return self._day_bytes if self.metered else None

    def status(self) -> dict[str, Any]:
        """The meter for the status."""
        return {
            "day_bytes": self.day_bytes,
            "day_s": (self._clock.mono_ms() - self._began_mono_ms) // 1000,
            "budget_bytes": self._budget,
            "met": self.is_spent(),
            "days_before": list(self._days_before),
        }

    async def watch(self, record: RecordOther) -> None:
        """Until cancelled. `record` gets one entry a day, when the budget is spent."""
        while True:
            self.update()
            if self.is_spent() and not self._reported:
                self._reported = True
                await record("flash_budget_met", day_bytes=self._day_bytes, budget_bytes=self._budget)
            await self._clock.sleep(UPDATE_S)

    def update(self) -> None:
        """Count what was written since the last update."""
        written = _written(self._file)
        self.metered = written is not None
        self._turn_days()
        if written is not None:
            written += self._logged()
            self._day_bytes += max(0, written - self._seen)
            self._seen = max(self._seen, written)

    def end(self) -> None:
        """For a clean stop: every commit from now on carries the state."""
        self._ends = True

    def state(self) -> Mapping[str, bytes]:
        """The meter's state if it is due, to be stored in a transaction that happens anyway."""
        self.update()
        mono_ms = self._clock.mono_ms()
        if self._last_saved is not None and not self._ends:
            saved_bytes, saved_ms = self._last_saved
            if 0 <= self._day_bytes - saved_bytes < SAVE_BYTES and mono_ms - saved_ms < SAVE_MS:
                return {}
        self._last_saved = self._day_bytes, mono_ms
        state = BudgetState(
            boot=self._clock.boot,
            began_mono_ms=self._began_mono_ms,
            passed_ms=mono_ms - self._began_mono_ms,
            day_bytes=self._day_bytes,
            reported=self._reported,
            before=self._days_before,
        )
        return {STATE_KEY: msgspec.json.encode(state)}

    def _turn_days(self) -> None:
        while self._clock.mono_ms() - self._began_mono_ms >= DAY_MS:
            self._days_before = (self._day_bytes, *self._days_before)[:DAYS_KEPT]
            self._began_mono_ms += DAY_MS
            self._day_bytes, self._reported = 0, False


def _began(clock: Clock, saved: BudgetState | None) -> int:
    """When the day began, in this boot's monotonic time: a day that began in another boot continues from this boot's start."""
    if saved is None:
        return clock.mono_ms()
    return saved.began_mono_ms if saved.boot == clock.boot else -saved.passed_ms


def _written(file: Path) -> int | None:
    """Bytes written to the disk by this process and its ended children (proc(5): `write_bytes` less the cancelled ones).

    In dirtied pages: 4 KiB for a row of 300 bytes. None if the kernel does not count.
    """
    try:
        fields = dict(line.split(": ", 1) for line in file.read_text("ascii").splitlines() if ": " in line)
        return max(0, int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"]))
    except (OSError, ValueError, KeyError):
        return None
