"""The outbox file: committed is on the disk, kept until receipted, never numbered twice, opened in whatever state it is."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.outbox.opening import open_outbox
from agent.outbox.outbox import Outbox
from agent.outbox.spool import append, forget, oldest, waiting_bytes
from agent.outbox.stamps import journal, sequenced
from common.messages import Journal, Receipt


def receipt(store: str, outbox: str, upto: int) -> Receipt:
    return Receipt(at="2026-03-02T09:00:00.000+08:00", store=store, outbox=outbox, upto=upto)


def texts(rows: object) -> list[str]:
    return [json.loads(row.body)["details"]["n"] for row in rows]  # type: ignore[attr-defined]


def test_a_row_has_its_number_in_its_own_bytes(outbox: Outbox, clock) -> None:
    rows = outbox.append([journal(clock, "x", n="a"), journal(clock, "x", n="b")])
    assert [(row.seq, row.outbox) for row in rows] == [(1, "0123456789ab"), (2, "0123456789ab")]
    assert json.loads(rows[1].body)["seq"] == 2
    assert json.loads(rows[1].body)["outbox"] == "0123456789ab"


def test_a_receipted_row_waits_no_more_and_stays_in_the_archive(outbox: Outbox, clock) -> None:
    outbox.append([journal(clock, "x", n=str(n)) for n in range(5)])
    assert outbox.apply_receipt(receipt("store", outbox.id, 3)) == "advanced"
    assert texts(outbox.waiting(0, 10)) == ["3", "4"]
    assert (outbox.depth().waiting, outbox.depth().archived) == (2, 3)


def test_the_same_receipt_again_changes_nothing(outbox: Outbox, clock) -> None:
    outbox.append([journal(clock, "x", n="a")])
    outbox.apply_receipt(receipt("store", outbox.id, 1))
    assert outbox.apply_receipt(receipt("store", outbox.id, 1)) == "same"


def test_a_lower_receipt_of_a_restored_recorder_sends_the_archive_again(outbox: Outbox, clock) -> None:
    outbox.append([journal(clock, "x", n=str(n)) for n in range(5)])
    outbox.apply_receipt(receipt("store", outbox.id, 5))
    assert outbox.apply_receipt(receipt("store", outbox.id, 2)) == "again"
    assert texts(outbox.waiting(0, 10)) == ["2", "3", "4"]


def test_an_old_receipt_that_a_broker_had_retained_sends_nothing_again(outbox: Outbox, clock) -> None:
    outbox.append([journal(clock, "x", n=str(n)) for n in range(5)])
    outbox.apply_receipt(receipt("store", outbox.id, 5))
    assert outbox.apply_receipt(receipt("store", outbox.id, 2), retained=True) == "same"
    assert outbox.depth().waiting == 0


def test_a_new_store_sends_everything_again(outbox: Outbox, clock) -> None:
    outbox.append([journal(clock, "x", n=str(n)) for n in range(3)])
    outbox.apply_receipt(receipt("old", outbox.id, 3))
    assert outbox.apply_receipt(receipt("new", outbox.id, 0)) == "again"
    assert outbox.depth().waiting == 3


def test_a_receipt_for_another_outbox_is_foreign(outbox: Outbox, clock) -> None:
    outbox.append([journal(clock, "x", n="a")])
    assert outbox.apply_receipt(receipt("store", "ffffffffffff", 1)) == "foreign"
    assert outbox.depth().waiting == 1


def test_a_receipt_for_numbers_never_assigned_covers_nothing_and_shows_that_the_file_went_back(
    outbox: Outbox, clock
) -> None:
    outbox.append([journal(clock, "x", n="a")])
    assert outbox.apply_receipt(receipt("store", outbox.id, 99)) == "went_back"
    assert outbox.depth().waiting == 1


def test_a_number_is_never_assigned_twice_also_if_every_row_is_gone(tmp_path: Path, clock) -> None:
    box = open_outbox(tmp_path / "o.db", "hw", "0123456789ab", "t")
    box.append([journal(clock, "x", n="a"), journal(clock, "x", n="b")])
    box.apply_receipt(receipt("store", box.id, 2))
    assert box.prune(2**40) == 2
    box.close()
    box = open_outbox(tmp_path / "o.db", "hw", "ffffffffffff", "t")
    assert [row.seq for row in box.append([journal(clock, "x", n="c")])] == [3]
    box.close()


def test_unreceipted_rows_are_never_pruned(outbox: Outbox, clock) -> None:
    outbox.append([journal(clock, "x", n=str(n)) for n in range(4)])
    outbox.apply_receipt(receipt("store", outbox.id, 1))
    assert outbox.prune(2**40) == 1
    assert texts(outbox.waiting(0, 10)) == ["1", "2", "3"]


def test_a_state_and_its_message_are_committed_together_or_not_at_all(outbox: Outbox, clock) -> None:
    class Unwritable:
        def __buffer__(self) -> None:
            raise TypeError

    with pytest.raises(sqlite3.Error):
        outbox.append([journal(clock, "x", n="a")], {"judged": Unwritable()})  # type: ignore[dict-item]
    assert outbox.depth().last_seq == 0
    rows = outbox.append([journal(clock, "x", n="a")], {"judged": b"1"})
    assert (rows[0].seq, outbox.state("judged")) == (1, b"1")


def test_another_machine_with_the_same_disk_starts_a_new_epoch_and_keeps_the_old_rows(tmp_path: Path, clock) -> None:
    box = open_outbox(tmp_path / "o.db", "hardware-1", "aaaaaaaaaaaa", "t")
    box.append([journal(clock, "x", n="old")])
    box.close()
    box = open_outbox(tmp_path / "o.db", "hardware-2", "bbbbbbbbbbbb", "t")
    assert (box.opening.kind, box.id) == ("other_hardware", "bbbbbbbbbbbb")
    box.append([journal(clock, "x", n="new")])
    assert [(row.outbox, row.seq) for row in box.waiting(0, 10)] == [("aaaaaaaaaaaa", 1), ("bbbbbbbbbbbb", 1)]
    assert box.apply_receipt(receipt("store", "aaaaaaaaaaaa", 1)) == "advanced"
    assert texts(box.waiting(0, 10)) == ["new"]
    box.close()


def test_a_corrupt_file_is_moved_aside_never_deleted_and_the_agent_starts(tmp_path: Path, clock) -> None:
    path = tmp_path / "o.db"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    box = open_outbox(path, "hw", "0123456789ab", "20260302")
    assert box.opening.kind == "corrupt"
    assert (tmp_path / str(box.opening.details["moved_to"])).read_bytes().startswith(b"SQLite format 3\0\xff")
    assert [row.seq for row in box.append([journal(clock, "x", n="a")])] == [1]
    box.close()


def test_every_page_of_a_file_may_be_damaged_and_the_agent_still_starts(tmp_path: Path, clock) -> None:
    path = tmp_path / "o.db"
    box = open_outbox(path, "hw", "0123456789ab", "t")
    box.append([journal(clock, "x", n="a" * 3000) for _ in range(5)])
    box.close()
    good = path.read_bytes()
    for page in range(len(good) // 4096):
        path.write_bytes(good[: page * 4096] + b"\xa5" * 4096 + good[(page + 1) * 4096 :])
        box = open_outbox(path, "hw", "ffffffffffff", f"page{page}")
        box.append([journal(clock, "x", n="after")])
        box.close()
        for part in tmp_path.glob("o.db*"):
            part.unlink()


def test_a_voided_row_leaves_a_void_at_its_rowid(outbox: Outbox, clock) -> None:
    rows = outbox.append([journal(clock, "x", n="a"), journal(clock, "x", n="b")])
    outbox.void_rows([rows[0].rowid], "unreadable", Journal(**sequenced(clock), event="void"))
    first, second = outbox.waiting(0, 10)
    assert json.loads(first.body)["event"] == "void"
    assert json.loads(first.body)["details"] == {"reason": "unreadable", "was": "journal"}
    assert (first.seq, second.seq) == (1, 2)


def test_a_full_disk_evicts_archived_readings_before_anything_else(tmp_path: Path, clock) -> None:
    box = open_outbox(tmp_path / "o.db", "hw", "0123456789ab", "t")
    rows = box.append([journal(clock, "x", n="j" * 2000) for _ in range(50)])
    box.db.execute("UPDATE entry SET kind = 'device' WHERE id <= 40")
    box.apply_receipt(receipt("store", box.id, rows[-1].seq))
    box.db.execute(f"PRAGMA max_page_count = {box.db.execute('PRAGMA page_count').fetchone()[0]}")
    box.append([journal(clock, "x", n="s" * 2000) for _ in range(5)])
    kinds = dict(box.db.execute("SELECT kind, count(*) FROM entry WHERE id <= 50 GROUP BY kind"))
    assert kinds == {"journal": 10}
    assert box.depth().waiting == 5
    box.close()


_WRITE_UNTIL_KILLED = """
import sys
import tempfile
from pathlib import Path
from common.clock import SystemClock
from agent.outbox.opening import open_outbox
from agent.outbox.stamps import journal
box, clock = open_outbox(Path(sys.argv[1]), "hw", "0123456789ab", "t"), SystemClock()
while True:
    print(box.append([journal(clock, "x", n="y" * 500)])[0].seq, flush=True)
