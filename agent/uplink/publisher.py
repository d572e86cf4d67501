"""Publishes rows to the broker, one message at a time, and records the outcome: acknowledged, rejected, or connection lost."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from agent.outbox.outbox import Outbox, Row
from agent.outbox.stamps import sequenced
from agent.outbox.writer import Writer
from agent.uplink.batches import payload_of
from agent.uplink.link import Link
from agent.uplink.rejections import Rejection, Rejections
from common.clock import Clock
from common.messages import Journal
from common.mqtt.errors import NO_SUBSCRIBERS, PACKET_TOO_LARGE, UNSPECIFIED, LinkLost, Rejected, from_puback

log = logging.getLogger(__name__)

ROW_SUSPECTED = frozenset({"disconnected", "packet_too_large", "not_understood", "connection_cut"})
MAX_DISCONNECTS = 256

# accepted by the broker; `unblocked`: accepted, and other rows of its topic had been waiting for that; accepted, but no
# subscriber; rejected, to be retried; `split`: a batch was rejected, one of its rows is faulty
Outcome: TypeAlias = Literal["accepted", "unblocked", "no_subscriber", "rejected", "split"]


async def _ignore(_rejection: Rejection) -> None:
    """If no journal is kept."""


class Publisher:
    """`rejections` decides what may be published now; `rejection_added` is set by each rejection."""

    def __init__(
        self,
        writer: Writer,
        link: Link,
        clock: Clock,
        puback_suffices: bool,
        on_rejected: Callable[[Rejection], Awaitable[None]] = _ignore,
    ) -> None:
        self._writer, self._link, self._clock = writer, link, clock
        self._puback_suffices, self._on_rejected = puback_suffices, on_rejected
        self._accepted: dict[int, str] = {}  # rowid -> outbox id of rows with a PUBACK, if that suffices
        self._newest: dict[str, int] = {}  # retained topic -> its newest rowid
        # first rowid of the message in flight when a connection ended -> how often that happened
        self._disconnects: dict[int, int] = {}
        self.single_until = 0  # captures up to this rowid are published one by one: one of them is rejected
        self.rejections = Rejections()
        self.rejection_added = asyncio.Event()

    def on_commit(self, rows: Sequence[Row]) -> None:
        """Note the newest row of each retained topic."""
        self._newest |= {row.leaf: row.rowid for row in rows if row.retained}

    async def publish_waiting(self, rows: Sequence[Row], *, late: bool) -> Outcome:
        """Publish rows without a receipt: one row, or a batch of captures."""
        outcome = await self.publish(rows, late=late)
        if outcome in ("rejected", "split"):
            return outcome
        self._disconnects.pop(rows[0].rowid, None)
        unblocked = self.rejections.accepted(rows)
        if self._puback_suffices:
            await self._note_accepted(rows)
            outcome = "accepted"
        return "unblocked" if unblocked else outcome

    async def publish(self, rows: Sequence[Row], *, late: bool) -> Outcome:
        """Publish and return the outcome. Never returns if the connection ends meanwhile: the caller's task gets cancelled."""
        first = rows[0]
        while blocked_ms := self.rejections.blocked_ms(self._clock.mono_ms()):
            await self._clock.sleep(blocked_ms / 1000)
        newest = first.retained and (not late or await self._writer.run_in_thread(lambda box: box.is_newest(first)))
        try:
            code = await self._link.publish(
                first.leaf,
                payload_of(rows, self._clock),
                late=late,
                retain=lambda: newest and self._newest.get(first.leaf, 0) <= first.rowid,
            )
        except Rejected as error:
            return await self._note_rejected(rows, error)
        except LinkLost as error:
            await self._note_lost(rows, error)
            await asyncio.Event().wait()
            raise
        return "no_subscriber" if code == NO_SUBSCRIBERS else "accepted"

    async def drop(self, rejection: Rejection) -> None:
        """Replace a row that the broker will never accept by a void, so that receipts can advance past it."""
        stamp = Journal(**sequenced(self._clock), event="void")
        try:
            await self._writer.run_in_thread(
                lambda box: box.void_rows([rejection.rowid], rejection.problem.code, stamp)
            )
        except sqlite3.Error as error:  # disk full: retried later
            log.error("row %d cannot be dropped: %s", rejection.rowid, error)
        else:
            log.warning("row dropped after %d rejections: %s", rejection.tries, rejection.problem)
            self.rejections.remove(rejection)

    async def _note_lost(self, rows: Sequence[Row], error: LinkLost) -> None:
        """Treat a row that was in flight at the end of 3 connections as rejected: mosquitto reports its `message_size_limit` by
        PUBACK 0x95, which MQTT 5 does not allow there, so that paho ends the connection; other brokers just close it."""
        if error.problem.code not in ROW_SUSPECTED:
            return
        disconnects = self._disconnects.get(rows[0].rowid, 0) + 1
        self._disconnects = {
            rowid: n for rowid, n in self._disconnects.items() if rowid >= rows[0].rowid - MAX_DISCONNECTS
        }
        self._disconnects[rows[0].rowid] = disconnects
        if disconnects >= 2 and len(rows) > 1:
            self.single_until = max(self.single_until, rows[-1].rowid)
        elif disconnects >= 3:
            code = PACKET_TOO_LARGE if error.problem.code == "packet_too_large" else UNSPECIFIED
            detail = f"ended {disconnects} connections: {error.problem}"
            await self._note_rejected(rows, Rejected(from_puback(code, detail, rows[0].leaf), code))

    async def _note_rejected(self, rows: Sequence[Row], error: Rejected) -> Outcome:
        """Record a rejection for the link's state and the journal; the rows stay in the outbox."""
        known = {(rejection.leaf.partition("/")[0], rejection.code) for rejection in self.rejections.all}
        rejection = self.rejections.add(rows, error.code, error.problem, self._clock.mono_ms())
        if rejection is None and len(rows) > 1:
            self.single_until = max(self.single_until, rows[-1].rowid)
            return "split"
        self.rejection_added.set()
        kind = rows[0].leaf.partition("/")[0]
        if rejection and (kind, rejection.code) not in known:
            log.warning("the broker rejects %s", error.problem)
            if kind != "journal":  # an entry about rejected entries would be rejected too
                await self._on_rejected(rejection)
        return "rejected"

    async def _note_accepted(self, rows: Sequence[Row]) -> None:
        self._accepted |= {row.rowid: row.outbox for row in rows}
        accepted = self._accepted.copy()
        try:
            first_left = await self._writer.run_in_thread(lambda box: _remove_accepted(box, accepted))
        except sqlite3.Error as error:  # disk full: the PUBACK is recorded with the next row
            log.error("PUBACKs cannot be recorded: %s", error)
        else:
            self._accepted = {rowid: outbox for rowid, outbox in self._accepted.items() if rowid >= first_left}


def _remove_accepted(box: Outbox, accepted: Mapping[int, str]) -> int:
    """Mark accepted rows up to the first gap as delivered; returns the first rowid left (in the outbox's thread)."""
    while (waiting := box.waiting(0, 1)) and (outbox := accepted.get(waiting[0].rowid)):
        rowid = waiting[0].rowid
        while accepted.get(rowid + 1) == outbox:  # one transaction for all of an outbox id
            rowid += 1
        box.acknowledge_broker(rowid)
    return waiting[0].rowid if waiting else box.last_rowid() + 1
