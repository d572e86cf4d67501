"""Between the link and the journal: on a day whose flash budget is met, short losses of the line are counted and told together.

A line that comes and goes every few seconds would write some hundred megabytes a day. A loss that lasts is told all the same,
a minute after it began (its `since_mono_ms` is the link's own), so that the journal never says 'up' while the line is down.
"""

import asyncio
from collections.abc import Awaitable, Callable

from agent.clock import Clock
from agent.county.link import LinkState
from agent.flash import Note

SHORT_S = 60
TOLD_EVERY_MS = 3_600_000


class Losses:
    """`changed` is what the link calls; `through` gets what is told as it happens; `run` belongs into the task group."""

    def __init__(
        self, clock: Clock, spare: Callable[[], bool], through: Callable[[LinkState], Awaitable[None]], note: Note
    ) -> None:
        self._clock, self._spare, self._through, self._note = clock, spare, through, note
        self._up = False  # as of the last call
        self._held: LinkState | None = None  # a loss that is not told
        self._news = asyncio.Event()
        self._count = self._down_ms = 0
        self._counting_since_ms = 0

    async def changed(self, state: LinkState) -> None:
        turned, self._up = state.up != self._up, state.up
        if self._held is not None:
            if state.up:
                await self._over(self._held)
        elif turned and not state.up and self._spare():
            self._held = state
            self._news.set()
        else:
            await self._through(state)

    async def run(self) -> None:
        """Until cancelled: tell a loss that lasts."""
        while True:
            await self._news.wait()
            self._news.clear()
            while (held := self._held) is not None:
                left_ms = held.since_mono_ms + SHORT_S * 1000 - self._clock.mono_ms()
                if left_ms > 0:
                    await self._clock.sleep(left_ms / 1000)
                else:
                    self._held = None
                    await self._tell_count()
                    await self._through(held)

    async def _over(self, held: LinkState) -> None:
        now_ms = self._clock.mono_ms()
        self._held = None
        if not self._count:
            self._counting_since_ms = now_ms
        self._count += 1
        self._down_ms += now_ms - held.since_mono_ms
        if now_ms - self._counting_since_ms >= TOLD_EVERY_MS:
            await self._tell_count()

    async def _tell_count(self) -> None:
        if self._count:
            count, down_ms, self._count, self._down_ms = self._count, self._down_ms, 0, 0
            await self._note("link_short_losses", count=count, down_s=down_ms // 1000)
