"""From the outbox to the county: live rows first, the backlog paced behind them, and again if no receipt comes.

    on_commit ─> live queue (bounded) ────> 4 senders ─┐
    outbox ────> backlog, paced, batched ──────────────┼─> publisher ─> link ─> broker ─> recorder ─> on_receipt
    rejected ──> retried at growing intervals ─────────┘

A PUBACK means only that the broker accepted a row: it stays in the outbox until a receipt of the recorder covers it. Rows
committed before the connection came up are backlog: marked late, captures batched, without the retain flag unless the row is
the newest of its topic.
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
LIVE_QUEUE_SIZE = 256  # rows that wait to be sent live; if the broker acknowledges slowly, the rest becomes backlog


class Pace(NamedTuple):
    """Rate limit of the backlog, so that live rows come first."""

    bytes_per_s: int = 40_000  # 0.32 Mbit/s: under 10 % of an 8M line


class Delivery:
    """`run` belongs in the daemon's task group; `on_commit` is called with committed rows, `on_receipt` with each receipt.

    `on_rejected` is called with the first rejection of a kind (for the journal).
    """

    def __init__(
        self,
        writer: Writer,
        link: Link,
        clock: Clock,
        *,
        puback_suffices: bool,
        pace: Pace,
        on_rejected: Callable[[Rejection], Awaitable[None]],
    ) -> None:
        self._writer, self._link, self._clock, self._pace = writer, link, clock, pace
        self._publisher = Publisher(writer, link, clock, puback_suffices, on_rejected)
        self._rejections = self._publisher.rejections
        self._sent, self._clone_detector = Sent(), CloneDetector()
        self._live: asyncio.Queue[Row] = asyncio.Queue()
        self._live_from = 0  # rows up to here are backlog for this connection
        self._cursor = 0  # the backlog is published up to here
        self._pass_number = 0  # incremented when the backlog restarts; the cursor belongs to one pass
        self._draining = False
        self._backlog_requested = asyncio.Event()
        self._receipt_timeout = ReceiptTimeout(clock)
        self._shortened = False  # the timeout was shortened since the last receipt with progress
        self._idle = False  # nothing waited at the last query of the outbox
        self._recorder_present = False  # a message of it came since the timeout last expired
        self._no_subscriber = False  # the broker accepted a row that nobody subscribes to

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """What the broker rejected and is retried."""
        return self._rejections.all

    def on_commit(self, rows: Sequence[Row]) -> None:
        """Queue just committed rows to be sent live, if the link is up; else they are backlog when it comes up."""
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
        """Apply a receipt; returns the result of `Outbox.apply_receipt`, or `clone` (`agent.outbox.sent.CloneDetector`)."""
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
        if meaning == "again" or (self._no_subscriber and meaning != "foreign"):  # the recorder is back
            self._no_subscriber = False
            await self._restart_backlog()
        elif meaning == "same" and oldest and not self._shortened and not self._rejections.blocks(oldest[0]):
            # it is there, and has not got what the broker accepted: do not wait the full minute
            self._shortened = self._recorder_present = True
            self._receipt_timeout.shorten()
        if not retained and meaning in ("same", "advanced"):
            last_seq = await self._writer.run_in_thread(lambda box: box.last_seq_of(receipt.outbox))
            return "clone" if self._clone_detector.saw(receipt, last_seq) else meaning
        return meaning

    async def start_epoch(self, outbox: str) -> None:
        """The outbox file is an older copy of itself: this run's rows get a new outbox id (`Outbox.start_epoch`)."""
        await self._writer.run_in_thread(lambda box: box.start_epoch(outbox))
        await self._restart_backlog()

    def start_replay(self) -> None:
        """Send the requested range again (`archive.replay_state`)."""
        self._backlog_requested.set()

    async def run(self) -> None:
        """Deliver over one connection after another, until cancelled."""
        while True:
            await self._link.up.wait()
            self._live = asyncio.Queue()
            self._recorder_present = self._shortened = False
            self._receipt_timeout.restart()
            await self._restart_backlog()
            async with asyncio.TaskGroup() as group:
                jobs = [self._send_live() for _ in range(LIVE_SENDERS)]
                jobs += [self._send_backlog(), self._watch_receipt_timeout(), self._retry_rejected()]
                loops = [group.create_task(job) for job in jobs]
                await self._link.down.wait()
                for loop in loops:
                    loop.cancel()

    async def _restart_backlog(self) -> None:
        last = await self._writer.run_in_thread(lambda box: box.last_rowid())
        self._live_from = max(self._live_from, last)
        self._cursor, self._pass_number = 0, self._pass_number + 1
        self._backlog_requested.set()

    async def _send_live(self) -> None:
        """One of `LIVE_SENDERS`: publish the next row and wait for its PUBACK; rows start in order."""
        while True:
            row = await self._live.get()
            if row.rowid > self._live_from and not self._rejections.blocks(row):  # else it has become backlog
                await self._publish([row], late=False)

    async def _send_backlog(self) -> None:
        await self._clock.sleep(1)  # wait for the retained receipt: rows that it covers are not sent again
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
        """Publish what waits, once; stops early if nobody subscribes (`_watch_receipt_timeout` tries again)."""
        while rows := await self._next_backlog():
            this_pass, began_ms = self._pass_number, self._clock.mono_ms()
            outcome = await self._publish(rows, late=True)
            if outcome == "no_subscriber":
                return
            if outcome != "split" and this_pass == self._pass_number:
                self._cursor = max(self._cursor, rows[-1].rowid)
            await self._keep_pace(rows, began_ms)

    async def _next_backlog(self) -> Sequence[Row]:
        """The next row, or the next batch of consecutive captures; rejected rows are skipped."""
        while True:
            this_pass, cursor, until = self._pass_number, self._cursor, self._live_from
            max_rows = 1 if cursor < self._publisher.single_until else MAX_ROWS
            rows = await self._writer.run_in_thread(lambda box, a=cursor, n=max_rows, b=until: box.waiting(a, n, b))
            skipped, batch = next_batch(rows, self._rejections.blocks, self._link.max_payload("scan"))
            if batch or not rows:
                return batch
            if this_pass == self._pass_number:
                self._cursor = skipped[-1].rowid

    async def _send_replay(self) -> None:
        """Publish receipted captures that were requested again: after the backlog, marked late, until the broker accepts them."""
        single = False
        while replay := await self._writer.run_in_thread(archive.next_replay):
            began_ms = self._clock.mono_ms()
            rows, state = await self._replay_batch(replay, 1 if single else MAX_ROWS)
            outcome: Outcome = await self._publisher.publish(rows, late=True) if rows else "accepted"
            await self._note_outcome(rows, outcome)
            if outcome == "split":
                single = True
                continue
            if outcome == "no_subscriber" or (outcome == "rejected" and not single):
                return  # `_watch_receipt_timeout` tries again
            try:  # a single row that is rejected is skipped: the county has it
                await self._writer.commit([], state)
            except (OutboxFull, sqlite3.Error) as error:
                log.error("the progress of the replay cannot be recorded: %s", error)
                return
            await self._keep_pace(rows, began_ms)

    async def _replay_batch(
        self, replay: archive.Replay, max_rows: int
    ) -> tuple[Sequence[Row], dict[str, bytes | None]]:
        """As many captures as fit into one message, and the state to commit when the broker has accepted them."""
        rows, state = await self._writer.run_in_thread(lambda box: archive.replay_rows(box, replay, max_rows))
        _, fit = next_batch(rows, lambda _row: False, self._link.max_payload("scan"))
        return (rows, state) if len(fit) == len(rows) else await self._replay_batch(replay, len(fit))

    async def _keep_pace(self, rows: Sequence[Row], began_ms: int) -> None:
        """Sleep so that the backlog stays within the rate; the wait for the PUBACK counts."""
        size = OVERHEAD + sum(len(row.body) + 1 for row in rows)
        left_s = size / self._pace.bytes_per_s - (self._clock.mono_ms() - began_ms) / 1000
        await self._clock.sleep(max(0.0, left_s))

    async def _watch_receipt_timeout(self) -> None:
        """Publish rows again if the broker accepted them and no receipt came for a long time.

        All rows if the recorder is present (the broker has cut or lost its queue). If the recorder is silent, only the oldest
        row: its receipt shows when the recorder is back, and one that is away for a week causes next to no traffic.
        """
        while True:
            await self._receipt_timeout.expired()
            if self._draining:
                self._receipt_timeout.postpone()
                continue
            self._receipt_timeout.back_off()
            present, self._recorder_present = self._recorder_present or self._no_subscriber, False
            if oldest := await self._writer.run_in_thread(lambda box: box.waiting(0, 1)):
                if self._rejections.blocks(oldest[0]):
                    continue  # no receipt can advance before it is accepted: `_retry_rejected` retries it
                if present:
                    await self._restart_backlog()
                else:
                    await self._publish(oldest, late=True)
            elif await self._writer.run_in_thread(archive.next_replay):
                self.start_replay()
            else:
                self._idle = True

    async def _retry_rejected(self) -> None:
        """Retry rejections when they are due: a row, or one row of a blocked topic."""
        while True:
            self._publisher.rejection_added.clear()
            now_ms, next_ms = self._clock.mono_ms(), self._rejections.next_due_ms()
            if next_ms is None:
                await self._publisher.rejection_added.wait()
            elif rejection := self._rejections.due(now_ms):
                await self._retry(rejection)
            else:
                await first_of(self._publisher.rejection_added.wait(), self._clock.sleep((next_ms - now_ms) / 1000))

    async def _retry(self, rejection: Rejection) -> None:
        def read(box: Outbox) -> list[Row]:
            return box.waiting(rejection.rowid - 1, 1, rejection.rowid)

        if rejection.droppable:
            await self._publisher.drop(rejection)
        if rows := await self._writer.run_in_thread(read):
            await self._publish(rows, late=True)
            return
        self._rejections.remove(rejection)  # receipted meanwhile
        if rejection.whole_topic:
            await self._restart_backlog()

    async def _note_outcome(self, rows: Sequence[Row], outcome: Outcome) -> None:
        """Record rows that the broker accepted; a receipt for them may have come before the PUBACK and is applied now."""
        if outcome in ("accepted", "unblocked", "no_subscriber") and (unanswered := self._sent.add(rows)):
            await self.on_receipt(unanswered, False)

    async def _publish(self, rows: Sequence[Row], *, late: bool) -> Outcome:
        if self._idle:  # the timeout starts with the first row that waits
            self._idle = False
            self._receipt_timeout.restart()
        outcome = await self._publisher.publish_waiting(rows, late=late)
        await self._note_outcome(rows, outcome)
        if outcome == "unblocked":
            await self._restart_backlog()
        elif outcome == "no_subscriber" and not self._no_subscriber:
            self._no_subscriber = True
            self._receipt_timeout.shorten()
        return outcome
