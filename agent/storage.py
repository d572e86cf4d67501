"""What the terminal keeps, as one part: the outbox's writer, the disk it lies on, the flash it may write, and how long it keeps.

`writer.run` comes first, so that the journal's start entry is the first row of a run; `run` comes after that entry.
"""

import asyncio
import logging
import sqlite3
from typing import TypeVar

import msgspec

from agent.context import Context
from agent.host.log import logged_bytes, turn_hour
from agent.host.write_budget import STATE_KEY as BUDGET
from agent.host.write_budget import BudgetState, WriteBudget
from agent.outbox.disk_watch import DiskWatch
from agent.outbox.outbox import Outbox, load_state
from agent.outbox.retention import Retention
from agent.outbox.rows import OutboxFull
from agent.outbox.stamps import journal
from agent.outbox.writer import Writer

log = logging.getLogger(__name__)

T = TypeVar("T", bound=msgspec.Struct)


class Storage:
    """`path`, `id` and `fingerprint` are the outbox's as it was opened; `opening` is how it was found."""

    def __init__(self, context: Context, outbox: Outbox) -> None:
        self._clock, settings = context.clock, context.settings.outbox
        self._outbox = outbox
        self.path, self.opening = outbox.path, outbox.opening
        self.outbox_id, self.fingerprint = outbox.id, outbox.fingerprint
        self.budget = WriteBudget(
            context.clock,
            settings.flash_budget_bytes_day,
            load_state(outbox, BUDGET, BudgetState),
            root=context.root,
            logged=logged_bytes,
        )
        self.writer = Writer(outbox, self.budget.state)
        self.disk = DiskWatch(self.writer, context.clock)
        self._retention = Retention(self.writer, context.clock, settings.archive_days, self.budget.is_spent)

    def load_state(self, key: str, kind: type[T]) -> T | None:
        """A state as last committed, None if there is none that can be decoded: only before `writer.run`."""
        return load_state(self._outbox, key, kind)

    def forget_states(self, prefix: str) -> None:
        """Delete all states whose key begins with `prefix`: only before `writer.run`. Raises OutboxFull."""
        self._outbox.forget_states(prefix)

    async def run(self) -> None:
        """Watch the disk and the write budget, delete what is too old; until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.disk.run())
            group.create_task(self.budget.watch(self._record))
            group.create_task(self._retention.run())
            group.create_task(self._turn_log_hours())

    async def stop(self) -> None:
        self.writer.close()

    async def _turn_log_hours(self) -> None:
        while True:
            await self._clock.sleep(3600)
            turn_hour()

    async def _record(self, event: str, /, **details: object) -> None:
        try:
            await self.writer.commit([journal(self._clock, event, **details)])
        except (OutboxFull, sqlite3.Error) as error:
            log.error("journal %s: %s", event, error)
