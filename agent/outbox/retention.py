"""How long the archive is kept: `archive_days`, by a time that one wrong step of the clock does not move.

A synchronised clock can still be wrong: a time server that says 2043 for an hour would have the whole archive deleted. So the
archive has a time of its own, which follows the wall clock forward by at most a day an hour, and back at once, since that
deletes nothing. After a year in a cupboard it takes some days of running until rows that are too old are deleted.
"""

import logging
import sqlite3
from collections.abc import Callable

from agent.outbox.outbox import Outbox
from agent.outbox.rows import OutboxFull
from agent.outbox.writer import Writer
from common.clock import EARLIEST, Clock

log = logging.getLogger(__name__)

PRUNE_S = 3600
STATE_KEY = "archive-time"  # seconds since 1970; written when it is a day off, not every hour
DAY_S = 86_400


class Retention:
    """Prunes the archive once an hour. `run` belongs in the daemon's task group."""

    def __init__(self, writer: Writer, clock: Clock, keep_days: int, budget_spent: Callable[[], bool]) -> None:
        self._writer, self._clock, self._keep_days, self._budget_spent = writer, clock, keep_days, budget_spent

    async def run(self) -> None:
        """Until cancelled. An error of the file (deleting needs disk space too) is logged; the next hour tries again."""
        while True:
            await self._clock.sleep(PRUNE_S)
            # deleting writes too; and the archive is never pruned by a clock that may be wrong
            if self._budget_spent() or self._clock.quality() != "synced":
                continue
            now_s = int(self._clock.now().timestamp())
            try:
                await self._writer.run_in_thread(lambda box, now_s=now_s: prune_archive(box, now_s, self._keep_days))
            except (OutboxFull, sqlite3.Error) as error:
                log.error("the archive cannot be pruned: %s", error)


def archive_time(known_s: int, now_s: int) -> int:
    """The archive's time an hour after `known_s`, if the wall clock says `now_s`. Pure."""
    return min(now_s, known_s + DAY_S)


def prune_archive(box: Outbox, now_s: int, keep_days: int) -> int:
    """Delete receipted rows older than `keep_days` by the archive's time; return how many. In the outbox's thread.

    Call it once an hour, if the clock is synchronised.
    """
    stored = box.state(STATE_KEY)
    known_s = int(stored) if stored and stored.isdigit() else int(EARLIEST.timestamp())
    by_s = archive_time(known_s, now_s)
    deleted = box.prune(by_s - keep_days * DAY_S)
    if abs(by_s - known_s) >= DAY_S:
        box.append([], {STATE_KEY: str(by_s).encode()})
    return deleted
