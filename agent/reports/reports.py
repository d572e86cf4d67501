"""What is sent unasked, as one part: heartbeats and telemetry, and the outages of the link."""

import asyncio

from agent.context import Context
from agent.devices.devices import Devices
from agent.journal.journal import Journal
from agent.observable import Observed
from agent.reports.outages import OutageLog
from agent.reports.telemetry import PeriodicReports
from agent.storage import Storage
from agent.uplink.link import Link, LinkState


class Reports:
    def __init__(
        self,
        context: Context,
        storage: Storage,
        journal: Journal,
        devices: Devices,
        link: Link,
        link_state: Observed[LinkState],
    ) -> None:
        settings = context.settings
        self.periodic = PeriodicReports(
            devices.states,
            storage.writer,
            link,
            context.clock,
            context.run_id,
            settings.outbox.telemetry_max_bytes,
            storage.budget,
            context.root,
        )
        line_states = None if settings.broker.loopback else devices.line_states
        self._outages = OutageLog(
            context.clock, link_state, journal.record, devices.poll_line, line_states, storage.budget.is_spent
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.periodic.run())
            group.create_task(self._outages.run())

    async def stop(self) -> None:
        """Write to the disk what waits in memory. Raises sqlite3.Error."""
        await self.periodic.write_spool()
