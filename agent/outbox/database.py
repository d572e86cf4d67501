"""The outbox's SQLite file: opened durably and migrated to the newest schema, and what its errors mean.

outbox  the ids under which this file has written: rows with base < id <= the next one's base, seq = id - base
entry   receipted messages; a row leaves by age, after its receipt
mark    the daemon's small states, committed with the messages that report them
spill   telemetry that waits for a line; thinned by age, bounded in bytes
"""

import errno
import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agent.outbox.hardware import Hardware

# One migration a version, applied in order, never changed after a release.
MIGRATIONS = (
    """
    CREATE TABLE outbox (
        id TEXT NOT NULL UNIQUE,
        base INTEGER NOT NULL,
        fingerprint TEXT NOT NULL,
        upto INTEGER NOT NULL DEFAULT 0,
        store TEXT
    );
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        leaf TEXT NOT NULL,
        body BLOB NOT NULL,
        retained INTEGER NOT NULL,
        at_s INTEGER
    );
    CREATE TABLE mark (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE spill (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL)
    """,
    # crc: of the body, since a worn flash flips bits below SQLite, and a wrong code is worse than none.
    # handed: brokers had accepted the rows up to this seq when the last receipt was committed.
    """
    ALTER TABLE entry ADD COLUMN crc INTEGER;
    ALTER TABLE outbox ADD COLUMN handed INTEGER NOT NULL DEFAULT 0
    """,
    # parts: of the hardware that wrote under this id, hashed, one a line (agent.outbox.hardware); NULL: never read.
    "ALTER TABLE outbox ADD COLUMN parts TEXT",
)
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
_PARTS = ("", "-wal", "-shm")  # suffixes of a file and of those that belong to it


def connect(path: Path, max_bytes: int | None = None) -> tuple[sqlite3.Connection, dict[str, str | int]]:
    """Open a file for reading and writing; return the connection and what was migrated.

    `max_bytes` bounds the file: beyond it SQLite reports 'full', as on a full disk. A file that is larger already keeps its size.
    Raises sqlite3.DatabaseError if the file is damaged.
    """
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -512")
        db.execute("PRAGMA journal_size_limit = 1048576")
        if max_bytes is not None:
            page = int(db.execute("PRAGMA page_size").fetchone()[0])
            db.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page)}")
        before = int(db.execute("PRAGMA user_version").fetchone()[0])
        for version, migration in enumerate(MIGRATIONS[before:], start=before + 1):
            db.executescript(f"BEGIN; {migration}; PRAGMA user_version = {version}; COMMIT;")
        if before:
            verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(str(verdict))
        changed = 0 < before < len(MIGRATIONS)
        return db, {"schema_before": before, "schema_now": len(MIGRATIONS)} if changed else {}
    except BaseException:
        db.close()
        raise


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None]:
    """All or nothing, also if the commit itself fails (a full disk)."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def start_epoch(db: sqlite3.Connection, outbox: str, hardware: Hardware, base: int | None = None) -> None:
    """Start a new outbox id, from the newest row on, or from the rowid `base` on."""
    db.execute(
        "INSERT INTO outbox (id, base, fingerprint, parts) VALUES "
        "(?, coalesce(?, (SELECT seq FROM sqlite_sequence WHERE name = 'entry'), 0), ?, ?)",
        (outbox, base, hardware.fingerprint, hardware.text),
    )


def newest_epoch(db: sqlite3.Connection) -> tuple[str, Hardware] | None:
    """The newest outbox id, and the hardware that writes under it; None for a new file."""
    newest = db.execute("SELECT id, fingerprint, parts FROM outbox ORDER BY base DESC, rowid DESC LIMIT 1").fetchone()
    return newest and (newest[0], Hardware.from_text(*newest[1:]))


def move_aside(path: Path, stamp: str) -> Path:
    """Rename a damaged file and those that belong to it; nothing is deleted or overwritten. Return the new path."""
    aside, times = path.with_name(f"{path.name}.damaged-{stamp}"), 1
    while any(aside.with_name(aside.name + suffix).exists() for suffix in _PARTS):
        times += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{times}")
    for suffix in _PARTS:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """The file itself is damaged (SQLITE_CORRUPT, SQLITE_NOTADB)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_full(error: sqlite3.Error) -> bool:
    """The disk is full, or the file has reached its bound."""
    return getattr(error, "sqlite_errorcode", 0) in _FULL


def may_be_full(error: Exception) -> bool:
    """Opening may succeed once there is free space: without a free inode no file can be created either."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    code = getattr(error, "sqlite_errorcode", 0)
    return code in _FULL or code & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)


def disk_free(path: Path) -> tuple[int, int | None]:
    """Free bytes for this process on the file's disk, and free inodes (None if the filesystem does not count them)."""
    found = os.statvfs(path.parent)
    return found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None
