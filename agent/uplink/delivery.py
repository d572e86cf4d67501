"""From the outbox to the county: live first, the backlog paced behind it, and again where no receipt comes.

    on_rows ─> live queue (bounded) ─> 4 senders ─┐
    outbox ──> backlog, paced, batched ───────────┼─> hand over ─> link ─> broker ─> recorder ─> on_receipt
    refused ─> tried again, ever more rarely ─────┘

A PUBACK says only that the broker took a row: it stays until the recorder's receipt covers it. What was committed before
the connection came up is backlog: marked late, captures batched, without the retain flag unless it is the newest of its topic.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from agent.outbox import archive, sent
from agent.outbox.outbox import Outbox, OutboxFull, Row
from agent.outbox.sent import CloneDetector, Sent
from agent.outbox.writer import Writer
from agent.uplink.batches import MAX_ROWS, next_batch
from agent.uplink.link import OVERHEAD, Link
from agent.uplink.publisher import Outcome, Publisher
from agent.uplink.receipt_timeout import ReceiptTimeout
from agent.uplink.rejections import Rejection
from common.clock import Clock, first_of
from common.messages import Receipt

log = logging.getLogger(__name__)

LIVE_SENDERS = 4
LIVE_QUEUE_SIZE = 256  # rows that wait to be sent live: a broker that acknowledges slowly makes backlog of the rest


class Pace(NamedTuple):
    """How fast the backlog may go, so that it stays behind what is live."""

    bytes_per_s: int = 40_000  # 0.32 Mbit/s: under 10 % of an 8M line


class Delivery:
    """`run` belongs into the daemon's task group; `on_rows` is told what was committed, `on_receipt` of receipts.

    `refused`: told of the first refusal of a kind (for the journal).
    """

    def __init__(
        self, writer: Writer, link: Link, clock: Clock, *, puback_suffices: bool, pace: Pace,
        on_rejected: Callable[[Rejection], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._writer, self._link, self._clock, self._pace = writer, link, clock, pace
        self._publisher = Publisher(writer, link, clock, puback_suffices, on_rejected)
        self._rejections = self._publisher.rejections
        self._sent, self._clone_detector = Sent(), CloneDetector()
        self._live: asyncio.Queue[Row] = asyncio.Queue()
        self._live_from = 0  # rows up to here are backlog for this connection
        self._cursor = 0  # backlog is handed over up to here
        self._pass_number = 0  # a number for each time that the backlog begins anew: the cursor belongs to it
        self._draining = False
        self._backlog_requested = asyncio.Event()
        self._receipt_timeout = ReceiptTimeout(clock)
        self._shortened = False  # patience was cut short since the last receipt that advanced
        self._idle = False  # nothing waited when the outbox was last asked
        self._recorder_present = False  # it said something since patience last ran out
        self._no_subscriber = False  # something that the broker took, and nobody subscribed to

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """What the broker refused and is tried again."""
        return self._rejections.all

    def on_commit(self, rows: Sequence[Row]) -> None:
        """Committed just now: live, if the link is up; else it is in the backlog when the link comes up."""
        self._publisher.on_commit(rows)
        if not self._link.up.is_set():
            return
        if self._live.qsize() + len(rows) > LIVE_QUEUE_SIZE:
            self._live_from = rows[-1].rowid
            while not self._live.empty():
                self._live.get_nowait()
            self._backlog_requested.set()
        else:
            for row in rows:
                self._live.put_nowait(row)

    async def on_receipt(self, receipt: Receipt, retained: bool) -> str:
        """Take a receipt in: what `Outbox.receipt` says of it, or `elsewhere` (`agent.outbox.sent`)."""
        if not retained:
            self._link.recorder_seen()
        if not self._sent.knows(receipt.outbox):
            known = await self._writer.run_in_thread(lambda box: box.sent_upto(receipt.outbox))
            self._sent.begin(receipt.outbox, known)
        for first, last in await self._writer.run_in_thread(lambda box: sent.parcel_spans(box, receipt)):
            self._sent.add_parcel(receipt.outbox, first, last)
        upto = self._sent.upto(receipt)
        meaning, oldest = await self._writer.run_in_thread(
            lambda box: (box.apply_receipt(receipt, retained, upto), box.waiting(0, 1))
        )
        self._idle = not oldest
        if meaning in ("advanced", "again"):
            self._receipt_timeout.restart()
            self._shortened = False
        self._recorder_present |= meaning != "foreign" and not retained
        if meaning == "again" or (self._no_subscriber and meaning != "foreign"):  # the recorder is there now
            self._no_subscriber = False
            await self._restart_backlog()
        elif meaning == "same" and oldest and not self._shortened and not self._rejections.blocks(oldest[0]):
            # it is there, and lacks what the broker took: not a minute more
            self._shortened = self._recorder_present = True
            self._receipt_timeout.shorten()
        if not retained and meaning in ("same", "advanced"):
            last_seq = await self._writer.run_in_thread(lambda box: box.last_seq_of(receipt.outbox))
            return "elsewhere" if self._clone_detector.saw(receipt, last_seq) else meaning
        return meaning

    async def start_epoch(self, outbox: str) -> None:
        """The outbox file is an older copy of itself: this run's rows go under a new id (`Outbox.begin_anew`)."""
        await self._writer.run_in_thread(lambda box: box.start_epoch(outbox))
        await self._restart_backlog()

    def start_replay(self) -> None:
        """A range was marked to be sent again (`archive.replay_state`)."""
        self._backlog_requested.set()

    async def run(self) -> None:
        """Until cancelled: a connection after the other."""
        while True:
            await self._link.up.wait()
            self._live = asyncio.Queue()
            self._recorder_present = self._shortened = False
            self._receipt_timeout.restart()
            await self._restart_backlog()
            async with asyncio.TaskGroup() as group:
                works = [self._send_live() for _ in range(LIVE_SENDERS)]
                works += [self._send_backlog(), self._watch_receipt_timeout(), self._retry_rejected()]
                loops = [group.create_task(work) for work in works]
                await self._link.down.wait()
                for loop in loops:
                    loop.cancel()

    async def _restart_backlog(self) -> None:
        last = await self._writer.run_in_thread(lambda box: box.last_rowid())
        self._live_from = max(self._live_from, last)
        self._cursor, self._pass_number = 0, self._pass_number + 1
        self._backlog_requested.set()

    async def _send_live(self) -> None:
        """One of a few: each hands over the next row and waits for its acknowledgement; they start in order."""
        while True:
            row = await self._live.get()
            if row.rowid > self._live_from and not self._rejections.blocks(row):  # else it became backlog meanwhile
                await self._publish([row], late=False)

    async def _send_backlog(self) -> None:
        await self._clock.sleep(1)  # the retained receipt comes first: what it covers is not sent again
        for row in await self._writer.run_in_thread(lambda box: box.epoch_probes()):
            await self._note_outcome([row], await self._publisher.publish([row], late=True))
        while True:
            self._backlog_requested.clear()
            self._draining = True
            await self._drain()
            self._draining = False
            await self._send_replay()
            await self._backlog_requested.wait()

    async def _drain(self) -> None:
        """Hand over what waits, once; ends early where nobody is there to take it (`_ask_again` comes back to it)."""
        while rows := await self._next_backlog():
            this_pass, began_ms = self._pass_number, self._clock.mono_ms()
            handed = await self._publish(rows, late=True)
            if handed == "no_subscriber":
                return
            if handed != "split" and this_pass == self._pass_number:
                self._cursor = max(self._cursor, rows[-1].rowid)
            await self._keep_pace(rows, began_ms)

    async def _next_backlog(self) -> Sequence[Row]:
        """The next row, or the next captures that follow one another; what is held is passed over."""
        while True:
            this_pass, cursor, until = self._pass_number, self._cursor, self._live_from
            most = 1 if cursor < self._publisher.single_until else MAX_ROWS
            rows = await self._writer.run_in_thread(lambda box, a=cursor, n=most, b=until: box.waiting(a, n, b))
            over, batch = next_batch(rows, self._rejections.blocks, self._link.max_payload("scan"))
            if batch or not rows:
                return batch
            if this_pass == self._pass_number:
                self._cursor = over[-1].rowid

    async def _send_replay(self) -> None:
        """Captures that were asked for again, though receipted: behind the backlog, late, until the broker took them."""
        alone = False
        while again := await self._writer.run_in_thread(archive.next_replay):
            began_ms = self._clock.mono_ms()
            rows, mark = await self._replay_batch(again, 1 if alone else MAX_ROWS)
            handed: Outcome = await self._publisher.publish(rows, late=True) if rows else "accepted"
            await self._note_outcome(rows, handed)
            if handed == "split":
                alone = True
                continue
            if handed == "no_subscriber" or (handed == "rejected" and not alone):
                return  # `_ask_again` comes back to it
            try:  # one that is refused for itself is passed over: the county has it
                await self._writer.commit([], mark)
            except (OutboxFull, sqlite3.Error) as error:
                log.error("what was sent again cannot be noted: %s", error)
                return
            await self._keep_pace(rows, began_ms)

    async def _replay_batch(self, again: archive.Replay, most: int) -> tuple[Sequence[Row], dict[str, bytes | None]]:
        """As many captures as go into one message, and the mark to commit when they were taken."""
        rows, mark = await self._writer.run_in_thread(lambda box: archive.replay_rows(box, again, most))
        _, fit = next_batch(rows, lambda _row: False, self._link.max_payload("scan"))
        return (rows, mark) if len(fit) == len(rows) else await self._replay_batch(again, len(fit))

    async def _keep_pace(self, rows: Sequence[Row], began_ms: int) -> None:
        """What was waited for the acknowledgement counts."""
        size = OVERHEAD + sum(len(row.body) + 1 for row in rows)
        left_s = size / self._pace.bytes_per_s - (self._clock.mono_ms() - began_ms) / 1000
        await self._clock.sleep(max(0.0, left_s))

    async def _watch_receipt_timeout(self) -> None:
        """No receipt for long though the broker took the rows: hand them over again.

        Everything, where the recorder is there (the broker's queue for it was cut, or forgotten); where it says nothing, only
        the oldest: its receipt tells when it is back, and a recorder that is away for a week costs next to nothing.
        """
        while True:
            await self._receipt_timeout.expired()
            if self._draining:
                self._receipt_timeout.postpone()
                continue
            self._receipt_timeout.back_off()
            there, self._recorder_present = self._recorder_present or self._no_subscriber, False
            if oldest := await self._writer.run_in_thread(lambda box: box.waiting(0, 1)):
                if self._rejections.blocks(oldest[0]):
                    continue  # no receipt can advance before it is taken: `_try_refused` is at it
                if there:
                    await self._restart_backlog()
                else:
                    await self._publish(oldest, late=True)
            elif await self._writer.run_in_thread(archive.next_replay):
                self.start_replay()
            else:
                self._idle = True

    async def _retry_rejected(self) -> None:
        """What the broker refused, when its time has come: a row, or a row of the leaf that it stands for."""
        while True:
            self._publisher.rejection_added.clear()
            now_ms, next_ms = self._clock.mono_ms(), self._rejections.next_due_ms()
            if next_ms is None:
                await self._publisher.rejection_added.wait()
            elif hold := self._rejections.due(now_ms):
                await self._retry(hold)
            else:
                await first_of(self._publisher.rejection_added.wait(), self._clock.sleep((next_ms - now_ms) / 1000))

    async def _retry(self, hold: Rejection) -> None:
        def ask(box: Outbox) -> list[Row]:
            return box.waiting(hold.rowid - 1, 1, hold.rowid)

        if hold.droppable:
            await self._publisher.drop(hold)
        if rows := await self._writer.run_in_thread(ask):
            await self._publish(rows, late=True)
            return
        self._rejections.remove(hold)  # receipted meanwhile
        if hold.whole_topic:
            await self._restart_backlog()

    async def _note_outcome(self, rows: Sequence[Row], handed: Outcome) -> None:
        """What a broker took can be covered by a receipt: one may have come before its acknowledgement."""
        if handed in ("accepted", "unblocked", "no_subscriber") and (unanswered := self._sent.add(rows)):
            await self.on_receipt(unanswered, False)

    async def _publish(self, rows: Sequence[Row], *, late: bool) -> Outcome:
        if self._idle:  # patience begins with the first row that waits
            self._idle = False
            self._receipt_timeout.restart()
        handed = await self._publisher.publish_waiting(rows, late=late)
        await self._note_outcome(rows, handed)
        if handed == "unblocked":
            await self._restart_backlog()
        elif handed == "no_subscriber" and not self._no_subscriber:
            self._no_subscriber = True
            self._receipt_timeout.shorten()
        return handed
