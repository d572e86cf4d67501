"""From the outbox to the county: live first, the backlog paced behind it, and again where no receipt comes.

A PUBACK says only that the broker took a row: it stays until the recorder's receipt covers it. What was committed before
the connection came up is backlog: marked late, sent without the retain flag, captures batched.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from agent.clock import Clock, rfc3339
from agent.county.link import Link
from agent.messages import Receipt, Scan
from agent.store import carried, scan_archive
from agent.store.handed_over import HandedOver
from agent.store.outbox import Outbox, OutboxFull, Row
from agent.store.writer import Writer
from agent.wire import NO_SUBSCRIBERS, LinkLost, Refused

log = logging.getLogger(__name__)

BATCH = 50  # captures in one message of the backlog
LIVE_AT_ONCE = 4
PATIENCE_S = (60.0, 3600.0)  # without a receipt: first, at most (doubling)
NOBODY_S = 10.0  # first patience where the broker says that nobody subscribes: the recorder is on its way


class _ScanBatch(Scan, frozen=True, kw_only=True):
    """A Scan whose captures are the rows' own bytes: a body never changes after its commit."""

    captures: tuple[msgspec.Raw, ...]  # type: ignore[assignment]


class Pace(NamedTuple):
    """How fast the backlog may go, so that it stays behind what is live."""

    bytes_per_s: int = 40_000  # 0.32 Mbit/s: under 10 % of an 8M line


