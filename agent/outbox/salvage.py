"""What a damaged outbox file still holds goes into the new one: the rows that the county lacks, under their old numbers.

Row by row, since one damaged page spoils only what lies in it. What cannot be read, or is not what was committed (its CRC), is
left out, and a void takes its place (`agent.outbox.voids`). The damaged file stays as it is.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from zlib import crc32

from agent.outbox import database, voids

STEP = 200  # places that are read together, until one of them cannot be read


def salvage(aside: Path, db: sqlite3.Connection) -> dict[str, str | int]:
    """Read what is readable of `aside` into the new, empty `db`. Gives what came of it, for the journal.

    Nothing is taken over where its outbox ids cannot be read: numbers without them are worth nothing.
    """
    try:
        old = sqlite3.connect(f"file:{quote(str(aside))}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error:
        return {}
    with contextlib.closing(old):
        try:
            parts = "parts" if _has(old, "outbox", "parts") else "NULL"
            boxes = old.execute(
                f"SELECT id, base, fingerprint, upto, store, {parts} FROM outbox ORDER BY base, rowid"
            ).fetchall()
        except (sqlite3.Error, UnicodeDecodeError):
            return {}
        if not boxes:
            return {}
        last = _last(old, boxes)
        with database.transaction(db):
            db.executemany(
                "INSERT INTO outbox (id, base, fingerprint, upto, store, parts) VALUES (?, ?, ?, ?, ?, ?)", boxes
            )
            saved = lost = 0
            ends = [int(box[1]) for box in boxes[1:]] + [last]
            for (outbox, base, _, upto, _, _), end in zip(boxes, ends, strict=True):
                for place, kind, leaf, body, retained, at_s in _rows(old, base + upto, end):
                    db.execute(
                        "INSERT INTO entry (id, kind, leaf, body, retained, at_s, crc) VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (place, kind, leaf, body, retained, at_s, crc32(body)),
                    )
                    saved += 1
                lost += voids.fill_gaps(db, voids.EpochBase(outbox, base), base + upto, end, "unreadable")
            marks = list(_marks(old))
            db.executemany("INSERT OR REPLACE INTO mark (key, value) VALUES (?, ?)", marks)
            db.execute("DELETE FROM sqlite_sequence WHERE name = 'entry'")
            db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('entry', ?)", (last,))
        return {"saved": saved, "lost": lost}


def _last(old: sqlite3.Connection, boxes: list[tuple[str, int, str, int, str | None, str | None]]) -> int:
    """The newest place that the file tells of, however it does."""
    known = [int(base) + int(upto) for _, base, _, upto, _, _ in boxes]
    for sql in ("SELECT seq FROM sqlite_sequence WHERE name = 'entry'", "SELECT max(id) FROM entry"):
        with contextlib.suppress(sqlite3.Error):
            found = old.execute(sql).fetchone()
            known += [int(found[0])] if found and found[0] is not None else []
    return max(known)


def _rows(old: sqlite3.Connection, after: int, end: int) -> Iterator[tuple[int, str, str, bytes, int, int | None]]:
    for start in range(after + 1, end + 1, STEP):
        upto = min(start + STEP - 1, end)
        try:
            yield from _whole(old, start, upto)
        except sqlite3.Error:
            for place in range(start, upto + 1):
                with contextlib.suppress(sqlite3.Error):
                    yield from _whole(old, place, place)


def _whole(old: sqlite3.Connection, first: int, last: int) -> list[tuple[int, str, str, bytes, int, int | None]]:
    """The rows of these places that are what was committed. Raises sqlite3.Error where one cannot be read."""
    found = old.execute(
        f"SELECT id, kind, leaf, body, retained, at_s, {'crc' if _has(old, 'entry', 'crc') else 'NULL'} FROM entry "
        "WHERE id BETWEEN ? AND ? ORDER BY id",
        (first, last),
    ).fetchall()
    return [
        (place, kind, leaf, bytes(body), retained, at_s)
        for place, kind, leaf, body, retained, at_s, crc in found
        if isinstance(body, bytes) and isinstance(leaf, str) and crc in (None, crc32(body))
    ]


def _has(old: sqlite3.Connection, table: str, column: str) -> bool:
    """Whether the file's version had this column. Raises sqlite3.Error."""
    return any(one[1] == column for one in old.execute(f"PRAGMA table_info({table})"))


def _marks(old: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """Gun counters, what is believed of devices, how the last run ended."""
    with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
        for key, value in old.execute("SELECT key, value FROM mark"):
            if isinstance(key, str) and isinstance(value, bytes):
                yield key, value
