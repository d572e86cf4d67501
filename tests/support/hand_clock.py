"""A clock that tests advance."""

import asyncio
import heapq
from datetime import datetime, timedelta, timezone
from itertools import count

from common.clock import ClockQuality


class HandClock:
    """A clock that stands still until `advance`; `sleep` ends at its time."""

    def __init__(self) -> None:
        self.boot = "b0070001"
        self.known: ClockQuality = "synced"
        self._mono_ms = 1_000_000
        self._suspended_ms = 0
        self._wall = datetime(2026, 3, 2, 9, 0, tzinfo=timezone(timedelta(hours=8)))
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tick = count()

    def mono_ms(self) -> int:
        return self._mono_ms

    def suspended_ms(self) -> int:
        return self._suspended_ms

    def now(self) -> datetime:
        return self._wall

    def set(self, wall: datetime) -> None:
        """The wall clock is set; monotonic time goes on."""
        self._wall = wall

    def suspend(self, seconds: float) -> None:
        """The machine is suspended: both clocks advance, but no sleep ends (CLOCK_MONOTONIC stands still)."""
        ms = int(seconds * 1000)
        self._suspended_ms += ms
        self._pass(self._mono_ms + ms)
        self._sleepers = [(at + ms, n, wake) for at, n, wake in self._sleepers]

    def quality(self) -> ClockQuality:
        return self.known

    async def sleep(self, seconds: float) -> None:
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._mono_ms + int(seconds * 1000), next(self._tick), wake))
        await wake

    async def advance(self, seconds: float) -> None:
        """Let time pass; wake every sleeper in order and let all other tasks run in between."""
        end = self._mono_ms + int(seconds * 1000)
        await _let_all_tasks_run()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, wake = heapq.heappop(self._sleepers)
            self._pass(at)
            if not wake.done():
                wake.set_result(None)
            await _let_all_tasks_run()
        self._pass(end)
        await _let_all_tasks_run()

    def _pass(self, until_ms: int) -> None:
        step = max(0, until_ms - self._mono_ms)
        self._mono_ms += step
        self._wall += timedelta(milliseconds=step)


async def _let_all_tasks_run() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
