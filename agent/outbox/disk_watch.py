"""Disk space monitor: free space on the outbox's disk and below the file's own bound; reported once an episode, and at its end.

If space gets short the archive is evicted before any commit has to wait for it; the other steps are in
`agent.outbox.eviction`. The ballast is allocated again as soon as there is space.
"""

import logging
import sqlite3
from typing import Literal, NamedTuple, TypeAlias

from agent.outbox import ballast, database
from agent.outbox.outbox import Outbox
from agent.outbox.rows import Draft, OutboxFull
from agent.outbox.stamps import journal
from agent.outbox.writer import Writer
from common.clock import Clock

log = logging.getLogger(__name__)

CHECK_S = 15
CHECK_WHEN_LOW_S = 5  # while space is short
LOW_BYTES = 32 << 20  # of the disk
LOW_INODES = 16
NEARLY_FULL_SHARE = 0.9  # of the file's bound
FREE_PAGES_BYTES = 2 << 20  # free pages in the file, used while the disk is full

Level: TypeAlias = Literal["ok", "nearly_full", "full"]


class DiskSpace(NamedTuple):
    """One measurement; its fields are details of the journal entry."""

    level: Level
    disk_free_bytes: int
    disk_free_inodes: int | None
    file_used_bytes: int  # without free pages, which are used again
    file_most_bytes: int


class DiskWatch:
    """`run` belongs in the daemon's task group; `space` is the last measurement."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer, self._clock = writer, clock
        self._full_count = 0
        self._unreported: list[Draft] = []  # entries that the journal gets as soon as there is space
        self.space: DiskSpace | None = None

    @property
    def level(self) -> Level:
        return self.space.level if self.space else "ok"

    async def run(self) -> None:
        while True:
            try:
                await self.check()
            except (OSError, sqlite3.Error) as error:
                log.error("disk space cannot be read: %s", error)
            await self._clock.sleep(CHECK_S if self.level == "ok" else CHECK_WHEN_LOW_S)

    async def check(self) -> None:
        """Measure once, evict if space is short, and record a change in the journal. Raises OSError, sqlite3.Error."""
        before, self.space = self.level, await self._writer.run_in_thread(self._measure)
        if event := _event(before, self.level):
            log.warning("%s %s", event, self.space)
            details = {name: value for name, value in self.space._asdict().items() if name != "level"}
            self._unreported.append(journal(self._clock, event, **details))
        if self._unreported:
            try:
                await self._writer.commit(self._unreported)
                self._unreported = []
            except OutboxFull:
                pass  # recorded once there is space

    def _measure(self, box: Outbox) -> DiskSpace:
        """Measure, and evict if needed; in the outbox's thread."""
        ballast.allocate(box.path)
        short, free, inodes, used, most, unused = _measured(box)
        while (
            (short or used > most * NEARLY_FULL_SHARE)
            and unused < min(FREE_PAGES_BYTES, most // 10)
            and _evicted_archived(box)
        ):
            short, free, inodes, used, most, unused = _measured(box)
        was_full, self._full_count = box.full_count != self._full_count, box.full_count
        full = box.is_full or was_full
        level: Level = "full" if full else "nearly_full" if short or used > most * NEARLY_FULL_SHARE else "ok"
        return DiskSpace(level, free, inodes, used, most)


def _measured(box: Outbox) -> tuple[bool, int, int | None, int, int, int]:
    free, inodes = database.disk_free(box.path)
    page, pages, unused, most = (
        int(box.db.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count", "max_page_count")
    )
    short = free < LOW_BYTES or (inodes is not None and inodes < LOW_INODES)
    return short, free, inodes, (pages - unused) * page, most * page, unused * page


def _evicted_archived(box: Outbox) -> bool:
    try:
        return box.evict_archived() > 0
    except sqlite3.OperationalError as error:  # too full even to delete: the next commit evicts
        if not database.is_full(error):
            raise
        return False


def _event(before: Level, now: Level) -> str | None:
    if now == before or (before == "full" and now == "nearly_full"):
        return None
    return {"ok": "disk_has_room", "nearly_full": "disk_nearly_full", "full": "disk_full"}[now]
