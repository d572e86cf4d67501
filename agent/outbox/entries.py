"""The outbox file as rows: committed in one transaction, read back as they were committed, replaced by voids if they cannot be.

Which of them the county has is in `agent.outbox.outbox`.
"""

import sqlite3
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

from agent.outbox import ballast, database, eviction, voids
from agent.outbox.eviction import Span
from agent.outbox.rows import Backlog, Depth, Draft, Opening, OutboxFull, Row
from common.messages import Journal, Receipted


class Epoch(NamedTuple):
    """One outbox id: rows with `base` < id, up to the next one's base."""

    outbox: str
    base: int
    upto: int  # receipted seq
    store: str | None
    sent_upto: int  # brokers had accepted the rows up to this seq when the last receipt was committed


class EntryTable:
    """Rows and states of the file. Not safe between threads: one owner."""

    def __init__(self, db: sqlite3.Connection, path: Path, opening: Opening) -> None:
        self._db = db
        self.path = path
        self.opening = opening
        self._epochs = self._read_epochs()
        self._rowid_at_opening = (
            self.last_rowid()
        )  # rows above it are of this run: they are new, also if the file is an old copy
        self.is_full = False  # the last commit found the disk full
        self.full_count = 0  # commits that found the disk full, and uses of the ballast

    @property
    def id(self) -> str:
        return self._epochs[-1].outbox

    @property
    def fingerprint(self) -> str:
        """The terminal's fingerprint at its outbox's start: kept while the terminal is recognised, whatever is plugged in."""
        newest = database.newest_epoch(self._db)
        return newest[1].fingerprint if newest else ""

    @property
    def db(self) -> sqlite3.Connection:
        """The open file, for the modules of this room that store other things in it or read rows in an order of their own."""
        return self._db

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """All or nothing (`agent.outbox.database`)."""
        with database.transaction(self._db):
            yield self._db

    def append(self, drafts: Iterable[Draft], states: Mapping[str, bytes | None] | None = None) -> list[Row]:
        """Commit messages and states in one transaction; return the rows, in order, once they are on the disk.

        `states` are the daemon's small states by key (a device's confirmed reading, a gun's counter): a state and the message
        that reports it are committed together or not at all; None deletes a state.
        Raises OutboxFull, after everything that may be evicted was (`agent.outbox.eviction`).
        """
        drafts = tuple(drafts)
        while True:
            try:
                rows = self._append(drafts, states or {})
            except sqlite3.OperationalError as error:
                if not database.is_full(error):
                    raise
                stamp = _stamp(drafts[0].message) if drafts else None
                if not self.evict(stamp, for_captures=any(draft.leaf == "scan" for draft in drafts)):
                    self.is_full = True
                    self.full_count += 1
                    raise OutboxFull(f"硬盘已满，无法保存 / the disk is full: {self.path}") from error
            else:
                self.is_full = False
                return rows

    def _append(self, drafts: Sequence[Draft], states: Mapping[str, bytes | None]) -> list[Row]:
        rows: list[Row] = []
        epoch = self._epochs[-1]
        with self.transaction():
            for draft in drafts:
                cursor = self._db.execute(
                    "INSERT INTO entry (kind, leaf, body, retained, at_s) VALUES (?, ?, x'', ?, ?)",
                    (draft.leaf.partition("/")[0], draft.leaf, draft.retained, draft.at_s),
                )
                rowid = int(cursor.lastrowid or 0)
                message = msgspec.structs.replace(draft.message, outbox=epoch.outbox, seq=rowid - epoch.base)
                body = msgspec.json.encode(message)
                self._db.execute("UPDATE entry SET body = ?, crc = ? WHERE id = ?", (body, crc32(body), rowid))
                rows.append(Row(rowid, epoch.outbox, rowid - epoch.base, draft.leaf, body, draft.retained))
            for key, value in states.items():
                if value is None:
                    self._db.execute("DELETE FROM mark WHERE key = ?", (key,))
                else:
                    self._db.execute("INSERT OR REPLACE INTO mark (key, value) VALUES (?, ?)", (key, value))
        return rows

    def state(self, key: str) -> bytes | None:
        """The state under this key as last committed."""
        found = self._db.execute("SELECT value FROM mark WHERE key = ?", (key,)).fetchone()
        return bytes(found[0]) if found else None

    def states(self, prefix: str) -> dict[str, bytes]:
        """All states whose key begins with `prefix`, in order of their keys (ASCII)."""
        found = self._db.execute(
            "SELECT key, value FROM mark WHERE key >= ? AND key < ? ORDER BY key", (prefix, f"{prefix}\x7f")
        )
        return {str(key): bytes(value) for key, value in found}

    def forget_states(self, prefix: str) -> None:
        """Delete all states whose key begins with `prefix`, in one transaction. Raises OutboxFull."""
        keys = self._db.execute("SELECT key FROM mark WHERE substr(key, 1, ?) = ?", (len(prefix), prefix)).fetchall()
        self.append([], {str(key): None for (key,) in keys})

    def rowid(self, outbox: str, seq: int) -> int:
        """The rowid of a number of an outbox id; 0 if this file never assigned it."""
        for epoch, end in self._spans():
            if epoch.outbox == outbox and 0 < seq <= end - epoch.base:
                return epoch.base + seq
        return 0

    def last_seq_of(self, outbox: str) -> int:
        """The newest number that this file assigned under an outbox id; 0 if it never had that id."""
        return max((end - epoch.base for epoch, end in self._spans() if epoch.outbox == outbox), default=0)

    def row(self, rowid: int, leaf: str, body: bytes, retained: bool = False) -> tuple[Row, bool]:
        """A row that was read at this rowid, and whether the county has receipted it."""
        epoch = next(epoch for epoch, end in self._spans() if epoch.base < rowid <= end)
        return Row(rowid, epoch.outbox, rowid - epoch.base, leaf, body, retained), rowid <= epoch.base + epoch.upto

    def last_rowid(self) -> int:
        """The newest row's rowid (0 if there never was one), also if all rows are gone."""
        found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entry'").fetchone()
        return int(found[0]) if found else 0

    def waiting(self, after: int, limit: int, upto: int | None = None) -> list[Row]:
        """Rows that are not receipted, oldest first, with `after` < rowid (<= `upto`).

        A row that is not what was committed (a fault of the disk: its CRC differs) is voided here; the void is returned instead.
        """
        rows: list[Row] = []
        for epoch, end in self._spans():
            low, high = max(after, epoch.base + epoch.upto), min(end, upto if upto is not None else end)
            if low < high and len(rows) < limit:
                rows += self._read(epoch, low, high, limit - len(rows))
        return rows

    def _read(self, epoch: Epoch, low: int, high: int, limit: int) -> list[Row]:
        found = self._db.execute(
            "SELECT id, kind, leaf, body, retained, crc FROM entry WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
            (low, high, limit),
        ).fetchall()
        damaged = {rowid for rowid, _, _, body, _, crc in found if crc is not None and crc32(body) != crc}
        if damaged and self._void_damaged(damaged):
            return self._read(epoch, low, high, limit)
        return [
            Row(
                rowid,
                epoch.outbox,
                rowid - epoch.base,
                leaf,
                bytes(body),
                bool(retained),
                voids.first_covered(body) if kind == voids.VOID else 0,
            )
            for rowid, kind, leaf, body, retained, _ in found
            if rowid not in damaged
        ]

    def _void_damaged(self, damaged: Iterable[int]) -> bool:
        """False if that cannot be written now (a full disk, a file opened read-only): the rows are left out for now."""
        try:
            self.void_rows(damaged, "unreadable")
        except sqlite3.OperationalError as error:
            if database.is_damage(error):
                raise
            return False
        return True

    def is_newest(self, row: Row) -> bool:
        """Whether no later row has the same leaf: the broker's retained message must be this one."""
        found = self._db.execute(
            "SELECT 1 FROM entry WHERE id > ? AND leaf = ? LIMIT 1", (row.rowid, row.leaf)
        ).fetchone()
        return found is None

    def backlog(self) -> Backlog:
        """Counts for heartbeat and telemetry."""
        waiting = sum(max(0, span.end - span.receipted) for span in self.spans())
        pages = int(self._db.execute("PRAGMA page_count").fetchone()[0])
        size = int(self._db.execute("PRAGMA page_size").fetchone()[0])
        return Backlog(self.id, self.last_rowid() - self._epochs[-1].base, waiting, pages * size)

    def depth(self) -> Depth:
        """Counts for status and `yinong-agent outbox`."""
        count = "SELECT count(*) FROM entry WHERE id > ? AND id <= ?"
        counts = [self._db.execute(count, (span.base, span.receipted)).fetchone() for span in self.spans()]
        archived = sum(int(counted) for (counted,) in counts)
        epoch, backlog = self._epochs[-1], self.backlog()
        return Depth(
            epoch.outbox, backlog.last_seq, epoch.upto, backlog.waiting, archived, backlog.file_bytes, epoch.store
        )

    def void_rows(self, rowids: Iterable[int], reason: str, stamp: Journal | None = None) -> None:
        """Replace rows by `void` entries, adjacent ones together, so that a receipt 'without a gap' can still advance."""
        rowids = tuple(rowids)
        with self.transaction():
            for epoch, end in self._spans():
                here = [rowid for rowid in rowids if epoch.base < rowid <= end]
                voids.void_rows(self._db, voids.EpochBase(epoch.outbox, epoch.base), here, reason, stamp)

    def fill_gaps(self) -> int:
        """Put voids in place of waiting numbers without a row; return how many numbers."""
        filled = 0
        for span in self.spans():
            count = "SELECT count(*) FROM entry WHERE id > ? AND id <= ? AND kind <> 'void'"
            if int(self._db.execute(count, (span.receipted, span.end)).fetchone()[0]) < span.end - span.receipted:
                with self.transaction():
                    base = voids.EpochBase(span.outbox, span.base)
                    filled += voids.fill_gaps(self._db, base, span.receipted, span.end, "missing")
        return filled

    def prune(self, before_s: int) -> int:
        """Delete receipted rows older than `before_s` (wall time); return how many. Unreceipted rows are never deleted."""
        with self.transaction():
            return eviction.delete_archived(self._db, self.spans(), "at_s < ?", (before_s,), limit=5000)

    def evict(self, stamp: Journal | None = None, *, for_captures: bool = False) -> int:
        """Take the next step of eviction; return how many rows were deleted, 0 if nothing more may be.

        If the disk is too full even to delete, the ballast is freed (`agent.outbox.ballast`).
        """
        try:
            with self.transaction():
                return eviction.evict(self._db, self.spans(), stamp, for_captures=for_captures)
        except sqlite3.OperationalError as error:
            if not database.is_full(error):
                raise
        freed = ballast.free(self.path)
        self.full_count += freed
        with suppress(sqlite3.OperationalError):  # the WAL is written from its beginning again
            self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        return int(freed)

    def evict_archived(self) -> int:
        """Take the next step of eviction in the archive alone, before space is needed. Raises sqlite3.Error."""
        with self.transaction():
            return eviction.evict_archived(self._db, self.spans())

    def close(self) -> None:
        self._db.close()

    def spans(self) -> list[Span]:
        """Every outbox id with its range of rowids."""
        return [Span(epoch.outbox, epoch.base, min(end, epoch.base + epoch.upto), end) for epoch, end in self._spans()]

    def _spans(self) -> Iterable[tuple[Epoch, int]]:
        ends = [epoch.base for epoch in self._epochs[1:]] + [self.last_rowid()]
        return zip(self._epochs, ends, strict=True)

    def _read_epochs(self) -> list[Epoch]:
        columns = {column[1] for column in self._db.execute("PRAGMA table_info(outbox)")}
        handed = "handed" if "handed" in columns else "0"  # a file that an older program has open is not migrated
        return [
            Epoch(*row)
            for row in self._db.execute(f"SELECT id, base, upto, store, {handed} FROM outbox ORDER BY base, rowid")
        ]


def _stamp(message: Receipted) -> Journal:
    """A void is stamped like the message that needed its space."""
    return Journal(
        boot=message.boot,
        at=message.at,
        mono_ms=message.mono_ms,
        clock=message.clock,
        outbox="0" * 12,
        seq=1,
        event=voids.VOID,
    )
