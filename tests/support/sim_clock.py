"""A clock for compressed time: it advances as fast as the woken tasks finish."""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone

from common.clock import ClockQuality


class SimClock:
    """`sleep` ends at its time; `run_to` advances sleeper by sleeper and waits for the work that each one causes."""

    def __init__(self, quality: ClockQuality) -> None:
        self.boot, self._quality = "b0070001", quality
        self._mono_ms = 1_000_000
        self._wall = datetime(2026, 3, 2, 9, 0, tzinfo=timezone(timedelta(hours=8)))
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tick = itertools.count()

    def mono_ms(self) -> int:
        return self._mono_ms

    def suspended_ms(self) -> int:
        return 0

    def now(self) -> datetime:
        return self._wall

    def quality(self) -> ClockQuality:
        return self._quality

    async def sleep(self, seconds: float) -> None:
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._mono_ms + int(seconds * 1000), next(self._tick), wake))
        await wake

    async def run_to(self, mono_ms: int, quiet: Callable[[], Awaitable[None]]) -> None:
        while self._sleepers and self._sleepers[0][0] <= mono_ms:
            at, _, wake = heapq.heappop(self._sleepers)
            if not wake.done():  # else the sleeping task was cancelled
                self._pass(at)
                wake.set_result(None)
                await quiet()
        self._pass(mono_ms)

    def _pass(self, until_ms: int) -> None:
        step = max(0, until_ms - self._mono_ms)
        self._mono_ms += step
        self._wall += timedelta(milliseconds=step)
