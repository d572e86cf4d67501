"""The outbox: one SQLite file in which everything is true before anybody is told, and stays until the county has it.

    loops -> Writer -> Outbox.append (one transaction, fsynced) -> Delivery -> broker -> recorder -> Outbox.receipt

WAL with `synchronous=FULL`: measured, FULL lost no acknowledged row in any power cut, NORMAL lost hundreds. A row's place in
the sequence comes from AUTOINCREMENT, so an emptied table never gives a number twice. Rows that the county has receipted
stay as an archive (90 days): a recorder restored from a backup gets them again. This module is synchronous and knows no
task: `agent.store.writer` owns it in a thread of its own.
"""

import sqlite3
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from agent.messages import Journal, Receipt
from agent.receipts import Standing, answer
from agent.store.rows import Depth, Draft, Opening, OutboxFull, Row
from agent.store.schema import MIGRATIONS
from drivers.reading import YinongError


class _Box(NamedTuple):
    """One outbox id: rows with `base` < id, up to the next one's base."""

    outbox: str
    base: int
    upto: int  # receipted seq
    store: str | None


class Outbox:
    """See the module. Not safe between threads: one owner."""

    def __init__(self, db: sqlite3.Connection, path: Path, opening: Opening) -> None:
        self._db = db
        self.path = path
        self.opening = opening
        self._boxes = self._read_boxes()

    @property
    def id(self) -> str:
        return self._boxes[-1].outbox

    @property
    def db(self) -> sqlite3.Connection:
        """The open file, for `agent.store.spill`."""
        return self._db

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """All or nothing, also where the commit itself fails (a full disk)."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @property
    def _box(self) -> _Box:
        return self._boxes[-1]

    def append(self, drafts: Iterable[Draft], marks: Mapping[str, bytes | None] | None = None) -> list[Row]:
        """Commit messages and state marks in one transaction; gives the rows, in order, when they are on the disk.

        `marks` are the daemon's small states (what is believed of a device, a gun's counter): a state and the message
        that tells of it are true together or not at all; None removes a mark.
        Raises OutboxFull, after giving up what may be given up.
        """
        drafts = tuple(drafts)
        try:
            return self._append(drafts, marks or {})
        except sqlite3.OperationalError as error:
            if not _is_full(error):
                raise
        self.make_room()
        try:
            return self._append(drafts, marks or {})
        except sqlite3.OperationalError as error:
            if _is_full(error):
                raise OutboxFull(f"磁盘已满,无法保存 / the disk is full: {self.path}") from error
            raise

    def _append(self, drafts: Sequence[Draft], marks: Mapping[str, bytes | None]) -> list[Row]:
        rows: list[Row] = []
        with self.transaction():
            for draft in drafts:
                cursor = self._db.execute(
                    "INSERT INTO entry (kind, leaf, body, retained, at_s) VALUES (?, ?, x'', ?, ?)",
                    (draft.leaf.partition("/")[0], draft.leaf, draft.retained, draft.at_s),
                )
                place = int(cursor.lastrowid or 0)
                message = msgspec.structs.replace(draft.message, outbox=self.id, seq=place - self._box.base)
                body = msgspec.json.encode(message)
                self._db.execute("UPDATE entry SET body = ? WHERE id = ?", (body, place))
                rows.append(Row(place, self.id, place - self._box.base, draft.leaf, body, draft.retained))
            for key, value in marks.items():
                if value is None:
                    self._db.execute("DELETE FROM mark WHERE key = ?", (key,))
                else:
                    self._db.execute("INSERT OR REPLACE INTO mark (key, value) VALUES (?, ?)", (key, value))
        return rows

    def mark(self, key: str) -> bytes | None:
        """A state mark as last committed."""
        found = self._db.execute("SELECT value FROM mark WHERE key = ?", (key,)).fetchone()
        return bytes(found[0]) if found else None

    def marks(self, prefix: str) -> dict[str, bytes]:
        """All state marks whose key begins so, in order of their keys (ASCII)."""
        found = self._db.execute(
            "SELECT key, value FROM mark WHERE key >= ? AND key < ? ORDER BY key", (prefix, f"{prefix}\x7f")
        )
        return {str(key): bytes(value) for key, value in found}

    def place(self, outbox: str, seq: int) -> int:
        """The place in the file that a number of an outbox id has; 0 where this file never gave it."""
        for box, end in self._spans():
            if box.outbox == outbox and 0 < seq <= end - box.base:
                return box.base + seq
        return 0

    def row(self, place: int, leaf: str, body: bytes, retained: bool = False) -> tuple[Row, bool]:
        """A row read at this place, and whether the county has receipted it."""
        box = next(box for box, end in self._spans() if box.base < place <= end)
        return Row(place, box.outbox, place - box.base, leaf, body, retained), place <= box.base + box.upto

    def last_id(self) -> int:
        """The newest row's place (0 where there never was one), also where all rows are gone."""
        found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entry'").fetchone()
        return int(found[0]) if found else 0

    def waiting(self, after: int, limit: int, upto: int | None = None) -> list[Row]:
        """Rows that are not receipted, oldest first, with `after` < id (<= `upto`)."""
        rows: list[Row] = []
        for box, end in self._spans():
            low, high = max(after, box.base + box.upto), min(end, upto if upto is not None else end)
            if low < high and len(rows) < limit:
                found = self._db.execute(
                    "SELECT id, leaf, body, retained FROM entry WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
                    (low, high, limit - len(rows)),
                )
                rows += [Row(i, box.outbox, i - box.base, leaf, bytes(b), bool(r)) for i, leaf, b, r in found]
        return rows

    def receipt(self, receipt: Receipt, retained: bool = False) -> str:
        """Take a receipt in. Gives what it meant: `advanced`, `same`, `again` (a restored or new store holds less: what is
        above goes again, from the archive), or `foreign` (an outbox id or a number that this file never gave).

        `retained`: the broker's stored one, which may be older than what is known (`agent.receipts.answer`).
        """
        boxes = enumerate(self._spans())
        found = next(((at, box, end - box.base) for at, (box, end) in boxes if box.outbox == receipt.outbox), None)
        if found is None or receipt.upto > found[2]:
            return "foreign"
        at, box, last_seq = found
        known = Standing(box.outbox, box.store, box.upto)
        standing, again = answer(known, receipt, last_seq, retained)
        if standing == known:
            return "same"
        with self.transaction():
            self._db.execute(
                "UPDATE outbox SET upto = ?, store = ? WHERE id = ?", (standing.upto, standing.store, box.outbox)
            )
        self._boxes[at] = box._replace(upto=standing.upto, store=standing.store)
        return "again" if again else "advanced"

    def acknowledge_broker(self, place: int) -> None:
        """`[delivery] acknowledge = "broker"`: everything up to this row was taken by the broker, which is as good as it gets."""
        for box, end in self._spans():
            if box.base < place <= end:
                self.receipt(Receipt(at="", store="broker", outbox=box.outbox, upto=place - box.base))

    def is_newest(self, row: Row) -> bool:
        """Whether no later row tells of the same leaf: what is retained of it must be this one."""
        found = self._db.execute("SELECT 1 FROM entry WHERE id > ? AND leaf = ? LIMIT 1", (row.id, row.leaf)).fetchone()
        return found is None

    def depth(self) -> Depth:
        """Counts for heartbeat, status and `yinong-agent outbox`."""
        last = self.last_id()
        waiting = sum(max(0, end - box.base - box.upto) for box, end in self._spans())
        kept = int(self._db.execute("SELECT count(*) FROM entry").fetchone()[0])
        pages = int(self._db.execute("PRAGMA page_count").fetchone()[0])
        size = int(self._db.execute("PRAGMA page_size").fetchone()[0])
        box = self._box
        return Depth(box.outbox, last - box.base, box.upto, waiting, max(0, kept - waiting), pages * size, box.store)

    def give_up(self, places: Sequence[int], reason: str, stamp: Journal) -> None:
        """Replace rows by `void` entries of the same place: a receipt 'without a gap' can still advance."""
        with self.transaction():
            for box, end in self._spans():
                for place in (p for p in places if box.base < p <= end):
                    details = {"reason": reason, "was": self._leaf(place)}
                    void = msgspec.structs.replace(
                        stamp, event="void", details=details, outbox=box.outbox, seq=place - box.base
                    )
                    self._db.execute(
                        "UPDATE entry SET kind = 'journal', leaf = 'journal', retained = 0, body = ? WHERE id = ?",
                        (msgspec.json.encode(void), place),
                    )

    def prune(self, before_s: int) -> int:
        """Delete receipted rows older than `before_s` (wall time); gives how many. Unreceipted rows are never deleted."""
        return self._delete_archived("at_s < ?", before_s, limit=5000)

    def make_room(self) -> int:
        """The disk is nearly full: give up archived rows, oldest readings first, then journal; captures last of all."""
        for kinds in (("device", "standard"), ("journal",), ("scan",)):
            wanted = ",".join(f"'{kind}'" for kind in kinds)
            if freed := self._delete_archived(f"kind IN ({wanted}) AND ? = 0", 0, limit=2000):
                return freed
        return 0

    def close(self) -> None:
        self._db.close()

    def _delete_archived(self, condition: str, value: int, limit: int) -> int:
        deleted = 0
        with self.transaction():
            for box, end in self._spans():
                deleted += self._db.execute(
                    "DELETE FROM entry WHERE id IN (SELECT id FROM entry WHERE id > ? AND id <= ? AND "
                    f"{condition} ORDER BY id LIMIT ?)",
                    (box.base, min(end, box.base + box.upto), value, limit),
                ).rowcount
        return deleted

    def _leaf(self, place: int) -> str:
        found = self._db.execute("SELECT leaf FROM entry WHERE id = ?", (place,)).fetchone()
        return str(found[0]) if found else "?"

    def _spans(self) -> Iterable[tuple[_Box, int]]:
        ends = [box.base for box in self._boxes[1:]] + [self.last_id()]
        return zip(self._boxes, ends, strict=True)

    def _read_boxes(self) -> list[_Box]:
        return [_Box(*row) for row in self._db.execute("SELECT id, base, upto, store FROM outbox ORDER BY base, rowid")]


