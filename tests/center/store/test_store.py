"""The store: a row is stored once however often it is sent, and heads never run ahead of what is committed."""

import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable
from support.messages_of import NAME, OTHER, OUTBOX, capture, device, heartbeat, journal, scan, state, url_of

from center.store.database import StoreError, StoreRejected
from center.store.intake import Arrived, Parsed, parse
from center.store.store import Ingested, Store, schema
from common.clock import SystemClock
from common.messages import topic
from common.station import Terminal

TERMINAL = Terminal.parse(NAME)


def of(leaf: str, payload: bytes, name: str = NAME, **other: bool) -> Parsed:
    return parse(Arrived(topic(name, leaf), payload, **other))


def upto(ingested: Ingested, outbox: str = OUTBOX) -> int | None:
    return next((head.upto for head in ingested.heads if head.outbox == outbox), None)


def all_of(folder: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "center.db") as db:
        rows = db.execute(query).fetchall()
    db.close()
    return rows


def test_a_row_sent_many_times_is_stored_once_and_its_head_is_returned_again(store: Store, tmp_path: Path) -> None:
    first = store.ingest([of("journal", journal(1)), of("journal", journal(1))])
    again = store.ingest([of("journal", journal(1))])
    assert (first.stored, first.duplicates) == (1, 1)
    assert (again.stored, again.duplicates, upto(again)) == (0, 1, 1)
    assert all_of(tmp_path, "select count(*) from entry") == [(1,)]


def test_other_bytes_for_the_same_place_are_kept_in_addition_to_the_first(store: Store, tmp_path: Path) -> None:
    store.ingest([of("journal", journal(1, "start"))])
    for _ in range(2):
        assert store.ingest([of("journal", journal(1, "stop"))]).conflicts == 1
    assert all_of(tmp_path, "select body from entry") == [(journal(1, "start"),)]
    assert all_of(tmp_path, "select seq, body from conflict") == [(1, journal(1, "stop"))]


def test_two_rows_of_one_place_in_one_batch_conflict_too(store: Store, tmp_path: Path) -> None:
    ingested = store.ingest([of("journal", journal(1, "start")), of("journal", journal(1, "stop"))])
    assert (ingested.stored, ingested.conflicts) == (1, 1)
    assert all_of(tmp_path, "select body from entry") == [(journal(1, "start"),)]


def test_live_rows_first_and_the_backlog_behind_them_advance_the_head_in_one_step(store: Store) -> None:
    assert upto(store.ingest([of("journal", journal(seq)) for seq in (8, 9, 10)])) == 0
    assert upto(store.ingest([of("scan", scan(*[capture(seq) for seq in range(1, 7)]), late=True)])) == 6
    assert upto(store.ingest([of("journal", journal(7), late=True)])) == 10


def test_a_void_entry_fills_the_place_of_an_evicted_row(store: Store) -> None:
    assert upto(store.ingest([of("journal", journal(seq)) for seq in (1, 3)])) == 1
    assert upto(store.ingest([of("journal", journal(2, "void", why="unreadable"))])) == 3


def test_a_void_for_an_occupied_place_still_covers_its_neighbours(store: Store, tmp_path: Path) -> None:
    """The row arrived alone; then the terminal evicted its archived copy together with the rows before it."""
    late = of("scan", scan(capture(4)), late=True)
    void = of("journal", journal(4, "void", reason="not_in_archive", **{"from": 1, "to": 4}), late=True)
    assert upto(store.ingest([late])) == 0
    for _ in range(2):
        assert upto(store.ingest([void])) == 4
    assert all_of(tmp_path, "select seq, kind from entry") == [(4, "scan")]
    assert upto(store.ingest([of("journal", journal(5))])) == 5


def test_a_conflict_other_than_a_void_covers_nothing(store: Store) -> None:
    store.ingest([of("journal", journal(4))])
    assert upto(store.ingest([of("journal", journal(4, "link_down", **{"from": 1}))])) == 0


def test_a_rejected_message_counts_as_received_and_its_bytes_are_kept(store: Store, tmp_path: Path) -> None:
    bad = device(2, "on fire")
    ingested = store.ingest([of("journal", journal(1)), of("device/printer/main", bad), of("journal", journal(3))])
    assert (upto(ingested), ingested.set_aside) == (3, 1)
    assert all_of(tmp_path, "select body from set_aside") == [(bad,)]
    assert all_of(tmp_path, "select kind from entry order by seq") == [("journal",), ("rejected",), ("journal",)]
    for _ in range(3):
        store.ingest([of("journal", b"not even JSON")])
    assert all_of(tmp_path, "select count(*) from set_aside") == [(2,)]


