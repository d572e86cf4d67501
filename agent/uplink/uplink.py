"""The uplink as one part: the link to the county's broker, delivery of the outbox, receipts."""

import asyncio
import contextlib

from agent.context import Context
from agent.journal.journal import Journal
from agent.observable import Observable, Observed
from agent.storage import Storage
from agent.uplink.delivery import Delivery, Pace
from agent.uplink.inbox import Inbox, Received
from agent.uplink.link import Link, LinkState
from agent.uplink.presence import Presence, broker_address, commands_allowed, tls_factory
from agent.uplink.rejections import Rejection
from common.clock import ClockQuality
from common.mqtt.errors import LinkLost, Rejected


class Uplink:
    """`link`, `delivery` and `received.commands` are for the others."""

    def __init__(
        self,
        context: Context,
        storage: Storage,
        journal: Journal,
        link_state: Observable[LinkState],
        clock_quality: Observed[ClockQuality],
        export_key: Observed[str | None],
    ) -> None:
        settings, secrets, clock = context.settings, context.secrets, context.clock
        name = settings.terminal.name
        self._clock, self._journal = clock, journal
        self._clock_changes, self._key_changes = clock_quality.changes(), export_key.changes()
        self.received = Received(name)
        self.commands_allowed = commands_allowed(settings, secrets.password, secrets.key_file)
        self._tls = tls_factory(settings, secrets.key_file, journal.certificates_after)
        self._presence = Presence(
            settings, clock, context.run_id, context.version, storage.fingerprint, storage.outbox_id, export_key
        )
        self.link = Link(
            name,
            clock,
            broker_address(settings, secrets.password, self._tls),
            self._presence.connect_options,
            self._presence.publish_birth,
            self.received.put,
            link_state,
            backoff_cap_s=settings.broker.reconnect_cap_s,
        )
        self.delivery = Delivery(
            storage.writer,
            self.link,
            clock,
            puback_suffices=settings.delivery.acknowledge == "broker",
            pace=Pace(settings.delivery.backlog_kbit_s * 125),
            on_rejected=self._record_rejection,
        )
        storage.writer.subscribe(self.delivery.on_commit)
        self._inbox = Inbox(self.received.receipts, self.link, self.delivery, self._presence, journal.record_other)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.link.run())
            group.create_task(self.delivery.run())
            group.create_task(self._inbox.run())
            group.create_task(self._reconnect_when_synced())
            group.create_task(self._publish_new_key())

    async def stop(self, *, clean: bool) -> None:
        """Publish `closing`, then disconnect; not `clean` (a part failed): neither, so that the broker publishes the will."""
        if clean:
            await self.link.close(self._presence.closing(self.link.state.connections))

    async def _reconnect_when_synced(self) -> None:
        """A certificate that was accepted without a good clock is checked again with one."""
        async for quality in self._clock_changes:
            if quality == "synced" and self._tls and self._tls.outside_validity(self._clock.now()):
                self.link.reconnect()

    async def _publish_new_key(self) -> None:
        """A key that was only made now (a terminal's first start) is published by one more birth."""
        async for _key in self._key_changes:
            await self.link.up.wait()
            with contextlib.suppress(LinkLost, Rejected):  # the next birth has it
                await self._presence.publish_birth(self.link)

    async def _record_rejection(self, rejection: Rejection) -> None:
        problem = rejection.problem
        await self._journal.record_other("refused", leaf=rejection.leaf, why=problem.code, said=problem.detail)
