"""The clock monitor: checks the clocks every 10 s and writes the last-alive mark from time to time.

clocks -> resumed, clock_stepped, clock_synced -> journal
last-alive file: once a minute; less often while the county receives the heartbeats and knows it from them
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from agent.journal.last_alive import LastAliveFile
from agent.journal.rate_limit import RateLimit
from agent.observable import Observable, Observed
from common.clock import EARLIEST, Clock, ClockQuality, StepDetector, rfc3339
from common.events import ClockStepped, ClockSynced, Event, LastAlive, Resumed

log = logging.getLogger(__name__)

POLL_S = 10
SUSPENDED_MS = 1000
MARK_MS = 60_000
MARK_LONG_OUTAGE_MS = 120_000  # once the link has been down for LONG_OUTAGE_MS
LONG_OUTAGE_MS = 3_600_000
MARK_CONNECTED_MS = 600_000  # while the link is up
STEPS_PER_HOUR = 12


class Link(Protocol):
    """What the watch wants to know of the link's state."""

    @property
    def up(self) -> bool: ...


class ClockWatch:
    """`run` belongs in the daemon's task group, once the journal has its start entry; call `final_mark` at a clean stop."""

    def __init__(
        self,
        clock: Clock,
        run_id: str,
        last_alive: LastAliveFile | None,
        link_state: Observed[Link],
        clock_quality: Observable[ClockQuality],
        record: Callable[[Event], Awaitable[None]],
        budget_spent: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock, self._run_id, self._last_alive, self._link_state = clock, run_id, last_alive, link_state
        self._clock_quality, self._record, self._budget_spent = clock_quality, record, budget_spent
        self._steps, self._step_limit = StepDetector(), RateLimit(STEPS_PER_HOUR)
        self._awake_ms, self._suspended_ms = clock.mono_ms(), clock.suspended_ms()
        self._steps.jumped_ms(clock.now(), clock.mono_ms())
        self._marked_ms: int | None = None
        self._marked_link = False
        self._connected_ms = clock.mono_ms()  # last time the link was up, or the start of this run
        self._failed = False
        before = last_alive.previous if last_alive else None
        self._synced_s = before.synced_s if before else None

    @property
    def certificates_after(self) -> datetime | None:
        """The lower bound for the end of a valid certificate: this version's date or the newest synchronised time, whichever is
        later. None while the clock is synchronised."""
        if self._clock.quality() == "synced":
            return None
        return max(EARLIEST, datetime.fromtimestamp(self._synced_s or 0, UTC))

    async def run(self) -> None:
        while True:
            await self._poll()
            await self._clock.sleep(POLL_S)

    async def final_mark(self) -> None:
        """Write the mark of a clean stop."""
        await self._mark()

    async def _poll(self) -> None:
        clock = self._clock
        mono_ms, wall, quality = clock.mono_ms(), clock.now(), clock.quality()
        before = self._clock_quality.value
        slept_ms = clock.suspended_ms() - self._suspended_ms
        if slept_ms >= SUSPENDED_MS:
            await self._record(Resumed(suspended_ms=slept_ms, awake_mono_ms=self._awake_ms))
        self._suspended_ms, self._awake_ms = self._suspended_ms + slept_ms, mono_ms
        if step_ms := self._steps.jumped_ms(wall, mono_ms):
            await self._stepped(wall, step_ms, before, quality)
        if quality == "synced":
            self._synced_s = int(wall.timestamp())
            if before != "synced":
                await self._record(ClockSynced(at=rfc3339(wall), mono_ms=mono_ms))
        self._clock_quality.set(quality)  # after the entry that says so
        if self._is_due(mono_ms) or quality != before:
            await self._mark()

    async def _stepped(self, wall: datetime, step_ms: int, before: ClockQuality, quality: ClockQuality) -> None:
        if not self._step_limit.allows(self._clock.mono_ms()):
            return
        log.info("the clock was set by %+.1f s", step_ms / 1000)
        step = ClockStepped(
            before=rfc3339(wall - timedelta(milliseconds=step_ms)),
            now=rfc3339(wall),
            step_ms=step_ms,
            quality_before=before,
            quality=quality,
            untold=self._step_limit.take_suppressed(),
        )
        await self._record(step)

    def _is_due(self, mono_ms: int) -> bool:
        link = self._link_state.value.up
        if link:
            self._connected_ms = mono_ms
        if self._marked_ms is None or (self._marked_link and not link):
            return True
        every_ms = MARK_LONG_OUTAGE_MS if mono_ms - self._connected_ms > LONG_OUTAGE_MS else MARK_MS
        return mono_ms - self._marked_ms >= (MARK_CONNECTED_MS if link or self._budget_spent() else every_ms)

    async def _mark(self) -> None:
        if self._last_alive is None:
            return
        clock, link = self._clock, self._link_state.value.up
        alive = LastAlive(
            boot=clock.boot,
            mono_ms=clock.mono_ms(),
            at=rfc3339(clock.now()),
            clock=clock.quality(),
            run=self._run_id,
            link=link,
        )
        self._marked_ms, self._marked_link = alive.mono_ms, link
        try:
            await asyncio.to_thread(self._last_alive.write, alive, self._synced_s)
        except OSError as error:
            if not self._failed:
                log.error("the last-alive mark cannot be written: %s", error)
            self._failed = True
