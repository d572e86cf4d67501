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
from agent.uplink.batches import MOST_ROWS, next_batch
from agent.uplink.link import OVERHEAD, Link
from agent.uplink.publisher import Handed, HandOver
from agent.uplink.receipt_timeout import Patience
from agent.uplink.rejections import Hold
from common.clock import Clock, first_of
from common.messages import Receipt

log = logging.getLogger(__name__)

LIVE_AT_ONCE = 4
LIVE_MOST = 256  # rows that wait to be sent live: a broker that acknowledges slowly makes backlog of the rest


class Pace(NamedTuple):
    """How fast the backlog may go, so that it stays behind what is live."""

    bytes_per_s: int = 40_000  # 0.32 Mbit/s: under 10 % of an 8M line


class Delivery:
    """`run` belongs into the daemon's task group; `on_rows` is told what was committed, `on_receipt` of receipts.

    `refused`: told of the first refusal of a kind (for the journal).
    """

    def __init__(
        self, writer: Writer, link: Link, clock: Clock, *, broker_is_enough: bool, pace: Pace,
        refused: Callable[[Hold], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._writer, self._link, self._clock, self._pace = writer, link, clock, pace
        self._hands = HandOver(writer, link, clock, broker_is_enough, refused)
        self._refusals = self._hands.refusals
        self._handed, self._elsewhere = Sent(), CloneDetector()
        self._live: asyncio.Queue[Row] = asyncio.Queue()
        self._live_from = 0  # rows up to here are backlog for this connection
        self._cursor = 0  # backlog is handed over up to here
        self._pass = 0  # a number for each time that the backlog begins anew: the cursor belongs to it
        self._draining = False
        self._backlog_again = asyncio.Event()
        self._patience = Patience(clock)
        self._hurried = False  # patience was cut short since the last receipt that advanced
        self._idle = False  # nothing waited when the outbox was last asked
        self._recorder_there = False  # it said something since patience last ran out
        self._reached_nobody = False  # something that the broker took, and nobody subscribed to

    @property
    def held(self) -> tuple[Hold, ...]:
        """What the broker refused and is tried again."""
        return self._refusals.holds

    def on_rows(self, rows: Sequence[Row]) -> None:
        """Committed just now: live, if the link is up; else it is in the backlog when the link comes up."""
        self._hands.committed(rows)
        if not self._link.up.is_set():
            return
        if self._live.qsize() + len(rows) > LIVE_MOST:
            self._live_from = rows[-1].rowid
            while not self._live.empty():
                self._live.get_nowait()
            self._backlog_again.set()
        else:
            for row in rows:
                self._live.put_nowait(row)

    async def on_receipt(self, receipt: Receipt, retained: bool) -> str:
        """Take a receipt in: what `Outbox.receipt` says of it, or `elsewhere` (`agent.outbox.sent`)."""
        if not retained:
            self._link.recorder_seen()
        if not self._handed.knows(receipt.outbox):
            known = await self._writer.run_in_thread(lambda box: box.sent_upto(receipt.outbox))
            self._handed.begin(receipt.outbox, known)
        for first, last in await self._writer.run_in_thread(lambda box: sent.parcel_spans(box, receipt)):
            self._handed.add_parcel(receipt.outbox, first, last)
        upto = self._handed.upto(receipt)
        meaning, oldest = await self._writer.run_in_thread(
            lambda box: (box.apply_receipt(receipt, retained, upto), box.waiting(0, 1))
        )
        self._idle = not oldest
        if meaning in ("advanced", "again"):
            self._patience.begin()
            self._hurried = False
        self._recorder_there |= meaning != "foreign" and not retained
        if meaning == "again" or (self._reached_nobody and meaning != "foreign"):  # the recorder is there now
            self._reached_nobody = False
            await self._send_again()
        elif meaning == "same" and oldest and not self._hurried and not self._refusals.held(oldest[0]):
            # it is there, and lacks what the broker took: not a minute more
            self._hurried = self._recorder_there = True
            self._patience.hurry()
        if not retained and meaning in ("same", "advanced"):
            last_seq = await self._writer.run_in_thread(lambda box: box.last_seq_of(receipt.outbox))
            return "elsewhere" if self._elsewhere.saw(receipt, last_seq) else meaning
        return meaning

    async def begin_anew(self, outbox: str) -> None:
        """The outbox file is an older copy of itself: this run's rows go under a new id (`Outbox.begin_anew`)."""
        await self._writer.run_in_thread(lambda box: box.start_epoch(outbox))
        await self._send_again()

    def send_asked(self) -> None:
        """A range was marked to be sent again (`archive.resend_mark`)."""
        self._backlog_again.set()

    async def run(self) -> None:
        """Until cancelled: a connection after the other."""
        while True:
            await self._link.up.wait()
            self._live = asyncio.Queue()
            self._recorder_there = self._hurried = False
            self._patience.begin()
            await self._send_again()
            async with asyncio.TaskGroup() as group:
                works = [self._send_live() for _ in range(LIVE_AT_ONCE)]
                works += [self._send_backlog(), self._ask_again(), self._try_refused()]
                loops = [group.create_task(work) for work in works]
                await self._link.down.wait()
                for loop in loops:
                    loop.cancel()

    async def _send_again(self) -> None:
        last = await self._writer.run_in_thread(lambda box: box.last_rowid())
        self._live_from = max(self._live_from, last)
        self._cursor, self._pass = 0, self._pass + 1
        self._backlog_again.set()

    async def _send_live(self) -> None:
        """One of a few: each hands over the next row and waits for its acknowledgement; they start in order."""
        while True:
            row = await self._live.get()
            if row.rowid > self._live_from and not self._refusals.held(row):  # else it became backlog meanwhile
                await self._hand_over([row], late=False)

    async def _send_backlog(self) -> None:
        await self._clock.sleep(1)  # the retained receipt comes first: what it covers is not sent again
        for row in await self._writer.run_in_thread(lambda box: box.epoch_probes()):
            await self._note_handed([row], await self._hands.publish([row], late=True))
        while True:
            self._backlog_again.clear()
            self._draining = True
            await self._drain()
            self._draining = False
            await self._send_asked()
            await self._backlog_again.wait()

    async def _drain(self) -> None:
        """Hand over what waits, once; ends early where nobody is there to take it (`_ask_again` comes back to it)."""
        while rows := await self._next_backlog():
            this_pass, began_ms = self._pass, self._clock.mono_ms()
            handed = await self._hand_over(rows, late=True)
            if handed == "nobody":
                return
            if handed != "one by one" and this_pass == self._pass:
                self._cursor = max(self._cursor, rows[-1].rowid)
            await self._keep_pace(rows, began_ms)

    async def _next_backlog(self) -> Sequence[Row]:
        """The next row, or the next captures that follow one another; what is held is passed over."""
        while True:
            this_pass, cursor, until = self._pass, self._cursor, self._live_from
            most = 1 if cursor < self._hands.alone_upto else MOST_ROWS
            rows = await self._writer.run_in_thread(lambda box, a=cursor, n=most, b=until: box.waiting(a, n, b))
            over, batch = next_batch(rows, self._refusals.held, self._link.room("scan"))
            if batch or not rows:
                return batch
            if this_pass == self._pass:
                self._cursor = over[-1].rowid

    async def _send_asked(self) -> None:
        """Captures that were asked for again, though receipted: behind the backlog, late, until the broker took them."""
        alone = False
        while again := await self._writer.run_in_thread(archive.next_replay):
            began_ms = self._clock.mono_ms()
            rows, mark = await self._asked(again, 1 if alone else MOST_ROWS)
            handed: Handed = await self._hands.publish(rows, late=True) if rows else "taken"
            await self._note_handed(rows, handed)
            if handed == "one by one":
                alone = True
                continue
            if handed == "nobody" or (handed == "refused" and not alone):
                return  # `_ask_again` comes back to it
            try:  # one that is refused for itself is passed over: the county has it
                await self._writer.commit([], mark)
            except (OutboxFull, sqlite3.Error) as error:
                log.error("what was sent again cannot be noted: %s", error)
                return
            await self._keep_pace(rows, began_ms)

    async def _asked(self, again: archive.Replay, most: int) -> tuple[Sequence[Row], dict[str, bytes | None]]:
        """As many captures as go into one message, and the mark to commit when they were taken."""
        rows, mark = await self._writer.run_in_thread(lambda box: archive.replay_rows(box, again, most))
        _, fit = next_batch(rows, lambda _row: False, self._link.room("scan"))
        return (rows, mark) if len(fit) == len(rows) else await self._asked(again, len(fit))

    async def _keep_pace(self, rows: Sequence[Row], began_ms: int) -> None:
        """What was waited for the acknowledgement counts."""
        size = OVERHEAD + sum(len(row.body) + 1 for row in rows)
        left_s = size / self._pace.bytes_per_s - (self._clock.mono_ms() - began_ms) / 1000
        await self._clock.sleep(max(0.0, left_s))

    async def _ask_again(self) -> None:
        """No receipt for long though the broker took the rows: hand them over again.

        Everything, where the recorder is there (the broker's queue for it was cut, or forgotten); where it says nothing, only
        the oldest: its receipt tells when it is back, and a recorder that is away for a week costs next to nothing.
        """
        while True:
            await self._patience.run_out()
            if self._draining:
                self._patience.wait_on()
                continue
            self._patience.wait_longer()
            there, self._recorder_there = self._recorder_there or self._reached_nobody, False
            if oldest := await self._writer.run_in_thread(lambda box: box.waiting(0, 1)):
                if self._refusals.held(oldest[0]):
                    continue  # no receipt can advance before it is taken: `_try_refused` is at it
                if there:
                    await self._send_again()
                else:
                    await self._hand_over(oldest, late=True)
            elif await self._writer.run_in_thread(archive.next_replay):
                self.send_asked()
            else:
                self._idle = True

    async def _try_refused(self) -> None:
        """What the broker refused, when its time has come: a row, or a row of the leaf that it stands for."""
        while True:
            self._hands.refused_again.clear()
            now_ms, next_ms = self._clock.mono_ms(), self._refusals.next_ms()
            if next_ms is None:
                await self._hands.refused_again.wait()
            elif hold := self._refusals.due(now_ms):
                await self._try_once_more(hold)
            else:
                await first_of(self._hands.refused_again.wait(), self._clock.sleep((next_ms - now_ms) / 1000))

    async def _try_once_more(self, hold: Hold) -> None:
        def ask(box: Outbox) -> list[Row]:
            return box.waiting(hold.place - 1, 1, hold.place)

        if hold.given_up:
            await self._hands.give_up(hold)
        if rows := await self._writer.run_in_thread(ask):
            await self._hand_over(rows, late=True)
            return
        self._refusals.forget(hold)  # receipted meanwhile
        if hold.whole_leaf:
            await self._send_again()

    async def _note_handed(self, rows: Sequence[Row], handed: Handed) -> None:
        """What a broker took can be covered by a receipt: one may have come before its acknowledgement."""
        if handed in ("taken", "freed", "nobody") and (unanswered := self._handed.add(rows)):
            await self.on_receipt(unanswered, False)

    async def _hand_over(self, rows: Sequence[Row], *, late: bool) -> Handed:
        if self._idle:  # patience begins with the first row that waits
            self._idle = False
            self._patience.begin()
        handed = await self._hands.waiting(rows, late=late)
        await self._note_handed(rows, handed)
        if handed == "freed":
            await self._send_again()
        elif handed == "nobody" and not self._reached_nobody:
            self._reached_nobody = True
            self._patience.hurry()
        return handed
