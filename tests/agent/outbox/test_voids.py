"""Voids in place of rows that cannot be sent any more, so that receipts advance. On real files, with the real store."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.memory_county import AT, InMemoryCounty, Published

from agent.outbox.opening import open_outbox, read_only
from agent.outbox.outbox import Outbox
from agent.outbox.rows import Row
from agent.outbox.stamps import journal
from common.messages import Receipt


@pytest.fixture
def county(tmp_path: Path) -> Iterator[InMemoryCounty]:
    one = InMemoryCounty(tmp_path)
    yield one
    one.close()


def receipt_of(outbox: str, upto: int, store: str = "store") -> Receipt:
    return Receipt(at=AT, store=store, outbox=outbox, upto=upto)


def deliver(box: Outbox, county: InMemoryCounty) -> Receipt:
    """Deliver all waiting rows to the county; return its last receipt."""
    county.queue += [Published(row.leaf, row.body, True) for row in box.waiting(0, 1000)]
    county.ingest(1000)
    return county.receipts[-1]


def spoil(box: Outbox, *rowids: int) -> None:
    """Flip a bit of each row below SQLite, as a worn flash does."""
    for rowid in rowids:
        body = bytearray(box.db.execute("SELECT body FROM entry WHERE id = ?", (rowid,)).fetchone()[0])
        body[len(body) // 2] ^= 0x10
        box.db.execute("UPDATE entry SET body = ? WHERE id = ?", (bytes(body), rowid))


def voids(rows: list[Row]) -> list[tuple[int, dict[str, Any]]]:
    found = [(row.seq, json.loads(row.body)) for row in rows]
    return [(seq, body["details"]) for seq, body in found if body["event"] == "void"]


def test_a_row_that_cannot_be_read_is_sent_as_void_and_the_receipt_advances(
    outbox: Outbox, clock: Any, county: InMemoryCounty
) -> None:
    outbox.append([journal(clock, f"n{n}") for n in range(4)])
    spoil(outbox, 2)
    receipt = deliver(outbox, county)
    assert [json.loads(row.body)["event"] for row in outbox.waiting(0, 10)] == ["n0", "void", "n2", "n3"]
    assert voids(outbox.waiting(0, 10)) == [(2, {"reason": "unreadable", "was": "journal"})]
    assert (receipt.upto, outbox.apply_receipt(receipt)) == (4, "advanced")
    assert outbox.depth().waiting == 0


def test_adjacent_rows_share_one_void_that_names_the_first_of_them(
    outbox: Outbox, clock: Any, county: InMemoryCounty
) -> None:
    outbox.append([journal(clock, f"n{n}") for n in range(6)])
    spoil(outbox, 2, 3, 4)
    rows = outbox.waiting(0, 10)
    assert voids(rows) == [(4, {"reason": "unreadable", "was": "journal", "from": 2, "to": 4})]
    assert [list(row.numbers) for row in rows] == [[1], [2, 3, 4], [5], [6]]
    assert deliver(outbox, county).upto == 6


def test_a_void_is_the_same_bytes_however_often_it_is_sent(outbox: Outbox, clock: Any, county: InMemoryCounty) -> None:
    outbox.append([journal(clock, f"n{n}") for n in range(4)])
    spoil(outbox, 2, 3)
    deliver(outbox, county)
    deliver(outbox, county)
    assert county.bodies("conflict") == []


def test_a_file_opened_read_only_leaves_out_what_cannot_be_read(outbox: Outbox, clock: Any) -> None:
    outbox.append([journal(clock, f"n{n}") for n in range(3)])
    spoil(outbox, 2)
    with read_only(outbox.path) as box:
        assert [row.seq for row in box.waiting(0, 10)] == [1, 3]


def test_rows_that_are_missing_at_the_start_are_void_and_reported(tmp_path: Path, clock: Any) -> None:
    box = open_outbox(tmp_path / "o.db", "hw", "0123456789ab", "t")
    box.append([journal(clock, f"n{n}") for n in range(5)])
    box.db.execute("DELETE FROM entry WHERE id IN (2, 3, 5)")
    box.close()
    box = open_outbox(tmp_path / "o.db", "hw", "ffffffffffff", "t")
    assert box.opening == ("kept", {"missing": 3})
    assert [list(row.numbers) for row in box.waiting(0, 10)] == [[1], [2, 3], [4], [5]]
    box.close()


def test_what_is_no_longer_in_the_archive_is_void_to_a_new_store_which_then_gets_the_rest(
    outbox: Outbox, clock: Any, county: InMemoryCounty
) -> None:
    outbox.append([journal(clock, f"n{n}") for n in range(300)])
    outbox.apply_receipt(receipt_of(outbox.id, 250, "the store before"))
    outbox.prune(2**40)
    assert outbox.apply_receipt(receipt_of(outbox.id, 0, county.store.id)) == "again"
    first, *rest = outbox.waiting(0, 1000)
    assert (list(first.numbers), len(rest)) == (list(range(1, 251)), 50)
    receipt = deliver(outbox, county)
    assert (receipt.upto, outbox.apply_receipt(receipt)) == (300, "advanced")


def test_a_void_does_not_replace_what_a_store_has(outbox: Outbox, clock: Any, county: InMemoryCounty) -> None:
    """A recorder from a backup has some rows that the archive no longer has: those stay, and the rest is void."""
    outbox.append([journal(clock, f"n{n}") for n in range(10)])
    county.queue += [Published(row.leaf, row.body, False) for row in outbox.waiting(0, 10) if row.seq in (1, 2, 5)]
    county.ingest(10)
    outbox.apply_receipt(receipt_of(outbox.id, 8, county.store.id))
    outbox.prune(2**40)
    assert outbox.apply_receipt(county.receipts[-1]) == "again"
    assert [list(row.numbers) for row in outbox.waiting(0, 10)] == [[3, 4, 5, 6, 7, 8], [9], [10]]
    assert deliver(outbox, county).upto == 10
    assert sorted(json.loads(body)["event"] for body in county.bodies("entry", "journal")) == [
        "n0",
        "n1",
        "n4",
        "n8",
        "n9",
    ]


def test_a_void_that_cannot_be_decoded_covers_its_own_number_only(
    county: InMemoryCounty, outbox: Outbox, clock: Any
) -> None:
    outbox.append([journal(clock, "void", **{"from": wrong}) for wrong in (-5, 7, "x", True, 2**70)])
    assert deliver(outbox, county).upto == 5
    assert len(county.bodies("entry", "void")) == 5


def test_a_file_of_the_version_without_checksums_is_migrated_and_read(tmp_path: Path, clock: Any) -> None:
    box = open_outbox(tmp_path / "o.db", "hw", "0123456789ab", "t")
    box.append([journal(clock, "old")])
    box.close()
    with sqlite3.connect(tmp_path / "o.db") as db:
        db.executescript(
            "ALTER TABLE entry DROP COLUMN crc; ALTER TABLE outbox DROP COLUMN handed; "
            "ALTER TABLE outbox DROP COLUMN parts; PRAGMA user_version = 1"
        )
    db.close()
    with read_only(tmp_path / "o.db") as before:
        assert before.depth().waiting == 1
    box = open_outbox(tmp_path / "o.db", "hw", "ffffffffffff", "t")
    assert box.opening == ("migrated", {"schema_before": 1, "schema_now": 3})
    assert [row.seq for row in box.waiting(0, 10)] == [1]
    assert [row.seq for row in box.append([journal(clock, "new")])] == [2]
    box.close()
