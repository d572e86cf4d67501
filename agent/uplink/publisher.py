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
from agent.uplink.rejections import Hold, Refusals
from common.clock import Clock
from common.messages import Journal
from common.mqtt.errors import NO_SUBSCRIBERS, PACKET_TOO_LARGE, UNSPECIFIED, LinkLost, Refused, of_row

log = logging.getLogger(__name__)

MAY_BE_THE_ROW = frozenset({"disconnected", "packet_too_large", "not_understood", "connection_cut"})
MOST_DEATHS = 256

# taken by the broker; `freed`: taken, and others of its leaf had been waiting for this; taken while nobody subscribes;
# refused and held; refused together: one of them is at fault
Handed: TypeAlias = Literal["taken", "freed", "nobody", "refused", "one by one"]


async def _nobody_told(_hold: Hold) -> None:
    """Where no journal is kept."""


class HandOver:
    """`refusals` says what may be tried now; `refused_again` is set with each new refusal."""

    def __init__(
        self, writer: Writer, link: Link, clock: Clock, broker_is_enough: bool,
        tell_refused: Callable[[Hold], Awaitable[None]] = _nobody_told,
    ) -> None:  # fmt: skip
        self._writer, self._link, self._clock = writer, link, clock
        self._broker_is_enough, self._tell_refused = broker_is_enough, tell_refused
        self._taken: dict[int, str] = {}  # places the broker took, with their outbox id, where that is enough
        self._present: dict[str, int] = {}  # retained leaf -> its newest place
        self._deaths: dict[int, int] = {}  # first place of what was under way when a connection ended, and how often
        self.alone_upto = 0  # captures up to here go one by one: one of them is refused
        self.refusals = Refusals()
        self.refused_again = asyncio.Event()

    def committed(self, rows: Sequence[Row]) -> None:
        """What stands for the present from now on."""
        self._present |= {row.leaf: row.rowid for row in rows if row.retained}

    async def waiting(self, rows: Sequence[Row], *, late: bool) -> Handed:
        """Hand over rows that the county has not receipted: one, or captures that go together."""
        handed = await self.publish(rows, late=late)
        if handed in ("refused", "one by one"):
            return handed
        self._deaths.pop(rows[0].rowid, None)
        freed = self.refusals.taken(rows)
        if self._broker_is_enough:
            await self._note_taken(rows)
            handed = "taken"
        return "freed" if freed else handed

    async def publish(self, rows: Sequence[Row], *, late: bool) -> Handed:
        """What the broker said. Where the connection ends meanwhile this never returns: whoever owns the caller cancels it."""
        first = rows[0]
        while quiet_ms := self.refusals.quiet_ms(self._clock.mono_ms()):
            await self._clock.sleep(quiet_ms / 1000)
        newest = first.retained and (not late or await self._writer.run_in_thread(lambda box: box.is_newest(first)))
        try:
            code = await self._link.publish(
                first.leaf, payload_of(rows, self._clock), late=late,
                retain=lambda: newest and self._present.get(first.leaf, 0) <= first.rowid,
            )  # fmt: skip
        except Refused as error:
            return await self._note_refused(rows, error)
        except LinkLost as error:
            await self._note_lost(rows, error)
            await asyncio.Event().wait()
            raise
        return "nobody" if code == NO_SUBSCRIBERS else "taken"

    async def give_up(self, hold: Hold) -> None:
        """A reading that the broker will never take makes room for what is behind it: a void keeps its place."""
        stamp = Journal(**sequenced(self._clock), event="void")
        try:
            await self._writer.run_in_thread(lambda box: box.void_rows([hold.place], hold.trouble.code, stamp))
        except sqlite3.Error as error:  # a full disk: it is tried again
            log.error("row %d cannot be given up: %s", hold.place, error)
        else:
            log.warning("given up after %d refusals: %s", hold.tries, hold.trouble)
            self.refusals.forget(hold)

    async def _note_lost(self, rows: Sequence[Row], error: LinkLost) -> None:
        """A row that ends connection after connection is as good as refused: mosquitto says 'packet too large' (its
        `message_size_limit`) with a code that MQTT 5 does not have there, others end the connection without a word."""
        if error.trouble.code not in MAY_BE_THE_ROW:
            return
        deaths = self._deaths.get(rows[0].rowid, 0) + 1
        self._deaths = {place: n for place, n in self._deaths.items() if place >= rows[0].rowid - MOST_DEATHS}
        self._deaths[rows[0].rowid] = deaths
        if deaths >= 2 and len(rows) > 1:
            self.alone_upto = max(self.alone_upto, rows[-1].rowid)
        elif deaths >= 3:
            code = PACKET_TOO_LARGE if error.trouble.code == "packet_too_large" else UNSPECIFIED
            said = f"ended {deaths} connections: {error.trouble}"
            await self._note_refused(rows, Refused(of_row(code, said, rows[0].leaf), code))

    async def _note_refused(self, rows: Sequence[Row], error: Refused) -> Handed:
        """Shown in the link's state and in the journal; the rows stay."""
        known = {(hold.leaf.partition("/")[0], hold.code) for hold in self.refusals.holds}
        hold = self.refusals.refused(rows, error.code, error.trouble, self._clock.mono_ms())
        if hold is None and len(rows) > 1:
            self.alone_upto = max(self.alone_upto, rows[-1].rowid)
            return "one by one"
        self.refused_again.set()
        kind = rows[0].leaf.partition("/")[0]
        if hold and (kind, hold.code) not in known:
            log.warning("the broker refuses %s", error.trouble)
            if kind != "journal":  # an entry about entries that are refused would be refused as well
                await self._tell_refused(hold)
        return "refused"

    async def _note_taken(self, rows: Sequence[Row]) -> None:
        self._taken |= {row.rowid: row.outbox for row in rows}
        taken = self._taken.copy()
        try:
            front = await self._writer.run_in_thread(lambda box: _forget_taken(box, taken))
        except sqlite3.Error as error:  # a full disk: taken is taken, said with the next row
            log.error("what the broker took cannot be noted: %s", error)
        else:
            self._taken = {place: outbox for place, outbox in self._taken.items() if place >= front}


def _forget_taken(box: Outbox, taken: Mapping[int, str]) -> int:
    """Forget, without a gap, what the broker took; gives the first place that it did not (in the outbox's thread)."""
    while (waiting := box.waiting(0, 1)) and (outbox := taken.get(waiting[0].rowid)):
        place = waiting[0].rowid
        while taken.get(place + 1) == outbox:  # one transaction for all of an outbox id
            place += 1
        box.acknowledge_broker(place)
    return waiting[0].rowid if waiting else box.last_rowid() + 1
