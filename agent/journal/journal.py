"""The event journal as one part: its start and stop entries, and the watch over the clocks."""

import asyncio
import logging
from datetime import datetime
from pathlib import Path

from agent.configuration.settings import Loaded
from agent.context import Context
from agent.journal.clock_watch import ClockWatch, Link
from agent.journal.last_alive import LastAliveFile, path_for
from agent.journal.writer import JournalWriter, section_hashes
from agent.observable import Observable, Observed
from agent.storage import Storage
from common.clock import ClockQuality

log = logging.getLogger(__name__)


class Journal:
    """`begin` writes the first entries of a run, `end` the last one of a clean stop; `run` belongs between them.

    `record` takes an event of `common.events`, `record_other` any other name with details; neither raises.
    """

    def __init__(
        self,
        context: Context,
        storage: Storage,
        link_state: Observed[Link],
        clock_quality: Observable[ClockQuality],
    ) -> None:
        clock = context.clock
        self._opening, self._last_alive = storage.opening, _last_alive_file(storage.path)
        self._writer = JournalWriter(storage.writer, clock, context.run_id, context.version, context.root)
        self.record, self.record_other = self._writer.record, self._writer.record_other
        self._started = asyncio.Event()
        self._clock_watch = ClockWatch(
            clock, context.run_id, self._last_alive, link_state, clock_quality, self.record, storage.budget.is_spent
        )

    def certificates_after(self) -> datetime | None:
        """Before what time no valid certificate ends; None if the clock is good (`ClockWatch.certificates_after`)."""
        return self._clock_watch.certificates_after

    async def begin(self, loaded: Loaded) -> None:
        """How the last run ended, and which sections of the configuration changed since."""
        before = self._last_alive.previous if self._last_alive else None
        await self._writer.begin(self._opening, len(loaded.mistakes), before and before.alive)
        self._started.set()
        await self._writer.record_configuration(section_hashes(loaded))

    async def run(self) -> None:
        await self._clock_watch.run()

    async def end(self) -> None:
        """Waits for the start entry: a run that is stopped while it starts would else be recorded as one that crashed."""
        await self._started.wait()
        await self._writer.end()
        await self._clock_watch.final_mark()

    async def stop(self) -> None:
        if self._last_alive:
            self._last_alive.close()


def _last_alive_file(outbox: Path) -> LastAliveFile | None:
    """None if it cannot be made: the daemon runs, and the end of this run will be known less exactly."""
    try:
        return LastAliveFile(path_for(outbox))
    except OSError as error:
        log.error("no last-alive mark: %s", error)
        return None