class Delivery:
    """`run` belongs into the daemon's task group; `on_rows` is told what was committed, `on_receipt` of receipts."""

    def __init__(self, writer: Writer, link: Link, clock: Clock, *, broker_is_enough: bool, pace: Pace) -> None:
        self._writer, self._link, self._clock, self._pace = writer, link, clock, pace
        self._broker_is_enough = broker_is_enough
        self._taken: set[int] = set()  # rows the broker took, where that is enough
        self._handed = HandedOver()
        self._live: asyncio.Queue[Row] = asyncio.Queue()
        self._live_from = 0  # rows up to here are backlog for this connection
        self._cursor = 0  # backlog is handed over up to here
        self._backlog_again = asyncio.Event()
        self._progress_mono_ms = 0
        self._patience_s = PATIENCE_S[0]
        self._impatient = asyncio.Event()  # patience has become shorter
        self._idle = False  # nothing waited when the outbox was last asked
        self._reached_nobody = False  # something that the broker took, and nobody subscribed to

    def on_rows(self, rows: Sequence[Row]) -> None:
        """Committed just now: live, if the link is up; else it is in the backlog when the link comes up."""
        if self._link.up.is_set():
            for row in rows:
                self._live.put_nowait(row)

    async def on_receipt(self, receipt: Receipt, retained: bool) -> str:
        """Take a receipt in: what `Outbox.receipt` says of it."""
        if not self._handed.knows(receipt.outbox):
            known = await self._writer.ask(lambda box: box.handed(receipt.outbox))
            self._handed.begin(receipt.outbox, known)
        for first, last in await self._writer.ask(lambda box: carried.spans_of(box, receipt)):
            self._handed.carried(receipt.outbox, first, last)
        upto = self._handed.upto(receipt)
        meaning, self._idle = await self._writer.ask(
            lambda box: (box.receipt(receipt, retained, upto), not box.waiting(0, 1))
        )
        if meaning in ("advanced", "again"):
            self._progressed()
        if meaning == "again" or (self._reached_nobody and meaning != "foreign"):  # the recorder is there now
            self._reached_nobody = False
            await self._send_again()
        elif meaning == "same" and not self._idle:  # it is there, and lacks what the broker took: not a minute more
            self._hurry()
        return meaning

    async def begin_anew(self, outbox: str) -> None:
        """The outbox file is an older copy of itself: this run's rows go under a new id (`Outbox.begin_anew`)."""
        await self._writer.ask(lambda box: box.begin_anew(outbox))
        await self._send_again()

    def send_asked(self) -> None:
        """A range was marked to be sent again (`scan_archive.resend_mark`)."""
        self._backlog_again.set()

    async def run(self) -> None:
        """Until cancelled: a connection after the other."""
        while True:
            await self._link.up.wait()
            self._live = asyncio.Queue()
            self._progressed()
            await self._send_again()
            async with asyncio.TaskGroup() as group:
                works = [self._send_live() for _ in range(LIVE_AT_ONCE)] + [self._send_backlog(), self._ask_again()]
                loops = [group.create_task(work) for work in works]
                await self._link.down.wait()
                for loop in loops:
                    loop.cancel()

    async def _send_again(self) -> None:
        self._live_from = await self._writer.ask(lambda box: box.last_id())
        self._cursor = 0
        self._backlog_again.set()

    def _progressed(self) -> None:
        self._progress_mono_ms = self._clock.mono_ms()
        self._patience_s = PATIENCE_S[0]

    def _hurry(self) -> None:
        if self._patience_s > NOBODY_S:
            self._patience_s = NOBODY_S
            self._impatient.set()

    async def _send_live(self) -> None:
        """One of a few: each hands over the next row and waits for its acknowledgement; they start in order."""
        while True:
            row = await self._live.get()
            if row.id > self._live_from:  # else it became backlog meanwhile
                await self._hand_over([row], late=False)

    async def _send_backlog(self) -> None:
        await self._clock.sleep(1)  # the retained receipt comes first: what it covers is not sent again
        for row in await self._writer.ask(lambda box: box.asks()):
            await self._hand_over([row], late=True, receipted=True)
        while True:
            self._backlog_again.clear()
            while rows := await self._next_backlog():
                handed = await self._hand_over(rows, late=True)
                if handed == "taken":
                    self._cursor = max(self._cursor, rows[-1].id)
                elif handed == "nobody":
                    break  # the others would reach nobody either: asked again by `_ask_again`
                await self._pause(rows)
            await self._send_asked()
            await self._backlog_again.wait()

    async def _send_asked(self) -> None:
        """Captures that were asked for again, though receipted: behind the backlog, late, until the broker took them."""
        while again := await self._writer.ask(scan_archive.next_again):
            rows, mark = await self._writer.ask(lambda box, again=again: scan_archive.rows_again(box, again, BATCH))
            handed = await self._hand_over(rows, late=True, receipted=True) if rows else "taken"
            if handed == "nobody":
                return
            if handed == "taken":
                try:
                    await self._writer.commit([], mark)
                except (OutboxFull, sqlite3.Error) as error:
                    log.error("what was sent again cannot be noted: %s", error)
                    return
            await self._pause(rows)

    async def _pause(self, rows: Sequence[Row]) -> None:
        await self._clock.sleep(sum(len(row.body) for row in rows) / self._pace.bytes_per_s)

    async def _next_backlog(self) -> list[Row]:
        """The next row, or the next captures that follow one another."""
        cursor, until = self._cursor, self._live_from
        rows = await self._writer.ask(lambda box: box.waiting(cursor, BATCH, until))
        if not rows or rows[0].leaf != "scan":
            return rows[:1]
        end = next((i for i, row in enumerate(rows) if row.leaf != "scan" or row.outbox != rows[0].outbox), len(rows))
        return rows[:end]

    async def _ask_again(self) -> None:
        """No receipt for long though the broker took the rows: hand them over again (a broker that died forgot them)."""
        while True:
            self._impatient.clear()
            left_s = self._patience_s - (self._clock.mono_ms() - self._progress_mono_ms) / 1000
            if left_s > 0:
                await self._until_impatient(left_s)
                continue
            self._progress_mono_ms = self._clock.mono_ms()
            self._patience_s = min(PATIENCE_S[1], self._patience_s * 2)
            if await self._writer.ask(lambda box: box.waiting(0, 1)):
                await self._send_again()
            elif await self._writer.ask(scan_archive.next_again):
                self.send_asked()
            else:
                self._idle = True

    async def _until_impatient(self, seconds: float) -> None:
        """Sleep, but not on where patience becomes shorter meanwhile."""
        async with asyncio.TaskGroup() as group:
            either = [group.create_task(self._impatient.wait()), group.create_task(self._clock.sleep(seconds))]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            for task in either:
                task.cancel()

    async def _hand_over(
        self, rows: Sequence[Row], *, late: bool, receipted: bool = False
    ) -> Literal["taken", "nobody", "again"]:
        """Publish and wait for the PUBACK: taken by the broker, taken but nobody subscribes, or to be sent again."""
        first = rows[0]
        if self._idle:  # patience begins with the first row that waits
            self._idle = False
            self._progressed()
        body = self._scan(rows) if first.leaf == "scan" else first.body
        retain = first.retained and (not late or await self._writer.ask(lambda box: box.is_newest(first)))
        try:
            code = await self._link.publish(first.leaf, body, retain=retain, late=late)
        except Refused:
            await self._clock.sleep(5)  # shown in the link's state; the row stays
            return "again"
        except LinkLost:
            return "again"
        if unanswered := self._handed.note(rows):  # a receipt was quicker than the acknowledgement
            await self.on_receipt(unanswered, False)
        if self._broker_is_enough and not receipted:
            self._taken.update(row.id for row in rows)
            try:
                await self._writer.ask(self._acknowledge_taken)
            except sqlite3.Error as error:  # a full disk: taken is taken, said with the next row
                log.error("what the broker took cannot be noted: %s", error)
        elif code == NO_SUBSCRIBERS and not self._broker_is_enough:
            self._hurry()
            self._reached_nobody = True
            return "nobody"
        return "taken"

    def _acknowledge_taken(self, box: Outbox) -> None:
        """Forget, without a gap, what the broker took (in the outbox's thread)."""
        next_row = box.waiting(0, 1)
        place = next_row[0].id if next_row else 0
        while place in self._taken:
            box.acknowledge_broker(place)
            self._taken.discard(place)
            place += 1

    def _scan(self, rows: Sequence[Row]) -> bytes:
        return msgspec.json.encode(
            _ScanBatch(
                boot=self._clock.boot, at=rfc3339(self._clock.now()), mono_ms=self._clock.mono_ms(),
                clock=self._clock.quality(), outbox=rows[0].outbox,
                captures=tuple(msgspec.Raw(row.body) for row in rows),
            )
        )  # fmt: skip
