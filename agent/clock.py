"""Time has one door: monotonic time, wall time, how well it is known, the boot it belongs to, and waiting.

Nobody else reads a clock (ruff TID251 says so); tests hand in a clock that they advance themselves.
"""

import asyncio
import time
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from drivers.timesync import kernel_time_sync

ClockQuality: TypeAlias = Literal["synced", "unsynced"]


class Clock(Protocol):
    """What the daemon asks about time."""

    @property
    def boot(self) -> str:
        """The boot that monotonic times belong to: the first 8 hex digits of the kernel's boot id."""
        ...

    def mono_ms(self) -> int:
        """Milliseconds since boot, suspend included (CLOCK_BOOTTIME): the base of every interval."""
        ...

    def now(self) -> datetime:
        """Wall time with offset; worth as much as `quality()` says."""
        ...

    def quality(self) -> ClockQuality: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The terminal's own clock."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._boot = (root / "proc/sys/kernel/random/boot_id").read_text("ascii").replace("-", "")[:8]
        self._synced_once = False

    @property
    def boot(self) -> str:
        return self._boot

    def mono_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def now(self) -> datetime:
        return datetime.now().astimezone()

    def quality(self) -> ClockQuality:
        """`synced` once the kernel has said so in this boot: a terminal that loses its time server drifts by seconds a day."""
        if not self._synced_once:
            sync = kernel_time_sync()
            self._synced_once = sync is not None and sync.synced
        return "synced" if self._synced_once else "unsynced"

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def rfc3339(moment: datetime) -> str:
    """RFC 3339 with offset and milliseconds."""
    return moment.isoformat(timespec="milliseconds")
