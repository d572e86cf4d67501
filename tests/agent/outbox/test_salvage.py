"""A damaged outbox file: moved aside, and the rows that the county lacks are salvaged under their old numbers."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from agent.outbox.opening import open_outbox
from agent.outbox.outbox import Outbox
from agent.outbox.stamps import journal
from common.messages import Receipt

OLD, NEW = "0123456789ab", "ffffffffffff"
PAGE = 4096


def filled(path: Path, clock: Any, rows: int = 60) -> Outbox:
    box = open_outbox(path, "hw", OLD, "t")
    for n in range(rows):
        box.append([journal(clock, f"n{n}", pad="x" * 300)], {"gun:main": str(n).encode()})
    box.apply_receipt(Receipt(at="", store="store", outbox=OLD, upto=10))
    return box


def events(box: Outbox) -> list[tuple[str, int, str]]:
    return [(row.outbox, row.seq, json.loads(row.body)["event"]) for row in box.waiting(0, 1000)]


def covered(box: Outbox) -> list[int]:
    return [n for row in box.waiting(0, 1000) if row.outbox == OLD for n in row.numbers]


def test_a_damaged_page_costs_its_own_rows_and_the_rest_is_sent_under_its_old_numbers(
    tmp_path: Path, clock: Any
) -> None:
    path = tmp_path / "o.db"
    filled(path, clock).close()
    good = path.read_bytes()
    saved: list[int] = []
    for page in range(1, len(good) // PAGE):  # all but the first, whose loss is the loss of the file
        path.write_bytes(good[: page * PAGE] + b"\xa5" * PAGE + good[(page + 1) * PAGE :])
        box = open_outbox(path, "hw", NEW, f"page{page}")
        found = [(seq, event) for outbox, seq, event in events(box) if outbox == OLD and event != "void"]
        assert all(event == f"n{seq - 1}" for seq, event in found), "under its own number, or not at all"
        if found:
            assert covered(box) == list(range(11, 61)), "what is not there is void"
        if box.opening.kind == "corrupt":
            assert (tmp_path / str(box.opening.details["moved_to"])).stat().st_size == len(good)
            assert box.id == NEW
            assert box.append([journal(clock, "after")])[0].outbox == NEW, "numbers that may have been given are not"
        saved.append(len(found))
        box.close()
        for part in tmp_path.glob("o.db*"):
            part.unlink()
    assert sorted(saved)[len(saved) // 2] > 35, saved


def test_the_journal_states_what_was_saved_and_what_was_lost(tmp_path: Path, clock: Any) -> None:
    path = tmp_path / "o.db"
    box = filled(path, clock)
    box.close()
    content = bytearray(path.read_bytes())
    page = content.index(b'"n30"') // PAGE
    content[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    path.write_bytes(content)
    box = open_outbox(path, "hw", NEW, "t2")
    saved, lost = box.opening.details["saved"], box.opening.details["lost"]
    assert isinstance(saved, int)
    assert isinstance(lost, int)
    assert saved + lost == 50
    assert 0 < lost < 20
    assert box.state("gun:main") == b"59", "a gun counts on"
    box.close()


@pytest.mark.parametrize("length", [0, 1, 100, 4096, 5000, 0.5, 0.9])
def test_a_file_that_was_cut_off_starts_and_loses_no_number(tmp_path: Path, clock: Any, length: float) -> None:
    path = tmp_path / "o.db"
    filled(path, clock).close()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(length * len(whole)) if isinstance(length, float) else length])
    box = open_outbox(path, "hw", NEW, "t2")
    (row,) = box.append([journal(clock, "after")])
    assert row.outbox == NEW
    assert covered(box) in ([], list(range(11, 61)))
    box.close()


def test_a_corrupt_wal_is_cut_where_it_is_corrupt_and_nothing_before_it_is_lost(tmp_path: Path, clock: Any) -> None:
    path = tmp_path / "o.db"
    box = filled(path, clock, 30)
    box.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    box.append([journal(clock, f"late{n}") for n in range(10)])
    main, wal = path.read_bytes(), bytearray(path.with_name("o.db-wal").read_bytes())
    box.close()
    for at in range(0, len(wal), len(wal) // 7):
        spoiled = bytearray(wal)
        spoiled[at : at + 16] = bytes(16 if any(wal[at : at + 16]) else 0) or b"\xff" * 16
        copy = tmp_path / f"copy{at}.db"
        copy.write_bytes(main)
        copy.with_name(f"{copy.name}-wal").write_bytes(spoiled)
        box = open_outbox(copy, "hw", NEW, "t2")
        assert box.opening.kind == "kept"
        assert len(box.waiting(0, 1000)) in (20, 30)  # the one transaction is there completely, or not at all
        box.close()


def test_without_its_shm_a_file_is_opened_as_usual(tmp_path: Path, clock: Any) -> None:
    path = tmp_path / "o.db"
    box = filled(path, clock)
    main, wal = path.read_bytes(), path.with_name("o.db-wal").read_bytes()
    box.close()
    copy = tmp_path / "copy.db"
    copy.write_bytes(main)
    copy.with_name("copy.db-wal").write_bytes(wal)
    copy.with_name("copy.db-shm").write_bytes(random.Random(1).randbytes(32768))
    box = open_outbox(copy, "hw", NEW, "t2")
    assert [seq for _, seq, _ in events(box)] == list(range(11, 61))
    box.close()


def test_damaged_twice_in_a_second_nothing_that_was_moved_aside_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    for content in (b"first", b"second"):
        path.write_bytes(content * 1000)
        open_outbox(path, "hw", NEW, "t").close()
        for part in tmp_path.glob("o.db-*"):
            part.unlink()
    kept = sorted(part.read_bytes()[:5] for part in tmp_path.glob("o.db.damaged*"))
    assert kept == [b"first", b"secon"]
