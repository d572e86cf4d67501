"""Time has one door: monotonic time, wall time, how well it is known, the boot it belongs to, and waiting.

Nobody else reads a clock (ruff TID251 says so); tests hand in a clock that they advance themselves.
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

STEP_MS = 2000  # wall against monotonic time: more than slewing (8 % at most) and a leap second do between two looks
EARLIEST = datetime.fromisoformat(RELEASED).replace(tzinfo=UTC)  # this program did not exist before


class Clock(Protocol):
    """What the daemon asks about time."""

    @property
    def boot(self) -> str:
        """The boot that monotonic times belong to: the first 8 hex digits of the kernel's boot id."""
        ...

    def mono_ms(self) -> int:
        """Milliseconds since boot, suspend included (CLOCK_BOOTTIME): the base of every interval."""
        ...

    def suspended_ms(self) -> int:
        """How much of `mono_ms` the machine was suspended in this boot."""
        ...

    def now(self) -> datetime:
        """Wall time with offset; worth as much as `quality()` says, asked after it."""
        ...

    def quality(self) -> ClockQuality: ...

    async def sleep(self, seconds: float) -> None: ...


class StepDetector:
    """Whether the wall clock was set: it jumped against monotonic time since the look before."""

    def __init__(self) -> None:
        self._offset_ms: int | None = None

    def jumped_ms(self, wall: datetime, mono_ms: int) -> int:
        """By how much, forward or back; 0 where it only drifted or was slewed."""
        offset_ms = round(wall.timestamp() * 1000) - mono_ms
        before_ms, self._offset_ms = self._offset_ms, offset_ms
        jump_ms = 0 if before_ms is None else offset_ms - before_ms
        return jump_ms if abs(jump_ms) > STEP_MS else 0


def _system_wall() -> datetime:
    return datetime.now().astimezone()


class SystemClock:
    """The terminal's own clock. Tests hand in another wall and another kernel's word of it."""

    def __init__(
        self, root: Path = Path("/"), *, wall: Callable[[], datetime] = _system_wall,
        sync: Callable[[], TimeSync | None] = kernel_time_sync,
    ) -> None:  # fmt: skip
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
        """`synced` once the kernel has said so and until somebody sets the clock: a terminal that loses its time server
        drifts by seconds a day, but a clock that was set is worth what the kernel says of it then (it takes every setting
        by hand as unsynchronised). A time before this program was made is never believed."""
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
    """Until one of them is over; the others are cancelled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait) for wait in waits]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
