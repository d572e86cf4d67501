"""Telemetry that waits for a line: kept in the outbox's file, thinned by age, bounded in bytes.

Not receipted and not in the sequence. Beyond the limit every second of the older samples is deleted, then all but every fourth,
and so on; the newest quarter stays complete: older samples are kept at lower resolution. Functions that take an outbox run in
its thread (`Writer.run_in_thread`).
"""

from collections.abc import Sequence
from typing import NamedTuple

from agent.outbox.outbox import Outbox


class Sample(NamedTuple):
    """A sample in memory, with the number by which it is thinned."""

    number: int  # from 1
    body: bytes


def append(box: Outbox, bodies: Sequence[bytes], most_bytes: int) -> None:
    """Add samples, oldest first, in one transaction; thin until at most `most_bytes` are stored."""
    with box.transaction() as db:
        db.executemany("INSERT INTO spill (body) VALUES (?)", ((body,) for body in bodies))
        stride = 1
        while waiting_bytes(box) > most_bytes and len(oldest(box, 2)) > 1:
            stride *= 2
            db.execute(
                "DELETE FROM spill WHERE id % ? != 0 AND id <= "
                "(SELECT id FROM spill ORDER BY id DESC LIMIT 1 OFFSET (SELECT max(1, count(*) / 4) FROM spill))",
                (stride,),
            )


def thin(samples: list[Sample], most: int) -> None:
    """Thin samples in memory in the same way, oldest first, until at most `most` are left."""
    newest, stride = max(1, most // 4), 1
    while len(samples) > most:
        stride *= 2
        samples[:-newest] = [sample for sample in samples[:-newest] if sample.number % stride == 0]


def oldest(box: Outbox, limit: int) -> list[tuple[int, bytes]]:
    """The oldest samples with their ids."""
    found = box.db.execute("SELECT id, body FROM spill ORDER BY id LIMIT ?", (limit,))
    return [(int(rowid), bytes(body)) for rowid, body in found]


def forget(box: Outbox, upto: int) -> None:
    """Delete samples up to this id: the broker has them."""
    with box.transaction() as db:
        db.execute("DELETE FROM spill WHERE id <= ?", (upto,))


def waiting_bytes(box: Outbox) -> int:
    """Bytes of all waiting samples."""
    return int(box.db.execute("SELECT coalesce(sum(length(body)), 0) FROM spill").fetchone()[0])
