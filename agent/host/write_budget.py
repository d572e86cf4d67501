"""What the terminal's flash takes of the daemon in a day: metered, kept over restarts, and held to a budget.

    /proc/self/io ─┐
    log's bytes ───┴─> look (each minute) ─> this day's bytes ─> telemetry, status
                                                  └─ budget met ─> everything but scans gives way (docs/decisions/0022)

A day is 24 hours of the terminal's own running time: monotonic, so that no clock correction makes a day long or short. It goes
on after a restart, by a mark that is committed together with other things and costs no write of its own.
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
SAVE_BYTES = 64 << 10  # so much may be forgotten by a power cut
SAVE_MS = 3_600_000


class BudgetState(msgspec.Struct, frozen=True, kw_only=True):
    """The meter as its mark keeps it."""

    boot: str
    began_mono_ms: int  # of the day, in `boot`
    passed_ms: int  # of the day, when this was marked
    day_bytes: int
    told: bool  # that the budget is met
    before: tuple[int, ...] = ()  # bytes of the days before, newest first


class RecordOther(Protocol):
    """Writes an entry into the journal."""

    def __call__(self, event: str, /, **details: object) -> Awaitable[None]: ...


class WriteBudget:
    """The meter and its budget. `watch` belongs into the daemon's task group; `marks` go along with commits."""

    def __init__(
        self, clock: Clock, budget_bytes: int, saved: BudgetState | None, *, root: Path = Path("/"),
        logged: Callable[[], int] = lambda: 0,
    ) -> None:  # fmt: skip
        self._clock, self._budget = clock, budget_bytes
        self._file, self._logged = root / "proc/self/io", logged
        self._began_mono_ms = _began(clock, saved)
        self._day_bytes = saved.day_bytes if saved else 0
        self._days_before = saved.before if saved else ()
        self._reported = saved.told if saved else False
        self._seen = 0  # of this process's own count: what it wrote before the first look counts too
        self._last_saved: tuple[int, int] | None = None  # bytes and time of the last mark
        self.metered = True  # whether the kernel lets us count

    @property
    def spent(self) -> bool:
        """Whether the day's budget is spent, as of the last look."""
        return self._day_bytes >= self._budget

    @property
    def day_bytes(self) -> int | None:
        """Of this day so far, as of the last look; None where it cannot be counted."""
        return self._day_bytes if self.metered else None

    def status(self) -> dict[str, Any]:
        """For the status."""
        return {
            "day_bytes": self.day_bytes,
            "day_s": (self._clock.mono_ms() - self._began_mono_ms) // 1000,
            "budget_bytes": self._budget,
            "met": self.spent,
            "days_before": list(self._days_before),
        }

    async def watch(self, note: RecordOther) -> None:
        """Until cancelled. `note` is told once a day that the budget is met."""
        while True:
            self.update()
            if self.spent and not self._reported:
                self._reported = True
                await note("flash_budget_met", day_bytes=self._day_bytes, budget_bytes=self._budget)
            await self._clock.sleep(UPDATE_S)

    def update(self) -> None:
        """Count what was written since the last look."""
        written = _written(self._file)
        self.metered = written is not None
        self._turn_days()
        if written is not None:
            written += self._logged()
            self._day_bytes += max(0, written - self._seen)
            self._seen = max(self._seen, written)

    def state(self, *, now: bool = False) -> Mapping[str, bytes]:
        """The meter's mark where it is due (or `now`, at a stop): for a transaction that is made anyway."""
        self.update()
        mono_ms = self._clock.mono_ms()
        if self._last_saved is not None and not now:
            bytes_then, then_ms = self._last_saved
            if 0 <= self._day_bytes - bytes_then < SAVE_BYTES and mono_ms - then_ms < SAVE_MS:
                return {}
        self._last_saved = self._day_bytes, mono_ms
        kept = BudgetState(
            boot=self._clock.boot, began_mono_ms=self._began_mono_ms, passed_ms=mono_ms - self._began_mono_ms,
            day_bytes=self._day_bytes, told=self._reported, before=self._days_before,
        )  # fmt: skip
        return {STATE_KEY: msgspec.json.encode(kept)}

    def _turn_days(self) -> None:
        while self._clock.mono_ms() - self._began_mono_ms >= DAY_MS:
            self._days_before = (self._day_bytes, *self._days_before)[:DAYS_KEPT]
            self._began_mono_ms += DAY_MS
            self._day_bytes, self._reported = 0, False


def _began(clock: Clock, kept: BudgetState | None) -> int:
    """When the day began, in this boot's monotonic time: a day that another boot left unfinished goes on with this boot."""
    if kept is None:
        return clock.mono_ms()
    return kept.began_mono_ms if kept.boot == clock.boot else -kept.passed_ms


def _written(file: Path) -> int | None:
    """Bytes that this process and its ended children had the disk write (proc(5): `write_bytes` less what was cancelled).

    Page by page, as they were dirtied: 4 KiB for a row of 300 bytes. None where the kernel keeps no account.
    """
    try:
        fields = dict(line.split(": ", 1) for line in file.read_text("ascii").splitlines() if ": " in line)
        return max(0, int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"]))
    except (OSError, ValueError, KeyError):
        return None
