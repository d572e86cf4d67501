"""Voids: journal entries in place of rows that cannot be sent any more, so that receipts can still advance.

A receipt covers 'without a gap up to': a missing row (unreadable after a disk fault, evicted on a full disk, no longer in
the archive when a restored recorder wants it again) would block all rows behind it for ever. Adjacent rows share one void, at
the last of their rowids; it names the first.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zlib import crc32

import msgspec

from common.messages import Journal

VOID = "void"  # the event, and the kind of its row
_NO_STAMP = Journal(  # of a void that is made without a clock
    boot="00000000", at="1970-01-01T00:00:00.000+00:00", mono_ms=0, clock="unsynced", outbox="0" * 12, seq=1, event=VOID
)


class EpochBase(NamedTuple):
    """An outbox id, and the rowid before its first number."""

    outbox: str
    base: int


def void_body(epoch: EpochBase, first: int, last: int, reason: str, was: str, stamp: Journal | None = None) -> bytes:
    """The bytes of a void for the rowids first..last."""
    details: dict[str, object] = {"reason": reason, "was": was}
    if first < last:
        details |= {"from": first - epoch.base, "to": last - epoch.base}
    void = msgspec.structs.replace(
        stamp or _NO_STAMP, event=VOID, details=details, outbox=epoch.outbox, seq=last - epoch.base
    )
    return msgspec.json.encode(void)


def first_covered(body: bytes) -> int:
    """The first number that a void covers; 0 if it covers only its own."""
    try:
        first = msgspec.json.decode(body, type=_Void).details.get("from", 0)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0
    return first if isinstance(first, int) and first > 0 else 0


def void_rows(
    db: sqlite3.Connection, epoch: EpochBase, rowids: Iterable[int], reason: str, stamp: Journal | None = None
) -> int:
    """Put voids in place of these rows (of one outbox id), adjacent ones together; return how many rows.

    In the caller's transaction.
    """
    voided = 0
    for first, last in runs(sorted(rowids)):
        kinds = db.execute("SELECT DISTINCT kind FROM entry WHERE id BETWEEN ? AND ? ORDER BY kind", (first, last))
        was = ",".join(str(kind) for (kind,) in kinds) or "?"
        body = void_body(epoch, first, last, reason, was, stamp)
        db.execute("DELETE FROM entry WHERE id BETWEEN ? AND ?", (first, last))
        db.execute(
            "INSERT INTO entry (id, kind, leaf, body, retained, crc) VALUES (?, ?, 'journal', ?, 0, ?)",
            (last, VOID, body, crc32(body)),
        )
        voided += last - first + 1
    return voided


def fill_gaps(db: sqlite3.Connection, epoch: EpochBase, after: int, end: int, reason: str) -> int:
    """Put voids at every rowid of after < rowid <= end that has no row and no void covers; return how many rowids.

    In the caller's transaction.
    """
    empty: list[tuple[int, int]] = []
    expected = after + 1
    for rowid, kind, body in db.execute(
        "SELECT id, kind, CASE kind WHEN 'void' THEN body END FROM entry WHERE id > ? AND id <= ? ORDER BY id",
        (after, end),
    ):
        first = epoch.base + first_covered(bytes(body)) if kind == VOID and first_covered(bytes(body)) else rowid
        if first > expected:
            empty.append((expected, first - 1))
        expected = max(expected, rowid + 1)
    if expected <= end:
        empty.append((expected, end))
    for first, last in empty:
        void_rows(db, epoch, range(first, last + 1), reason)
    return sum(last - first + 1 for first, last in empty)


def runs(rowids: Sequence[int]) -> list[tuple[int, int]]:
    """Sorted rowids as closed intervals of adjacent ones."""
    found: list[tuple[int, int]] = []
    for rowid in rowids:
        if found and found[-1][1] == rowid - 1:
            found[-1] = (found[-1][0], rowid)
        else:
            found.append((rowid, rowid))
    return found


class _Void(msgspec.Struct):
    details: dict[str, object] = {}
