"""Telemetry that waits for a line: kept in the outbox's file, thinned by age, bounded in bytes.

Not receipted and not in the sequence: every second of the oldest samples goes when room is short, so a long outage keeps its
shape and loses its grain. Runs in the outbox's thread (`Writer.ask`).
"""

from collections.abc import Sequence

from agent.store.outbox import Outbox


def keep(box: Outbox, bodies: Sequence[bytes], most_bytes: int) -> None:
    """Add samples, oldest first, in one transaction; thin until at most `most_bytes` are held."""
    with box.transaction() as db:
        db.executemany("INSERT INTO spill (body) VALUES (?)", ((body,) for body in bodies))
        while held_bytes(box) > most_bytes:
            if not db.execute(
                "DELETE FROM spill WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS place, "
                "count(*) OVER () AS held FROM spill) WHERE place % 2 = 1 AND place <= (held + 1) / 2)"
            ).rowcount:
                return


def oldest(box: Outbox, limit: int) -> list[tuple[int, bytes]]:
    """The oldest samples with their ids."""
    found = box.db.execute("SELECT id, body FROM spill ORDER BY id LIMIT ?", (limit,))
    return [(int(place), bytes(body)) for place, body in found]


def drop(box: Outbox, upto: int) -> None:
    """Forget samples up to this id: the broker has them."""
    with box.transaction() as db:
        db.execute("DELETE FROM spill WHERE id <= ?", (upto,))


def held_bytes(box: Outbox) -> int:
    """Bytes of all samples that wait."""
    return int(box.db.execute("SELECT coalesce(sum(length(body)), 0) FROM spill").fetchone()[0])