def _is_full(error: sqlite3.OperationalError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def open_outbox(path: Path, fingerprint: str, new_id: str, stamp: str) -> Outbox:
    """Open the file, make it, or put a damaged one aside (never deleted) and start anew: the agent starts anyway.

    `new_id` is taken where a new outbox begins: no file, a corrupt file, or a file that was written on other hardware
    (a cloned disk, a moved disk: the old rows are kept and still sent under their old id). `stamp` goes into the name of a
    file that is put aside.
    Raises sqlite3.OperationalError where the folder cannot be written at all.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    existed = path.exists()
    try:
        db, details = _opened(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and not is_damage(error):
            raise
        aside = path.with_name(f"{path.name}.damaged-{stamp}")
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        db, _ = _opened(path)
        _begin(db, new_id, fingerprint)
        return Outbox(db, path, Opening("corrupt", {"error": str(error), "moved_to": aside.name}))
    last = db.execute("SELECT id, fingerprint FROM outbox ORDER BY base DESC, rowid DESC LIMIT 1").fetchone()
    if last is None:
        _begin(db, new_id, fingerprint)
        return Outbox(db, path, Opening("kept" if existed else "new", details))
    if last[1] != fingerprint:
        _begin(db, new_id, fingerprint)
        return Outbox(
            db,
            path,
            Opening("other_hardware", {**details, "before": last[1], "now": fingerprint, "outbox_before": last[0]}),
        )
    return Outbox(db, path, Opening("migrated" if details else "kept", details))


def _begin(db: sqlite3.Connection, outbox: str, fingerprint: str) -> None:
    db.execute(
        "INSERT INTO outbox (id, base, fingerprint) VALUES "
        "(?, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'entry'), 0), ?)",
        (outbox, fingerprint),
    )


def _opened(path: Path) -> tuple[sqlite3.Connection, dict[str, str | int]]:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -512")
        db.execute("PRAGMA journal_size_limit = 1048576")
        before = int(db.execute("PRAGMA user_version").fetchone()[0])
        for version, migration in enumerate(MIGRATIONS[before:], start=before + 1):
            db.executescript(f"BEGIN; {migration}; PRAGMA user_version = {version}; COMMIT;")
        if before:
            db.execute("SELECT count(*), max(length(body)) FROM entry").fetchone()
            verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(str(verdict))
        changed = 0 < before < len(MIGRATIONS)
        return db, {"schema_before": before, "schema_now": len(MIGRATIONS)} if changed else {}
    except BaseException:
        db.close()
        raise


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """The file itself is damaged (SQLITE_CORRUPT, SQLITE_NOTADB)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def peek(path: Path) -> Depth:
    """The counts of a file that no daemon has open (or has: nothing is changed). Raises YinongError where there is none."""
    with read_only(path) as box:
        return box.depth()


@contextmanager
def read_only(path: Path) -> Generator[Outbox]:
    """The file to read from, whether a daemon has it open or not. Raises YinongError where it cannot be read."""
    try:
        there = path.is_file()
    except OSError as error:  # a folder that only the daemon's user may enter
        raise YinongError(f"没有权限读 {path}:请用 sudo / no permission for {path}: use sudo") from error
    if not there:
        raise YinongError(f"没有 {path} / there is no {path}")
    db = None
    try:
        db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
        yield Outbox(db, path, Opening("kept", {}))
    except sqlite3.Error as error:
        raise YinongError(f"{path}: {error}") from error
    finally:
        if db is not None:
            db.close()
