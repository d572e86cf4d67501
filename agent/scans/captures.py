"""From the gun to the outbox: each capture gets its number, is committed, and only then shown and acknowledged.

gun's reader thread -> driver (decode, frame) -> deliver (event loop) -> queue -> one transaction -> board, live viewers
                                                                           └─> control cards: `agent.scans.card_actions`
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from agent.outbox.archive import forget_voids
from agent.outbox.outbox import Draft, Outbox, OutboxFull, Row, load_state
from agent.outbox.stamps import draft, journal, sequenced
from agent.outbox.writer import Writer
from agent.scans.card_actions import CardActions, CardAnswer, CardEffect
from agent.scans.feedback import Feedback, NoFeedback
from agent.scans.gun_state import GunState, encoded, number_captures, state_key
from agent.scans.live_view import Broadcast
from common.clock import Clock
from common.messages import Capture
from drivers.scan_gun.capture import REPEATED, RawCapture
from drivers.scan_gun.driver import ScanGun
from drivers.scan_gun.sources.camera import CAMERA_ID as CAMERA

log = logging.getLogger(__name__)

RETRY_S = 2.0
MAX_QUEUED = 5000  # captures that wait in memory for a disk that has no room: some megabytes

StateValues: TypeAlias = Mapping[str, bytes | None]
Commit: TypeAlias = Callable[[list[Draft], StateValues], Awaitable[list[Row]]]


class _Batch(NamedTuple):
    """What is to be committed of some reads: captures, or one card."""

    drafts: list[Draft]
    state_values: dict[str, bytes | None]
    gun_states: dict[str, GunState]  # of the guns, after it
    captures: list[Capture]
    card: CardEffect | None = None
    rejected: int = 0  # as the journal is told with them


class Captures:
    """`run` belongs into the daemon's task group; `changed` is set by hotplug so that a gun is looked for at once.

    Without a `desk` there are no control cards: every scan is goods.
    """

    def __init__(
        self, guns: tuple[ScanGun, ...], root: Path, clock: Clock, writer: Writer,
        cards: CardActions | None = None, feedback: Feedback | None = None,
    ) -> None:  # fmt: skip
        self._guns, self._root, self._clock, self._writer = guns, root, clock, writer
        self._cards, self._feedback = cards, feedback or NoFeedback()
        self._queue: asyncio.Queue[RawCapture] = asyncio.Queue()
        self._states: dict[str, GunState] = {}
        self._waiting: list[RawCapture] = []  # taken off the queue and not given to the writer, or given back by it
        self._viewers: Broadcast[Capture | CardAnswer] = Broadcast()
        self._rejected = 0  # scans that memory had no room for either; each officer heard it
        self.changed = {gun.id: asyncio.Event() for gun in guns}

    async def run(self) -> None:
        await self._writer.run_in_thread(self._load)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._commit_queued())
            if self._cards is not None:
                group.create_task(self._cards.run())
            for gun in self._guns:
                group.create_task(self._listen(gun))

    async def flush(self) -> None:
        """Commit what was read and not committed: for a clean stop, after `run` was cancelled and the writer flushed.

        Raises OutboxFull and sqlite3.Error.
        """
        while not self._queue.empty():
            self._waiting.append(self._queue.get_nowait())
        if self._waiting:
            await self._writer.run_in_thread(self._read_states)  # what the writer flushed has its numbers
        while self._waiting:
            await self._commit_next(
                lambda drafts, marks: self._writer.run_in_thread(lambda box: box.append(drafts, marks))
            )

    def on_hotplug(self) -> None:
        for event in self.changed.values():
            event.set()

    @property
    def queued(self) -> int:
        """Captures that were read and are not on the disk."""
        return self._queue.qsize() + len(self._waiting)

    def accept(self, read: RawCapture) -> None:
        """A scan, of a gun or of the camera. Where the disk has been full for so long that memory is too, it is refused aloud."""
        if self.queued >= MAX_QUEUED:
            self._rejected += 1
            self._signal(read.gun, ok=False)
        else:
            self._queue.put_nowait(read)

    def subscribe(self) -> AsyncIterator[Capture | CardAnswer]:
        """Captures and answers of cards as they are committed, from now on: for a person who watches."""
        return self._viewers.subscribe()

    def show_card_answer(self, answer: CardAnswer) -> None:
        """What a card's work came to."""
        self._viewers.send(answer)
        self._signal(answer.gun, ok=answer.ok)

    def _load(self, box: Outbox) -> None:
        self._read_states(box)
        try:
            forget_voids(box)
        except (OutboxFull, sqlite3.Error) as error:  # a full disk: at the next start
            log.warning("marks of old voids stay: %s", error)

    def _read_states(self, box: Outbox) -> None:
        for gun in (*(gun.id for gun in self._guns), CAMERA):
            self._states[gun] = load_state(box, state_key(gun), GunState) or GunState()

    async def _listen(self, gun: ScanGun) -> None:
        """A bug met with one gun must stop neither the others nor the daemon."""
        while True:
            try:
                await gun.listen(self._root, self.accept, self.changed[gun.id])
            except Exception:
                log.exception("gun %s: listening failed, beginning again", gun.id)
            await self._clock.sleep(RETRY_S)

    async def _commit_queued(self) -> None:
        """Take what has come, in order; a capture that cannot be committed is tried until it is."""
        while True:
            self._waiting.append(await self._queue.get())
            while not self._queue.empty():
                self._waiting.append(self._queue.get_nowait())
            while self._waiting:
                try:
                    await self._commit_next(self._writer.commit)
                except (OutboxFull, sqlite3.Error) as error:
                    log.error("a scan waits for the outbox: %s", error)
                    await self._clock.sleep(RETRY_S)

    async def _commit_next(self, commit: Commit) -> None:
        """The next card, or all captures before it, in one transaction. Where it fails they wait on, and nothing has changed."""
        group = self._next_group()
        made = await self._card_batch(group[0]) if self._is_card(group[0]) else self._capture_batch(group)
        self._waiting = self._waiting[len(group) :]  # from here on the writer has them
        try:
            rows = await commit(made.drafts, made.state_values)
        except (OutboxFull, sqlite3.Error):
            self._waiting = group + self._waiting
            raise
        self._states |= made.gun_states
        self._rejected -= made.rejected
        self._report_committed(made, rows)

    def _next_group(self) -> list[RawCapture]:
        cards = (at for at, read in enumerate(self._waiting) if self._is_card(read))
        return self._waiting[: next(cards, len(self._waiting)) or 1]

    def _is_card(self, read: RawCapture) -> bool:
        return self._cards is not None and self._cards.is_card(read)

    def _report_committed(self, made: _Batch, rows: list[Row]) -> None:
        for row, capture in zip(rows, made.captures, strict=False):
            self._viewers.send(msgspec.structs.replace(capture, outbox=row.outbox, seq=row.seq))
            self._signal(capture.gun, ok=capture.damage is None)
        if made.card is not None and self._cards is not None:
            self.show_card_answer(made.card.answer)
            self._cards.start_work(made.card)

    def _signal(self, gun: str, *, ok: bool) -> None:
        if ok:
            self._feedback.ok(gun)
        else:
            self._feedback.refused(gun)

    async def _card_batch(self, read: RawCapture) -> _Batch:
        assert self._cards is not None
        acted = await self._cards.apply(read, self._states.get(read.gun, GunState()))
        marks = {state_key(read.gun): encoded(acted.state), **acted.state_values}
        return _Batch(acted.drafts, marks, {read.gun: acted.state}, [], acted)

    def _capture_batch(self, reads: list[RawCapture]) -> _Batch:
        """The captures with their numbers, what is to be committed of them, and the guns' states after them."""
        found = number_captures(reads, self._states)
        captures = [self._capture(read, state, again) for read, state, again in found]
        states = {read.gun: state for read, state, _ in found}
        drafts = [draft(self._clock, "scan", capture) for capture in captures]
        drafts += [
            journal(self._clock, "scan_damaged", gun=c.gun, number=c.number, damage=c.damage)
            for c in captures
            if c.damage
        ]
        if turned_away := self._rejected:
            drafts.append(journal(self._clock, "scans_turned_away", number=turned_away))
        marks: dict[str, bytes | None] = {state_key(gun): encoded(state) for gun, state in states.items()}
        return _Batch(drafts, marks, states, captures, rejected=turned_away)

    def _capture(self, read: RawCapture, state: GunState, again: bool) -> Capture:
        flags = (*read.flags, REPEATED) if again and REPEATED not in read.flags else read.flags
        return Capture(
            **sequenced(self._clock), gun=read.gun, identity=read.identity, number=state.number, source=read.source,
            text=read.text, raw=read.raw, charset=read.charset, charset_because=read.charset_because,
            symbology=read.symbology, start_mono_ms=read.start_mono_ms, end_mono_ms=read.end_mono_ms, flags=flags,
            seen=read.seen, damage=read.damage, context=state.context,
        )  # fmt: skip
