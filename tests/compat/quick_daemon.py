"""The daemon on a clock that runs faster than this machine's: `python quick_daemon.py 10 --config … --socket …`.

What it does every half minute a test sees after three seconds then. It is 4 March 2026, the day after the old station's last.
"""

import asyncio
import sys
from datetime import datetime, timedelta, timezone

from agent.daemon import main
from common.clock import ClockQuality, SystemClock

FASTER = int(sys.argv[1])
WALL = datetime(2026, 3, 4, 9, tzinfo=timezone(timedelta(hours=8)))


class QuickClock(SystemClock):
    """All three run together: none is set against the others."""

    def __init__(self) -> None:
        super().__init__()
        self._began_ms = super().mono_ms()

    def mono_ms(self) -> int:
        """Since the start of the daemon: never above /proc/uptime, which drivers read."""
        return (super().mono_ms() - self._began_ms) * FASTER

    def suspended_ms(self) -> int:
        return 0

    def now(self) -> datetime:
        return WALL + timedelta(milliseconds=self.mono_ms())

    def quality(self) -> ClockQuality:
        return "synced"

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / FASTER)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[2:], QuickClock()))
