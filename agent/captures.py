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
from agent.messages import Capture
from agent.outbox import OutboxFull
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
        self._viewers: set[asyncio.Queue[Capture]] = set()
        self.changed = {gun.id: asyncio.Event() for gun in guns}

    async def run(self) -> None:
        for gun in self._guns:
            mark = await self._writer.ask(lambda box, key=f"gun:{gun.id}": box.mark(key))
            self._counters[gun.id] = msgspec.json.decode(mark, type=_Counter) if mark else _Counter()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._commit())
            for gun in self._guns:
                group.create_task(gun.listen(self._root, self._queue.put_nowait, self.changed[gun.id]))

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

    async def _commit(self) -> None:
        """Take what has come, in order; a capture that cannot be committed is tried until it is."""
        while True:
            reads = [await self._queue.get()]
            while not self._queue.empty():
                reads.append(self._queue.get_nowait())
            await self._commit_all(reads)

    async def _commit_all(self, reads: list[Read]) -> None:
        numbered = _numbered(reads, self._counters)
        captures = [self._capture(read, counter, again) for read, counter, again in numbered]
        drafts = [draft(self._clock, "scan", capture) for capture in captures]
        drafts += [
            journal(self._clock, "scan_damaged", gun=c.gun, number=c.number, damage=c.damage)
            for c in captures
            if c.damage
        ]
        marks = {f"gun:{read.gun}": msgspec.json.encode(counter) for read, counter, _ in numbered}
        while True:
            try:
                rows = await self._writer.commit(drafts, marks)
                break
            except (OutboxFull, sqlite3.Error) as error:
                log.error("a scan waits for the outbox: %s", error)
                await self._clock.sleep(RETRY_S)
        for read, counter, _ in numbered:
            self._counters[read.gun] = counter
        for row, capture in zip(rows, captures, strict=False):
            committed = msgspec.structs.replace(capture, outbox=row.outbox, seq=row.seq)
            for viewer in self._viewers:
                if not viewer.full():
                    viewer.put_nowait(committed)

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
