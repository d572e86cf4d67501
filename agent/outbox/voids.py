"""Voids: journal entries that hold the places of rows that cannot be sent any more, so that receipts can still advance.

A receipt says 'without a gap up to': a row that is gone (unreadable after a disk fault, given up on a full disk, no longer in
the archive when a restored recorder wants it again) would hold up all behind it for ever. Neighbours share one void, which
stands at the last of their places and names the first.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zlib import crc32

import msgspec

from common.messages import Journal

VOID = "void"  # the event, and the kind of its row
_NO_STAMP = Journal(  # of one that no clock was at hand for
    boot="00000000", at="1970-01-01T00:00:00.000+00:00", mono_ms=0, clock="unsynced", outbox="0" * 12, seq=1, event=VOID
)


class EpochBase(NamedTuple):
    """Where a void belongs: an outbox id, and the place in the file before its first number."""

    outbox: str
    base: int


def void_body(at: EpochBase, first: int, last: int, reason: str, was: str, stamp: Journal | None = None) -> bytes:
    """The bytes of a void for the places first..last."""
    details: dict[str, object] = {"reason": reason, "was": was}
    if first < last:
        details |= {"from": first - at.base, "to": last - at.base}
    void = msgspec.structs.replace(
        stamp or _NO_STAMP, event=VOID, details=details, outbox=at.outbox, seq=last - at.base
    )
    return msgspec.json.encode(void)


def first_of(body: bytes) -> int:
    """The first number that a void covers; 0 where it is its own only."""
    try:
        first = msgspec.json.decode(body, type=_Void).details.get("from", 0)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0
    return first if isinstance(first, int) and first > 0 else 0


def void_rows(
    db: sqlite3.Connection, at: EpochBase, rowids: Iterable[int], reason: str, stamp: Journal | None = None
) -> int:
    """Put voids in these places (of one outbox id), neighbours together; gives how many places. In the caller's transaction."""
    given = 0
    for first, last in runs(sorted(rowids)):
        kinds = db.execute("SELECT DISTINCT kind FROM entry WHERE id BETWEEN ? AND ? ORDER BY kind", (first, last))
        was = ",".join(str(kind) for (kind,) in kinds) or "?"
        body = void_body(at, first, last, reason, was, stamp)
        db.execute("DELETE FROM entry WHERE id BETWEEN ? AND ?", (first, last))
        db.execute(
            "INSERT INTO entry (id, kind, leaf, body, retained, crc) VALUES (?, ?, 'journal', ?, 0, ?)",
            (last, VOID, body, crc32(body)),
        )
        given += last - first + 1
    return given


def fill_gaps(db: sqlite3.Connection, at: EpochBase, after: int, end: int, reason: str) -> int:
    """Put voids in every place of after < id <= end that no row is in and no void covers. Gives how many places.

    In the caller's transaction.
    """
    empty: list[tuple[int, int]] = []
    expected = after + 1
    for place, kind, body in db.execute(
        "SELECT id, kind, CASE kind WHEN 'void' THEN body END FROM entry WHERE id > ? AND id <= ? ORDER BY id",
        (after, end),
    ):
        first = at.base + first_of(bytes(body)) if kind == VOID and first_of(bytes(body)) else place
        if first > expected:
            empty.append((expected, first - 1))
        expected = max(expected, place + 1)
    if expected <= end:
        empty.append((expected, end))
    for first, last in empty:
        void_rows(db, at, range(first, last + 1), reason)
    return sum(last - first + 1 for first, last in empty)


def runs(rowids: Sequence[int]) -> list[tuple[int, int]]:
    """Sorted places as closed intervals of neighbours."""
    found: list[tuple[int, int]] = []
    for place in rowids:
        if found and found[-1][1] == place - 1:
            found[-1] = (found[-1][0], place)
        else:
            found.append((place, place))
    return found


class _Void(msgspec.Struct):
    details: dict[str, object] = {}