"""


def test_a_killed_agent_has_lost_nothing_that_it_had_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    with subprocess.Popen([sys.executable, "-c", _WRITE_UNTIL_KILLED, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        for _ in range(50):
            acknowledged = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
    acknowledged = int(rest[-1]) if rest else acknowledged
    box = open_outbox(path, "hw", "ffffffffffff", "t")
    assert [row.seq for row in box.waiting(0, 10**6)][:acknowledged] == list(range(1, acknowledged + 1))
    box.close()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.integers(500, 4000))
def test_telemetry_that_waits_is_bounded_and_keeps_its_newest(sizes: list[int], most_bytes: int) -> None:
    db = Path(tempfile.gettempdir()) / f"spill-{os.getpid()}.db"
    try:
        box = open_outbox(db, "hw", "0123456789ab", "t")
        bodies = [bytes([65 + n % 26]) * size for n, size in enumerate(sizes)]
        for body in bodies:
            append(box, [body], most_bytes)
        assert waiting_bytes(box) <= most_bytes
        kept = [body for _, body in oldest(box, 100)]
        assert kept[-1:] == bodies[-1:]
        assert all(body in bodies for body in kept)
        forget(box, 10**9)
        assert waiting_bytes(box) == 0
        box.close()
    finally:
        for part in db.parent.glob(f"{db.name}*"):
            part.unlink()
