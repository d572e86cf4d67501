"""The outbox file at the start: opened, created, a new epoch on other hardware, moved aside and salvaged if it is damaged."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from agent.outbox import ballast, database
from agent.outbox.hardware import Hardware, Match, compare, merged
from agent.outbox.outbox import Outbox
from agent.outbox.rows import Depth, Opening
from agent.outbox.salvage import salvage
from drivers.reading import YinongError


def open_outbox(
    path: Path,
    fingerprint: str,
    new_id: str,
    stamp: str,
    max_bytes: int | None = None,
    parts: frozenset[str] | None = None,
) -> Outbox:
    """Open the file, create it, or move a damaged one aside (never deleted) and create a new one: the agent starts anyway.

    `new_id` is used if a new epoch begins: no file, a damaged file, or a file that was written on other hardware (a cloned disk,
    a moved disk: the old rows are kept and still sent under their old id). `parts` decide what is other hardware
    (`agent.outbox.hardware`); without them the fingerprint alone does. A terminal that is recognised keeps the fingerprint that
    its outbox began with, and its new parts are stored. `stamp` goes into the name of a file that is moved aside; rows in it
    that the county lacks and that can be read are copied into the new file (`agent.outbox.salvage`).
    `max_bytes` bounds the file.
    Raises OSError and sqlite3.OperationalError if the folder cannot be written at all.
    """
    now = Hardware(fingerprint, parts)
    try:
        box = _open(path, now, new_id, stamp, max_bytes)
    except (OSError, sqlite3.OperationalError) as error:
        if not (database.may_be_full(error) and ballast.free(path)):
            raise
        box = _open(path, now, new_id, stamp, max_bytes)
    ballast.allocate(path)
    return box


def _open(path: Path, now: Hardware, new_id: str, stamp: str, max_bytes: int | None) -> Outbox:
    path.parent.mkdir(parents=True, exist_ok=True)
    existed = path.exists()
    try:
        db, details = database.connect(path, max_bytes)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and not database.is_damage(error):
            raise
        aside = database.move_aside(path, stamp)
        db, _ = database.connect(path, max_bytes)
        salvaged = salvage(aside, db)
        last = database.newest_epoch(db)
        recognised = last is not None and compare(last[1], now).same_terminal
        database.start_epoch(db, new_id, merged(last[1], now) if last and recognised else now)
        return Outbox(db, path, Opening("corrupt", {"error": str(error), "moved_to": aside.name, **salvaged}))
    last = database.newest_epoch(db)
    if last is None:
        database.start_epoch(db, new_id, now)
        return Outbox(db, path, Opening("kept" if existed else "new", details))
    before, parts = last[1], compare(last[1], now)
    if not parts.same_terminal:
        database.start_epoch(db, new_id, now)
        details = {**details, "before": before.fingerprint, "now": now.fingerprint, "outbox_before": last[0]}
        return _whole(db, path, Opening("other_hardware", {**details, **_words(parts)}))
    _remember(db, last[0], before, merged(before, now))
    replaced = _words(parts) if parts.differ else {}
    return _whole(db, path, Opening("migrated" if details else "kept", {**details, **replaced}))


def _words(parts: Match) -> dict[str, str]:
    return {"agree": " ".join(sorted(parts.agree)), "differ": " ".join(sorted(parts.differ))}


def _remember(db: sqlite3.Connection, outbox: str, before: Hardware, now: Hardware) -> None:
    """Nothing is written if nothing is new; if the disk is full, the next start tries again."""
    if now != before:
        with suppress(sqlite3.OperationalError):
            db.execute("UPDATE outbox SET parts = ? WHERE id = ?", (now.text, outbox))


def _whole(db: sqlite3.Connection, path: Path, opening: Opening) -> Outbox:
    """The outbox without a gap in its waiting rows: a number whose row is missing for whatever reason becomes a void."""
    box = Outbox(db, path, opening)
    if missing := box.fill_gaps():
        box.opening = Opening(opening.kind, {**opening.details, "missing": missing})
    return box


def peek(path: Path) -> Depth:
    """The counts of a file, whether a daemon has it open or not. Raises YinongError if there is no file."""
    with read_only(path) as box:
        return box.depth()


@contextmanager
def read_only(path: Path) -> Generator[Outbox]:
    """The file opened read-only, whether a daemon has it open or not. Raises YinongError if it cannot be read."""
    try:
        exists = path.is_file()
    except OSError as error:  # a folder that only the daemon's user may enter
        raise YinongError(f"没有权限读 {path}：请用 sudo / no permission for {path}: use sudo") from error
    if not exists:
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
