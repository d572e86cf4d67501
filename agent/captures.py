"""From the gun to the outbox: each capture gets its number, is committed, and only then shown and acknowledged.

gun's reader thread -> driver (decode, frame) -> deliver (event loop) -> queue -> one transaction -> board, live viewers
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent.clock import Clock
from agent.marks import read_state
from agent.messages import Capture
from agent.outbox import Draft, Outbox, OutboxFull
from agent.stamp import draft, journal, placed
from agent.writer import Writer
from drivers.scan_gun.capture import REPEATED
from drivers.scan_gun.capture import Capture as Read
from drivers.scan_gun.driver import ScanGun

log = logging.getLogger(__name__)

RETRY_S = 2.0


class _Counter(msgspec.Struct):
    """A gun's state mark: how many captures it has given, and the last one's text."""

    number: int = 0
    text: str | None = None


class Captures:
    """`run` belongs into the daemon's task group; `changed` is set by hotplug so that a gun is looked for at once."""

    def __init__(self, guns: tuple[ScanGun, ...], root: Path, clock: Clock, writer: Writer) -> None:
        self._guns, self._root, self._clock, self._writer = guns, root, clock, writer
        self._queue: asyncio.Queue[Read] = asyncio.Queue()
        self._counters: dict[str, _Counter] = {}
        self._waiting: list[Read] = []  # could not be committed, and will be tried again
        self._viewers: set[asyncio.Queue[Capture]] = set()
        self.changed = {gun.id: asyncio.Event() for gun in guns}

    async def run(self) -> None:
        await self._writer.ask(self._read_counters)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._commit())
            for gun in self._guns:
                group.create_task(self._listen(gun))

    async def flush(self) -> None:
        """Commit what was read and not committed: for a clean stop, after `run` was cancelled and the writer flushed.

        Raises OutboxFull and sqlite3.Error.
        """
        while not self._queue.empty():
            self._waiting.append(self._queue.get_nowait())
        if reads := self._waiting:
            await self._writer.ask(self._read_counters)  # what the writer flushed has its numbers
            _, drafts, marks = self._made(reads)
            await self._writer.ask(lambda box: box.append(drafts, marks))
            self._waiting = []

    def on_plug(self) -> None:
        for event in self.changed.values():
            event.set()

    async def live(self) -> AsyncIterator[Capture]:
        """Captures as they are committed, from now on: for a person who watches."""
        mine: asyncio.Queue[Capture] = asyncio.Queue(1000)
        self._viewers.add(mine)
        try:
            while True:
                yield await mine.get()
        finally:
            self._viewers.discard(mine)

    def _read_counters(self, box: Outbox) -> None:
        for gun in self._guns:
            self._counters[gun.id] = read_state(box, f"gun:{gun.id}", _Counter) or _Counter()

    async def _listen(self, gun: ScanGun) -> None:
        """A bug met with one gun must stop neither the others nor the daemon."""
        while True:
            try:
                await gun.listen(self._root, self._queue.put_nowait, self.changed[gun.id])
            except Exception:
                log.exception("gun %s: listening failed, beginning again", gun.id)
            await self._clock.sleep(RETRY_S)

    async def _commit(self) -> None:
        """Take what has come, in order; a capture that cannot be committed is tried until it is."""
        while True:
            reads = [await self._queue.get()]
            while not self._queue.empty():
                reads.append(self._queue.get_nowait())
            await self._commit_all(reads)

    async def _commit_all(self, reads: list[Read]) -> None:
        captures, drafts, marks = self._made(reads)
        while True:
            try:
                rows = await self._writer.commit(drafts, marks)
                break
            except (OutboxFull, sqlite3.Error) as error:
                log.error("a scan waits for the outbox: %s", error)
                self._waiting = reads
                await self._clock.sleep(RETRY_S)
                self._waiting = []
        for row, capture in zip(rows, captures, strict=False):
            committed = msgspec.structs.replace(capture, outbox=row.outbox, seq=row.seq)
            for viewer in self._viewers:
                if not viewer.full():
                    viewer.put_nowait(committed)

    def _made(self, reads: list[Read]) -> tuple[list[Capture], list[Draft], dict[str, bytes | None]]:
        """The captures with their numbers, what is to be committed of them, and the guns' counters after them."""
        captures: list[Capture] = []
        marks: dict[str, bytes | None] = {}
        for read, counter, again in _numbered(reads, self._counters):
            self._counters[read.gun] = counter
            marks[f"gun:{read.gun}"] = msgspec.json.encode(counter)
            captures.append(self._capture(read, counter, again))
        drafts = [draft(self._clock, "scan", capture) for capture in captures]
        drafts += [
            journal(self._clock, "scan_damaged", gun=c.gun, number=c.number, damage=c.damage)
            for c in captures
            if c.damage
        ]
        return captures, drafts, marks

    def _capture(self, read: Read, counter: _Counter, again: bool) -> Capture:
        flags = (*read.flags, REPEATED) if again and REPEATED not in read.flags else read.flags
        return Capture(
            **placed(self._clock), gun=read.gun, identity=read.identity, number=counter.number, source=read.source,
            text=read.text, raw=read.raw, charset=read.charset, charset_because=read.charset_because,
            symbology=read.symbology, start_mono_ms=read.start_mono_ms, end_mono_ms=read.end_mono_ms, flags=flags,
            seen=read.seen, damage=read.damage,
        )  # fmt: skip


class _Numbered(NamedTuple):
    read: Read
    counter: _Counter  # after this capture
    again: bool  # the same text as the one before: two captures, the second flagged


def _numbered(reads: list[Read], counters: dict[str, _Counter]) -> list[_Numbered]:
    """Each capture's number of its gun, counted on from `counters`, which stay as they are until the commit."""
    now = dict(counters)
    numbered: list[_Numbered] = []
    for read in reads:
        before = now.get(read.gun, _Counter())
        again = not read.damaged and bool(before.number) and before.text == read.text
        now[read.gun] = _Counter(before.number + 1, None if read.damaged else read.text)
        numbered.append(_Numbered(read, now[read.gun], again))
    return numbered
