"""Salvage: the rows of a damaged outbox file that the county lacks are copied into the new one, under their old numbers.

Row by row, since one damaged page loses only the rows on it. A row that cannot be read, or is not what was committed (its CRC
differs), is replaced by a void (`agent.outbox.voids`). The damaged file stays as it is.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from zlib import crc32

from agent.outbox import database, voids

STEP = 200  # rows that are read together; singly if one of them cannot be read


def salvage(aside: Path, db: sqlite3.Connection) -> dict[str, str | int]:
    """Copy the readable rows of `aside` into the new, empty `db`; return the counts, for the journal.

    Nothing is copied if the outbox ids cannot be read: numbers without them are worthless.
    """
    try:
        old = sqlite3.connect(f"file:{quote(str(aside))}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error:
        return {}
    with contextlib.closing(old):
        try:
            parts = "parts" if _has(old, "outbox", "parts") else "NULL"
            epochs = old.execute(
                f"SELECT id, base, fingerprint, upto, store, {parts} FROM outbox ORDER BY base, rowid"
            ).fetchall()
        except (sqlite3.Error, UnicodeDecodeError):
            return {}
        if not epochs:
            return {}
        last = _last(old, epochs)
        with database.transaction(db):
            db.executemany(
                "INSERT INTO outbox (id, base, fingerprint, upto, store, parts) VALUES (?, ?, ?, ?, ?, ?)", epochs
            )
            saved = lost = 0
            ends = [int(epoch[1]) for epoch in epochs[1:]] + [last]
            for (outbox, base, _, upto, _, _), end in zip(epochs, ends, strict=True):
                for rowid, kind, leaf, body, retained, at_s in _rows(old, base + upto, end):
                    db.execute(
                        "INSERT INTO entry (id, kind, leaf, body, retained, at_s, crc) VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (rowid, kind, leaf, body, retained, at_s, crc32(body)),
                    )
                    saved += 1
                lost += voids.fill_gaps(db, voids.EpochBase(outbox, base), base + upto, end, "unreadable")
            db.executemany("INSERT OR REPLACE INTO mark (key, value) VALUES (?, ?)", list(_states(old)))
            db.execute("DELETE FROM sqlite_sequence WHERE name = 'entry'")
            db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('entry', ?)", (last,))
        return {"saved": saved, "lost": lost}


def _last(old: sqlite3.Connection, epochs: list[tuple[str, int, str, int, str | None, str | None]]) -> int:
    """The newest rowid that any part of the file names."""
    known = [int(base) + int(upto) for _, base, _, upto, _, _ in epochs]
    for sql in ("SELECT seq FROM sqlite_sequence WHERE name = 'entry'", "SELECT max(id) FROM entry"):
        with contextlib.suppress(sqlite3.Error):
            found = old.execute(sql).fetchone()
            known += [int(found[0])] if found and found[0] is not None else []
    return max(known)


def _rows(old: sqlite3.Connection, after: int, end: int) -> Iterator[tuple[int, str, str, bytes, int, int | None]]:
    for start in range(after + 1, end + 1, STEP):
        upto = min(start + STEP - 1, end)
        try:
            yield from _intact(old, start, upto)
        except sqlite3.Error:
            for rowid in range(start, upto + 1):
                with contextlib.suppress(sqlite3.Error):
                    yield from _intact(old, rowid, rowid)


def _intact(old: sqlite3.Connection, first: int, last: int) -> list[tuple[int, str, str, bytes, int, int | None]]:
    """The rows first..last that are what was committed. Raises sqlite3.Error if one cannot be read."""
    found = old.execute(
        f"SELECT id, kind, leaf, body, retained, at_s, {'crc' if _has(old, 'entry', 'crc') else 'NULL'} FROM entry "
        "WHERE id BETWEEN ? AND ? ORDER BY id",
        (first, last),
    ).fetchall()
    return [
        (rowid, kind, leaf, bytes(body), retained, at_s)
        for rowid, kind, leaf, body, retained, at_s, crc in found
        if isinstance(body, bytes) and isinstance(leaf, str) and crc in (None, crc32(body))
    ]


def _has(old: sqlite3.Connection, table: str, column: str) -> bool:
    """Whether the file's version had this column. Raises sqlite3.Error."""
    return any(one[1] == column for one in old.execute(f"PRAGMA table_info({table})"))


def _states(old: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """Gun counters, confirmed readings of devices, the end of the previous run."""
    with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
        for key, value in old.execute("SELECT key, value FROM mark"):
            if isinstance(key, str) and isinstance(value, bytes):
                yield key, value
