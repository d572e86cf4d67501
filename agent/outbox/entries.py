"""The outbox's file as rows: committed in one transaction, read back as they were committed, given up where they cannot be.

What of them the county has is in `agent.outbox.outbox`.
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
    sent_upto: int  # brokers had taken the rows up to this seq when the last receipt was committed


class EntryTable:
    """See the module. Not safe between threads: one owner."""

    def __init__(self, db: sqlite3.Connection, path: Path, opening: Opening) -> None:
        self._db = db
        self.path = path
        self.opening = opening
        self._epochs = self._read_epochs()
        self._rowid_at_opening = self.last_rowid()  # rows above are of this run: they are new, whatever the file's past
        self.is_full = False  # the last commit found no room
        self.full_count = 0  # commits that found no room, and uses of the room that is held for that

    @property
    def id(self) -> str:
        return self._epochs[-1].outbox

    @property
    def fingerprint(self) -> str:
        """The terminal's, as its outbox began with it: the same while the terminal is recognised, whatever is plugged in."""
        newest = database.newest_epoch(self._db)
        return newest[1].fingerprint if newest else ""

    @property
    def db(self) -> sqlite3.Connection:
        """The open file, for what this room keeps in it beside rows, or reads of them in its own order."""
        return self._db

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """All or nothing (`agent.outbox.database`)."""
        with database.transaction(self._db):
            yield self._db

    def append(self, drafts: Iterable[Draft], states: Mapping[str, bytes | None] | None = None) -> list[Row]:
        """Commit messages and state marks in one transaction; gives the rows, in order, when they are on the disk.

        `marks` are the daemon's small states (what is believed of a device, a gun's counter): a state and the message
        that tells of it are true together or not at all; None removes a mark.
        Raises OutboxFull, after giving up what may be given up (`agent.outbox.eviction`).
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
                    raise OutboxFull(f"磁盘已满,无法保存 / the disk is full: {self.path}") from error
            else:
                self.is_full = False
                return rows

    def _append(self, drafts: Sequence[Draft], states: Mapping[str, bytes | None]) -> list[Row]:
        rows: list[Row] = []
        box = self._epochs[-1]
        with self.transaction():
            for draft in drafts:
                cursor = self._db.execute(
                    "INSERT INTO entry (kind, leaf, body, retained, at_s) VALUES (?, ?, x'', ?, ?)",
                    (draft.leaf.partition("/")[0], draft.leaf, draft.retained, draft.at_s),
                )
                place = int(cursor.lastrowid or 0)
                message = msgspec.structs.replace(draft.message, outbox=box.outbox, seq=place - box.base)
                body = msgspec.json.encode(message)
                self._db.execute("UPDATE entry SET body = ?, crc = ? WHERE id = ?", (body, crc32(body), place))
                rows.append(Row(place, box.outbox, place - box.base, draft.leaf, body, draft.retained))
            for key, value in states.items():
                if value is None:
                    self._db.execute("DELETE FROM mark WHERE key = ?", (key,))
                else:
                    self._db.execute("INSERT OR REPLACE INTO mark (key, value) VALUES (?, ?)", (key, value))
        return rows

    def state(self, key: str) -> bytes | None:
        """A state mark as last committed."""
        found = self._db.execute("SELECT value FROM mark WHERE key = ?", (key,)).fetchone()
        return bytes(found[0]) if found else None

    def states(self, prefix: str) -> dict[str, bytes]:
        """All state marks whose key begins so, in order of their keys (ASCII)."""
        found = self._db.execute(
            "SELECT key, value FROM mark WHERE key >= ? AND key < ? ORDER BY key", (prefix, f"{prefix}\x7f")
        )
        return {str(key): bytes(value) for key, value in found}

    def forget_states(self, prefix: str) -> None:
        """Delete all states whose key begins with `prefix`, in one transaction. Raises OutboxFull."""
        keys = self._db.execute("SELECT key FROM mark WHERE substr(key, 1, ?) = ?", (len(prefix), prefix)).fetchall()
        self.append([], {str(key): None for (key,) in keys})

    def rowid(self, outbox: str, seq: int) -> int:
        """The place in the file that a number of an outbox id has; 0 where this file never gave it."""
        for box, end in self._spans():
            if box.outbox == outbox and 0 < seq <= end - box.base:
                return box.base + seq
        return 0

    def last_seq_of(self, outbox: str) -> int:
        """The newest number that this file gave under an outbox id; 0 where it never had that id."""
        return max((end - box.base for box, end in self._spans() if box.outbox == outbox), default=0)

    def row(self, rowid: int, leaf: str, body: bytes, retained: bool = False) -> tuple[Row, bool]:
        """A row read at this place, and whether the county has receipted it."""
        box = next(box for box, end in self._spans() if box.base < rowid <= end)
        return Row(rowid, box.outbox, rowid - box.base, leaf, body, retained), rowid <= box.base + box.upto

    def last_rowid(self) -> int:
        """The newest row's place (0 where there never was one), also where all rows are gone."""
        found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entry'").fetchone()
        return int(found[0]) if found else 0

    def waiting(self, after: int, limit: int, upto: int | None = None) -> list[Row]:
        """Rows that are not receipted, oldest first, with `after` < id (<= `upto`).

        One that is not what was committed (a disk's fault: its CRC) is given up here, and its void comes instead.
        """
        rows: list[Row] = []
        for box, end in self._spans():
            low, high = max(after, box.base + box.upto), min(end, upto if upto is not None else end)
            if low < high and len(rows) < limit:
                rows += self._read(box, low, high, limit - len(rows))
        return rows

    def _read(self, box: Epoch, low: int, high: int, limit: int) -> list[Row]:
        found = self._db.execute(
            "SELECT id, kind, leaf, body, retained, crc FROM entry WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
            (low, high, limit),
        ).fetchall()
        damaged = {place for place, _, _, body, _, crc in found if crc is not None and crc32(body) != crc}
        if damaged and self._void_damaged(damaged):
            return self._read(box, low, high, limit)
        return [
            Row(place, box.outbox, place - box.base, leaf, bytes(body), bool(retained),
                voids.first_of(body) if kind == voids.VOID else 0)
            for place, kind, leaf, body, retained, _ in found
            if place not in damaged
        ]  # fmt: skip

    def _void_damaged(self, damaged: Iterable[int]) -> bool:
        """False where that cannot be written now (a full disk, a file that is only read): they are left out for now."""
        try:
            self.void_rows(damaged, "unreadable")
        except sqlite3.OperationalError as error:
            if database.is_damage(error):
                raise
            return False
        return True

    def is_newest(self, row: Row) -> bool:
        """Whether no later row tells of the same leaf: what is retained of it must be this one."""
        found = self._db.execute(
            "SELECT 1 FROM entry WHERE id > ? AND leaf = ? LIMIT 1", (row.rowid, row.leaf)
        ).fetchone()
        return found is None

    def backlog(self) -> Backlog:
        """For heartbeat and telemetry."""
        waiting = sum(max(0, span.end - span.receipted) for span in self.spans())
        pages = int(self._db.execute("PRAGMA page_count").fetchone()[0])
        size = int(self._db.execute("PRAGMA page_size").fetchone()[0])
        return Backlog(self.id, self.last_rowid() - self._epochs[-1].base, waiting, pages * size)

    def depth(self) -> Depth:
        """Counts for status and `yinong-agent outbox`."""
        archived = sum(
            int(self._db.execute(
                "SELECT count(*) FROM entry WHERE id > ? AND id <= ?", (span.base, span.receipted)
            ).fetchone()[0])
            for span in self.spans()
        )  # fmt: skip
        box, backlog = self._epochs[-1], self.backlog()
        return Depth(box.outbox, backlog.last_seq, box.upto, backlog.waiting, archived, backlog.file_bytes, box.store)

    def void_rows(self, rowids: Iterable[int], reason: str, stamp: Journal | None = None) -> None:
        """Replace rows by `void` entries, neighbours together: a receipt 'without a gap' can still advance."""
        rowids = tuple(rowids)
        with self.transaction():
            for box, end in self._spans():
                here = [place for place in rowids if box.base < place <= end]
                voids.void_rows(self._db, voids.EpochBase(box.outbox, box.base), here, reason, stamp)

    def fill_gaps(self) -> int:
        """Voids for what waits by its number and is not there. Gives how many places."""
        filled = 0
        for span in self.spans():
            count = "SELECT count(*) FROM entry WHERE id > ? AND id <= ? AND kind <> 'void'"
            if int(self._db.execute(count, (span.receipted, span.end)).fetchone()[0]) < span.end - span.receipted:
                with self.transaction():
                    place = voids.EpochBase(span.outbox, span.base)
                    filled += voids.fill_gaps(self._db, place, span.receipted, span.end, "missing")
        return filled

    def prune(self, before_s: int) -> int:
        """Delete receipted rows older than `before_s` (wall time); gives how many. Unreceipted rows are never deleted."""
        with self.transaction():
            return eviction.delete_archived(self._db, self.spans(), "at_s < ?", (before_s,), limit=5000)

    def evict(self, stamp: Journal | None = None, *, for_captures: bool = False) -> int:
        """The next step of giving way; gives how many rows went, 0 where nothing may go any more.

        Where the disk has no room even for that, the room that is held for it is given back (`agent.outbox.ballast`).
        """
        try:
            with self.transaction():
                return eviction.evict(self._db, self.spans(), stamp, for_captures=for_captures)
        except sqlite3.OperationalError as error:
            if not database.is_full(error):
                raise
        released = ballast.free(self.path)
        self.full_count += released
        with suppress(sqlite3.OperationalError):  # the WAL's room is used again from its beginning
            self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        return int(released)

    def evict_archived(self) -> int:
        """Room before it is needed: the next step of the archive alone. Raises sqlite3.Error."""
        with self.transaction():
            return eviction.evict_archived(self._db, self.spans())

    def close(self) -> None:
        self._db.close()

    def spans(self) -> list[Span]:
        """Every outbox id with its places."""
        return [Span(box.outbox, box.base, min(end, box.base + box.upto), end) for box, end in self._spans()]

    def _spans(self) -> Iterable[tuple[Epoch, int]]:
        ends = [box.base for box in self._epochs[1:]] + [self.last_rowid()]
        return zip(self._epochs, ends, strict=True)

    def _read_epochs(self) -> list[Epoch]:
        columns = {column[1] for column in self._db.execute("PRAGMA table_info(outbox)")}
        handed = "handed" if "handed" in columns else "0"  # a file that an older program has open is only read
        return [
            Epoch(*row)
            for row in self._db.execute(f"SELECT id, base, upto, store, {handed} FROM outbox ORDER BY base, rowid")
        ]


def _stamp(message: Receipted) -> Journal:
    """A void is stamped as the message for whose sake it was made."""
    return Journal(
        boot=message.boot, at=message.at, mono_ms=message.mono_ms, clock=message.clock, outbox="0" * 12, seq=1,
        event=voids.VOID,
    )  # fmt: skip
