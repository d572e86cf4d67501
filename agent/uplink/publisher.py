"""Rows to the broker, one message at a time: published, acknowledged or refused, and what follows from that for them."""

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

# taken by the broker; `freed`: taken, and others of its leaf had been waiting for this; taken while nobody subscribes;
# refused and held; refused together: one of them is at fault
Outcome: TypeAlias = Literal["accepted", "unblocked", "no_subscriber", "rejected", "split"]


async def _ignore(_hold: Rejection) -> None:
    """Where no journal is kept."""


class Publisher:
    """`refusals` says what may be tried now; `refused_again` is set with each new refusal."""

    def __init__(
        self, writer: Writer, link: Link, clock: Clock, puback_suffices: bool,
        on_rejected: Callable[[Rejection], Awaitable[None]] = _ignore,
    ) -> None:  # fmt: skip
        self._writer, self._link, self._clock = writer, link, clock
        self._puback_suffices, self._on_rejected = puback_suffices, on_rejected
        self._accepted: dict[int, str] = {}  # places the broker took, with their outbox id, where that is enough
        self._newest: dict[str, int] = {}  # retained leaf -> its newest place
        self._disconnects: dict[
            int, int
        ] = {}  # first place of what was under way when a connection ended, and how often
        self.single_until = 0  # captures up to here go one by one: one of them is refused
        self.rejections = Rejections()
        self.rejection_added = asyncio.Event()

    def on_commit(self, rows: Sequence[Row]) -> None:
        """What stands for the present from now on."""
        self._newest |= {row.leaf: row.rowid for row in rows if row.retained}

    async def publish_waiting(self, rows: Sequence[Row], *, late: bool) -> Outcome:
        """Hand over rows that the county has not receipted: one, or captures that go together."""
        handed = await self.publish(rows, late=late)
        if handed in ("rejected", "split"):
            return handed
        self._disconnects.pop(rows[0].rowid, None)
        freed = self.rejections.accepted(rows)
        if self._puback_suffices:
            await self._note_accepted(rows)
            handed = "accepted"
        return "unblocked" if freed else handed

    async def publish(self, rows: Sequence[Row], *, late: bool) -> Outcome:
        """What the broker said. Where the connection ends meanwhile this never returns: whoever owns the caller cancels it."""
        first = rows[0]
        while quiet_ms := self.rejections.blocked_ms(self._clock.mono_ms()):
            await self._clock.sleep(quiet_ms / 1000)
        newest = first.retained and (not late or await self._writer.run_in_thread(lambda box: box.is_newest(first)))
        try:
            code = await self._link.publish(
                first.leaf, payload_of(rows, self._clock), late=late,
                retain=lambda: newest and self._newest.get(first.leaf, 0) <= first.rowid,
            )  # fmt: skip
        except Rejected as error:
            return await self._note_rejected(rows, error)
        except LinkLost as error:
            await self._note_lost(rows, error)
            await asyncio.Event().wait()
            raise
        return "no_subscriber" if code == NO_SUBSCRIBERS else "accepted"

    async def drop(self, rejection: Rejection) -> None:
        """A reading that the broker will never take makes room for what is behind it: a void keeps its place."""
        stamp = Journal(**sequenced(self._clock), event="void")
        try:
            await self._writer.run_in_thread(
                lambda box: box.void_rows([rejection.rowid], rejection.problem.code, stamp)
            )
        except sqlite3.Error as error:  # a full disk: it is tried again
            log.error("row %d cannot be given up: %s", rejection.rowid, error)
        else:
            log.warning("given up after %d refusals: %s", rejection.tries, rejection.problem)
            self.rejections.remove(rejection)

    async def _note_lost(self, rows: Sequence[Row], error: LinkLost) -> None:
        """A row that ends connection after connection is as good as refused: mosquitto says 'packet too large' (its
        `message_size_limit`) with a code that MQTT 5 does not have there, others end the connection without a word."""
        if error.problem.code not in ROW_SUSPECTED:
            return
        deaths = self._disconnects.get(rows[0].rowid, 0) + 1
        self._disconnects = {
            place: n for place, n in self._disconnects.items() if place >= rows[0].rowid - MAX_DISCONNECTS
        }
        self._disconnects[rows[0].rowid] = deaths
        if deaths >= 2 and len(rows) > 1:
            self.single_until = max(self.single_until, rows[-1].rowid)
        elif deaths >= 3:
            code = PACKET_TOO_LARGE if error.problem.code == "packet_too_large" else UNSPECIFIED
            said = f"ended {deaths} connections: {error.problem}"
            await self._note_rejected(rows, Rejected(from_puback(code, said, rows[0].leaf), code))

    async def _note_rejected(self, rows: Sequence[Row], error: Rejected) -> Outcome:
        """Shown in the link's state and in the journal; the rows stay."""
        known = {(hold.leaf.partition("/")[0], hold.code) for hold in self.rejections.all}
        hold = self.rejections.add(rows, error.code, error.problem, self._clock.mono_ms())
        if hold is None and len(rows) > 1:
            self.single_until = max(self.single_until, rows[-1].rowid)
            return "split"
        self.rejection_added.set()
        kind = rows[0].leaf.partition("/")[0]
        if hold and (kind, hold.code) not in known:
            log.warning("the broker refuses %s", error.problem)
            if kind != "journal":  # an entry about entries that are refused would be refused as well
                await self._on_rejected(hold)
        return "rejected"

    async def _note_accepted(self, rows: Sequence[Row]) -> None:
        self._accepted |= {row.rowid: row.outbox for row in rows}
        taken = self._accepted.copy()
        try:
            front = await self._writer.run_in_thread(lambda box: _remove_accepted(box, taken))
        except sqlite3.Error as error:  # a full disk: taken is taken, said with the next row
            log.error("what the broker took cannot be noted: %s", error)
        else:
            self._accepted = {place: outbox for place, outbox in self._accepted.items() if place >= front}


def _remove_accepted(box: Outbox, accepted: Mapping[int, str]) -> int:
    """Forget, without a gap, what the broker took; gives the first place that it did not (in the outbox's thread)."""
    while (waiting := box.waiting(0, 1)) and (outbox := accepted.get(waiting[0].rowid)):
        place = waiting[0].rowid
        while accepted.get(place + 1) == outbox:  # one transaction for all of an outbox id
            place += 1
        box.acknowledge_broker(place)
    return waiting[0].rowid if waiting else box.last_rowid() + 1
