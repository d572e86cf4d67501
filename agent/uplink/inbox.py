"""What the county sends to the terminal: receipts are processed here, commands wait in a queue of their own.

link -> received ─┬─ receipts -> inbox -> delivery -> journal, new birth
                  └─ commands -> agent.control.commands -> reply

Two queues, so that a receipt never waits for a command (`measure` may take 45 s).
"""

import asyncio
import logging
import os
import sqlite3

import msgspec

from agent.host.write_budget import RecordOther
from agent.uplink.connection import Incoming
from agent.uplink.delivery import Delivery
from agent.uplink.link import Link
from agent.uplink.presence import Presence
from common.messages import Receipt, topic
from common.mqtt.errors import LinkLost, Rejected

log = logging.getLogger(__name__)
QUEUE_SIZE = 100  # packets of each kind: more than a recorder and a console send while one is processed


class Received:
    """The packets that the link received and nobody has read yet, made before the link and its readers."""

    def __init__(self, name: str) -> None:
        self._receipt_topic = topic(name, "receipt")
        self.receipts: asyncio.Queue[Incoming] = asyncio.Queue(QUEUE_SIZE)
        self.commands: asyncio.Queue[Incoming] = asyncio.Queue(QUEUE_SIZE)

    @property
    def waiting(self) -> int:
        return self.receipts.qsize() + self.commands.qsize()

    def put(self, packet: Incoming) -> None:
        try:
            (self.receipts if packet.topic == self._receipt_topic else self.commands).put_nowait(packet)
        except asyncio.QueueFull:
            log.warning("too many commands or receipts at once: one on %s is dropped", packet.topic)


class Inbox:
    """Processes the receipts; `run` belongs in the daemon's task group."""

    def __init__(
        self,
        receipts: asyncio.Queue[Incoming],
        link: Link,
        delivery: Delivery,
        presence: Presence,
        record_other: RecordOther,
    ) -> None:
        self._receipts, self._link, self._delivery = receipts, link, delivery
        self._presence, self._record_other = presence, record_other

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            packet = await self._receipts.get()
            try:
                await self._process_receipt(packet)
            except (LinkLost, Rejected, sqlite3.Error) as error:
                log.warning("%s: %s", packet.topic, error)

    async def _process_receipt(self, packet: Incoming) -> None:
        try:
            receipt = msgspec.json.decode(packet.payload, type=Receipt)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            log.warning("an invalid receipt: %s", error)
            return
        result = await self._delivery.on_receipt(receipt, packet.retained)
        if result == "again":
            await self._record_other("sent_again", store=receipt.store, upto=receipt.upto)
        elif result == "went_back":
            await self._start_epoch(receipt)
        elif result in ("foreign", "clone"):
            await self._note_foreign(receipt, packet.retained)

    async def _note_foreign(self, receipt: Receipt, retained: bool) -> None:
        log.info("a receipt for outbox %s up to %d: not of this terminal", receipt.outbox, receipt.upto)
        if not retained and self._link.clone_seen(receipt.outbox, same_identity=False):
            await self._record_other("twin", outbox=receipt.outbox, upto=receipt.upto)

    async def _start_epoch(self, receipt: Receipt) -> None:
        """The county has more rows of this outbox than the file ever had: start a new outbox id and publish it by a birth."""
        before, self._presence.outbox = self._presence.outbox, os.urandom(6).hex()
        await self._delivery.start_epoch(self._presence.outbox)
        self._link.clone_seen(before, same_identity=True)  # possibly: the copy may be running on another terminal
        log.error(
            "the outbox file is an older copy of itself: outbox %s ends, %s begins", before, self._presence.outbox
        )
        await self._record_other("outbox_went_back", outbox_before=before, receipted=receipt.upto, store=receipt.store)
        await self._presence.publish_birth(self._link)