def test_terminals_and_outboxes_have_heads_of_their_own(store: Store) -> None:
    store.ingest(
        [of("journal", journal(1)), of("journal", journal(1), OTHER), of("journal", journal(1, outbox="f" * 12))]
    )
    store.ingest([of("journal", journal(2))])
    outboxes = [(TERMINAL, OUTBOX), (Terminal.parse(OTHER), OUTBOX), (TERMINAL, "f" * 12), (TERMINAL, "e" * 12)]
    assert [head.upto for head in store.heads(outboxes)] == [2, 1, 1, 0]


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(1, 30)), st.integers(1, 10), st.randoms(use_true_random=False))
def test_in_any_order_and_any_batches_the_head_is_what_is_committed_without_a_gap(
    order: list[int], size: int, rng: random.Random
) -> None:
    store = Store.open("sqlite://", SystemClock())
    arrived: set[int] = set()
    sent = [seq for seq in order for _ in range(rng.choice((1, 1, 2)))]
    for start in range(0, len(sent), size):
        batch = sent[start : start + size]
        arrived |= set(batch)
        head = upto(store.ingest([of("journal", journal(seq)) for seq in batch]))
        assert head == next(n for n in range(100) if n + 1 not in arrived)
    store.close()


def test_the_highest_number_is_the_present_never_the_latest_to_arrive(store: Store, tmp_path: Path) -> None:
    store.ingest([of("state", state()), of("device/printer/main", device(9, "faulty"))])
    store.ingest([of("device/printer/main", device(4, "working"), late=True)])
    assert all_of(tmp_path, "select seq from latest where leaf like 'device%'") == [(9,)]


def test_a_new_outbox_is_the_present_once_a_birth_has_named_it(store: Store, tmp_path: Path) -> None:
    store.ingest([of("state", state()), of("device/printer/main", device(9))])
    new = "f" * 12
    store.ingest([of("device/printer/main", device(1, outbox=new))])
    assert all_of(tmp_path, "select outbox, seq from latest where leaf like 'device%'") == [(OUTBOX, 9)]
    store.ingest(
        [of("state", state(outbox=new, run="r2", boot="89abcdef")), of("device/printer/main", device(2, outbox=new))]
    )
    assert all_of(tmp_path, "select outbox, seq from latest where leaf like 'device%'") == [(new, 2)]


def test_a_late_will_does_not_replace_the_state_of_a_later_connection(store: Store, tmp_path: Path) -> None:
    store.ingest([of("state", state("online", connection=2)), of("state", state("lost", connection=1))])
    (body,) = all_of(tmp_path, "select body from latest where leaf = 'state'")[0]
    assert b'"online"' in bytes(body)  # type: ignore[arg-type]
    store.ingest([of("state", state("lost", connection=2))])
    (body,) = all_of(tmp_path, "select body from latest where leaf = 'state'")[0]
    assert b'"lost"' in bytes(body)  # type: ignore[arg-type]


def test_heartbeats_are_no_rows_but_one_last_value(store: Store, tmp_path: Path) -> None:
    for waiting in range(5):
        store.ingest([of("heartbeat", heartbeat(waiting))])
    assert all_of(tmp_path, "select count(*) from entry") == [(0,)]
    assert all_of(tmp_path, "select body from latest where leaf = 'heartbeat'") == [(heartbeat(4),)]


def test_a_store_keeps_its_id_and_two_stores_have_two(store: Store, tmp_path: Path) -> None:
    store.close()
    again = Store.open(url_of(tmp_path), SystemClock())
    other = Store.open("sqlite://", SystemClock())
    assert again.id == store.id != other.id
    again.close()
    other.close()


def test_a_commit_is_on_the_disk_before_it_returns(store: Store, tmp_path: Path) -> None:
    with store._engine.connect() as connection:  # pyright: ignore
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_a_store_of_a_newer_program_is_not_touched(store: Store, tmp_path: Path) -> None:
    store.close()
    with sqlite3.connect(tmp_path / "center.db") as db:
        db.execute("update schema_version set version = 99")
    db.close()
    with pytest.raises(StoreError, match="version 99"):
        Store.open(url_of(tmp_path), SystemClock())


def test_the_error_of_a_store_that_cannot_be_opened_names_the_file_and_no_password() -> None:
    with pytest.raises(StoreError, match=r"/nonexistent/x\.db"):
        Store.open("sqlite:////nonexistent/x.db", SystemClock())
    with pytest.raises(StoreError) as error:
        Store.open("mysql://me:secret@host/db", SystemClock())
    assert "secret" not in str(error.value)


def test_a_locked_store_stores_nothing_and_raises(store: Store, tmp_path: Path) -> None:
    with store._engine.connect() as connection:  # pyright: ignore
        connection.exec_driver_sql("PRAGMA busy_timeout=10")
    holder = sqlite3.connect(tmp_path / "center.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError) as error:
        store.ingest([of("journal", journal(1))])
    assert not isinstance(error.value, StoreRejected)
    holder.execute("ROLLBACK")
    holder.close()
    assert upto(store.ingest([of("journal", journal(1))])) == 1


def test_a_row_that_the_database_cannot_hold_is_rejected_and_rolls_the_batch_back(store: Store, tmp_path: Path) -> None:
    good = of("journal", journal(1))
    bad = good._replace(rows=(good.rows[0]._replace(seq=2**63),))
    with pytest.raises(StoreRejected):
        store.ingest([good, bad])
    assert all_of(tmp_path, "select count(*) from entry") == [(0,)]


def test_the_tables_can_be_created_in_postgresql_too() -> None:
    for table in schema.metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))
