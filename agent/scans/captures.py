"""From the gun to the outbox: each capture is numbered and committed, and only then shown and acknowledged.

gun's reader thread -> driver (decode, frame) -> accept (event loop) -> queue -> one transaction -> beep, live view
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
MAX_QUEUED = 5000  # captures that wait in memory while the disk is full: some megabytes

StateValues: TypeAlias = Mapping[str, bytes | None]
Commit: TypeAlias = Callable[[list[Draft], StateValues], Awaitable[list[Row]]]


class _Batch(NamedTuple):
    """What is to be committed in one transaction: captures, or one card."""

    drafts: list[Draft]
    state_values: dict[str, bytes | None]
    gun_states: dict[str, GunState]  # the new states of the guns
    captures: list[Capture]
    card: CardEffect | None = None
    rejected: int = 0  # rejected scans that its journal entry counts


class Captures:
    """`run` belongs in the daemon's task group; `changed` is set by hotplug so that a gun is searched for at once.

    Without `cards` there are no control cards: every scan is goods.
    """

    def __init__(
        self,
        guns: tuple[ScanGun, ...],
        root: Path,
        clock: Clock,
        writer: Writer,
        cards: CardActions | None = None,
        feedback: Feedback | None = None,
    ) -> None:
        self._guns, self._root, self._clock, self._writer = guns, root, clock, writer
        self._cards, self._feedback = cards, feedback or NoFeedback()
        self._queue: asyncio.Queue[RawCapture] = asyncio.Queue()
        self._states: dict[str, GunState] = {}
        self._waiting: list[RawCapture] = []  # taken off the queue; not yet passed to the writer, or its commit failed
        self._viewers: Broadcast[Capture | CardAnswer] = Broadcast()
        self._rejected = 0  # scans rejected because memory was full too; each was signalled to the officer
        self.changed = {gun.id: asyncio.Event() for gun in guns}

    async def run(self) -> None:
        await self._writer.run_in_thread(self._load)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._commit_queued())
            if self._cards is not None:
                group.create_task(self._cards.run())
                group.create_task(self._show_answers(self._cards.answers))
            for gun in self._guns:
                group.create_task(self._listen(gun))

    async def flush(self) -> None:
        """Commit what was read and not committed: for a clean stop, after `run` was cancelled and the writer flushed.

        Raises OutboxFull and sqlite3.Error.
        """
        while not self._queue.empty():
            self._waiting.append(self._queue.get_nowait())
        if self._waiting:
            await self._writer.run_in_thread(
                self._read_states
            )  # the writer may have committed captures while it was flushed
        while self._waiting:
            await self._commit_next(
                lambda drafts, values: self._writer.run_in_thread(lambda box: box.append(drafts, values))
            )

    def on_hotplug(self) -> None:
        for event in self.changed.values():
            event.set()

    @property
    def queued(self) -> int:
        """Number of captures that were read and are not on the disk yet."""
        return self._queue.qsize() + len(self._waiting)

    def accept(self, raw: RawCapture) -> None:
        """Queue a scan of a gun or of the camera. If disk and memory are full, reject it with the sound of a refusal."""
        if self.queued >= MAX_QUEUED:
            self._rejected += 1
            self._signal(raw.gun, ok=False)
        else:
            self._queue.put_nowait(raw)

    def subscribe(self) -> AsyncIterator[Capture | CardAnswer]:
        """Captures and answers of cards as they are committed, from now on: for a live view."""
        return self._viewers.subscribe()

    def _load(self, box: Outbox) -> None:
        self._read_states(box)
        try:
            forget_voids(box)
        except (OutboxFull, sqlite3.Error) as error:  # disk full: try again at the next start
            log.warning("states of old voids cannot be deleted: %s", error)

    def _read_states(self, box: Outbox) -> None:
        for gun in (*(gun.id for gun in self._guns), CAMERA):
            self._states[gun] = load_state(box, state_key(gun), GunState) or GunState()

    async def _listen(self, gun: ScanGun) -> None:
        """Listen for ever: a bug with one gun must stop neither the others nor the daemon."""
        while True:
            try:
                await gun.listen(self._root, self.accept, self.changed[gun.id])
            except Exception:
                log.exception("gun %s: listening failed, trying again", gun.id)
            await self._clock.sleep(RETRY_S)

    async def _commit_queued(self) -> None:
        """Commit what is queued, in order; a capture that cannot be committed is retried until it is."""
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
        """Commit the next card, or all captures before it, in one transaction. If that fails they stay queued."""
        group = self._next_group()
        batch = await self._card_batch(group[0]) if self._is_card(group[0]) else self._capture_batch(group)
        self._waiting = self._waiting[len(group) :]  # from now on the writer has them
        try:
            rows = await commit(batch.drafts, batch.state_values)
        except (OutboxFull, sqlite3.Error):
            self._waiting = group + self._waiting
            raise
        self._states |= batch.gun_states
        self._rejected -= batch.rejected
        self._report_committed(batch, rows)

    def _next_group(self) -> list[RawCapture]:
        cards = (at for at, raw in enumerate(self._waiting) if self._is_card(raw))
        return self._waiting[: next(cards, len(self._waiting)) or 1]

    def _is_card(self, raw: RawCapture) -> bool:
        return self._cards is not None and self._cards.is_card(raw)

    def _report_committed(self, batch: _Batch, rows: list[Row]) -> None:
        for row, capture in zip(rows, batch.captures, strict=False):
            self._viewers.send(msgspec.structs.replace(capture, outbox=row.outbox, seq=row.seq))
            self._signal(capture.gun, ok=capture.damage is None)
        if batch.card is not None and self._cards is not None:
            self._show_card_answer(batch.card.answer)
            self._cards.start_work(batch.card)

    async def _show_answers(self, answers: asyncio.Queue[CardAnswer]) -> None:
        """What the work of cards came to."""
        while True:
            self._show_card_answer(await answers.get())

    def _show_card_answer(self, answer: CardAnswer) -> None:
        self._viewers.send(answer)
        self._signal(answer.gun, ok=answer.ok)

    def _signal(self, gun: str, *, ok: bool) -> None:
        if ok:
            self._feedback.ok(gun)
        else:
            self._feedback.refused(gun)

    async def _card_batch(self, raw: RawCapture) -> _Batch:
        assert self._cards is not None
        effect = await self._cards.apply(raw, self._states.get(raw.gun, GunState()))
        values = {state_key(raw.gun): encoded(effect.state), **effect.state_values}
        return _Batch(effect.drafts, values, {raw.gun: effect.state}, [], effect)

    def _capture_batch(self, reads: list[RawCapture]) -> _Batch:
        """Number the captures; return what is to be committed of them, with the new states of the guns."""
        found = number_captures(reads, self._states)
        captures = [self._capture(raw, state, repeated) for raw, state, repeated in found]
        states = {raw.gun: state for raw, state, _ in found}
        drafts = [draft(self._clock, "scan", capture) for capture in captures]
        drafts += [
            journal(self._clock, "scan_damaged", gun=c.gun, number=c.number, damage=c.damage)
            for c in captures
            if c.damage
        ]
        if rejected := self._rejected:
            drafts.append(journal(self._clock, "scans_turned_away", number=rejected))
        values: dict[str, bytes | None] = {state_key(gun): encoded(state) for gun, state in states.items()}
        return _Batch(drafts, values, states, captures, rejected=rejected)

    def _capture(self, raw: RawCapture, state: GunState, repeated: bool) -> Capture:
        flags = (*raw.flags, REPEATED) if repeated and REPEATED not in raw.flags else raw.flags
        return Capture(
            **sequenced(self._clock),
            gun=raw.gun,
            identity=raw.identity,
            number=state.number,
            source=raw.source,
            text=raw.text,
            raw=raw.raw,
            charset=raw.charset,
            charset_because=raw.charset_because,
            symbology=raw.symbology,
            start_mono_ms=raw.start_mono_ms,
            end_mono_ms=raw.end_mono_ms,
            flags=flags,
            seen=raw.seen,
            damage=raw.damage,
            context=state.context,
        )
