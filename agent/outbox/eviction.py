"""Eviction: what is deleted when space is short, one step at a time and in this order; captures that the county lacks never are.

    telemetry > archived readings > archived journal > archived captures > readings that a newer one supersedes > journal

A row that the county has not receipted is replaced by a void, and unreceipted journal entries are evicted for captures alone.
Freed pages stay in the file and are used again: it does not shrink, and does not grow beyond its bound.
"""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from agent.outbox import voids
from common.messages import Journal

READINGS, JOURNAL, CAPTURES = ("device", "standard"), ("journal", voids.VOID), ("scan",)
ARCHIVED_PER_STEP = 200
SAMPLES_PER_STEP = 500
VOIDED_PER_STEP = 500


class Span(NamedTuple):
    """The rowids of one outbox id: receipted are base < rowid <= receipted, waiting are receipted < rowid <= end."""

    outbox: str
    base: int
    receipted: int
    end: int


def evict(db: sqlite3.Connection, spans: Iterable[Span], stamp: Journal | None, *, for_captures: bool) -> int:
    """Take the next step that deletes something; return how many rows, 0 if nothing more may be evicted.

    In the caller's transaction.
    """
    spans = tuple(spans)
    if samples := _drop_telemetry(db):
        return samples
    if archived := evict_archived(db, spans):
        return archived
    if superseded := _void_superseded(db, spans, stamp):
        return superseded
    return _void_journal(db, spans, stamp) if for_captures else 0


def evict_archived(db: sqlite3.Connection, spans: Iterable[Span]) -> int:
    """Delete the oldest archived rows of the first kind that has any."""
    for kinds in (READINGS, JOURNAL, CAPTURES):
        wanted = ",".join(f"'{kind}'" for kind in kinds)
        if freed := delete_archived(db, spans, f"kind IN ({wanted})", (), ARCHIVED_PER_STEP):
            return freed
    return 0


def delete_archived(
    db: sqlite3.Connection, spans: Iterable[Span], condition: str, values: tuple[int, ...], limit: int
) -> int:
    """Delete the oldest archived rows that meet the condition, at most `limit` of every outbox id."""
    return sum(
        db.execute(
            f"DELETE FROM entry WHERE id IN (SELECT id FROM entry WHERE id > ? AND id <= ? AND {condition} "
            "ORDER BY id LIMIT ?)",
            (span.base, min(span.end, span.receipted), *values, limit),
        ).rowcount
        for span in spans
    )


def _drop_telemetry(db: sqlite3.Connection) -> int:
    return db.execute(
        "DELETE FROM spill WHERE id IN (SELECT id FROM spill ORDER BY id LIMIT ?)", (SAMPLES_PER_STEP,)
    ).rowcount


def _void_superseded(db: sqlite3.Connection, spans: Iterable[Span], stamp: Journal | None) -> int:
    """The oldest waiting readings of devices that have a newer one."""
    newest = {
        str(leaf): int(rowid)
        for leaf, rowid in db.execute(
            "SELECT leaf, max(id) FROM entry WHERE kind IN ('device', 'standard') GROUP BY leaf"
        )
    }
    return _void(db, spans, "kind IN ('device', 'standard')", newest, stamp)


def _void_journal(db: sqlite3.Connection, spans: Iterable[Span], stamp: Journal | None) -> int:
    """All but the entries about the full disk: they explain the rest."""
    of_the_disk = 'instr(body, CAST(\'"event":"disk_\' AS BLOB))'
    return _void(db, spans, f"kind = 'journal' AND {of_the_disk} = 0", {}, stamp)


def _void(
    db: sqlite3.Connection, spans: Iterable[Span], condition: str, newest: dict[str, int], stamp: Journal | None
) -> int:
    voided = 0
    for span in spans:
        found = db.execute(
            f"SELECT id, leaf FROM entry WHERE id > ? AND id <= ? AND {condition} ORDER BY id",
            (max(span.base, span.receipted), span.end),
        )
        rowids: list[int] = []
        for rowid, leaf in found:
            if newest.get(leaf) != rowid and len(rowids) < VOIDED_PER_STEP - voided:
                rowids.append(rowid)
        voided += voids.void_rows(db, voids.EpochBase(span.outbox, span.base), rowids, "no_room", stamp)
        if voided >= VOIDED_PER_STEP:
            break
    return voided
