"""The only access to time: monotonic time, wall time and its quality, the boot, and sleeping.

No other module reads a clock (ruff TID251 enforces it); tests pass a clock that they advance themselves.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from common.version import RELEASED
from drivers.timesync import TimeSync, kernel_time_sync

ClockQuality: TypeAlias = Literal["synced", "unsynced"]

STEP_MS = (
    2000  # wall against monotonic time: more than slewing (8 % at most) and a leap second cause between two checks
)
EARLIEST = datetime.fromisoformat(RELEASED).replace(tzinfo=UTC)  # the program did not exist before


class Clock(Protocol):
    """What the daemon needs of time."""

    @property
    def boot(self) -> str:
        """The boot that monotonic times belong to: the first 8 hex digits of the kernel's boot id."""
        ...

    def mono_ms(self) -> int:
        """Milliseconds since boot, suspend included (CLOCK_BOOTTIME): the base of every interval."""
        ...

    def suspended_ms(self) -> int:
        """For how much of `mono_ms` the machine was suspended."""
        ...

    def now(self) -> datetime:
        """Wall time with offset; as reliable as `quality()` states, called after it."""
        ...

    def quality(self) -> ClockQuality: ...

    async def sleep(self, seconds: float) -> None: ...


class StepDetector:
    """Detects that the wall clock was set: that it jumped against monotonic time since the previous check."""

    def __init__(self) -> None:
        self._offset_ms: int | None = None

    def jumped_ms(self, wall: datetime, mono_ms: int) -> int:
        """Size of the jump, forward or back; 0 if the clock only drifted or was slewed."""
        offset_ms = round(wall.timestamp() * 1000) - mono_ms
        before_ms, self._offset_ms = self._offset_ms, offset_ms
        jump_ms = 0 if before_ms is None else offset_ms - before_ms
        return jump_ms if abs(jump_ms) > STEP_MS else 0


def _system_wall() -> datetime:
    return datetime.now().astimezone()


class SystemClock:
    """The terminal's own clock. Tests pass another wall clock and another kernel state."""

    def __init__(
        self,
        root: Path = Path("/"),
        *,
        wall: Callable[[], datetime] = _system_wall,
        sync: Callable[[], TimeSync | None] = kernel_time_sync,
    ) -> None:
        self._boot = (root / "proc/sys/kernel/random/boot_id").read_text("ascii").replace("-", "")[:8]
        self._wall, self._sync = wall, sync
        self._steps = StepDetector()
        self._synced = False

    @property
    def boot(self) -> str:
        return self._boot

    def mono_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def suspended_ms(self) -> int:
        return self.mono_ms() - time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000

    def now(self) -> datetime:
        return self._wall()

    def quality(self) -> ClockQuality:
        """`synced` from when the kernel reports it until the clock is set: a terminal that loses its time server drifts by
        only seconds a day, but after a step the kernel's state counts again (it regards a clock that was set by hand as
        unsynchronised). A time before this version's release is never trusted."""
        wall = self._wall()
        if self._steps.jumped_ms(wall, self.mono_ms()):
            self._synced = False
        if not self._synced:
            sync = self._sync()
            self._synced = sync is not None and sync.synced and wall >= EARLIEST
        return "synced" if self._synced else "unsynced"

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def rfc3339(moment: datetime) -> str:
    """RFC 3339 with offset and milliseconds."""
    return moment.isoformat(timespec="milliseconds")


async def first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of them ends; cancel the others."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait) for wait in waits]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
