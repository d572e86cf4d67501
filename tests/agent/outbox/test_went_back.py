"""An outbox file that is an older copy of itself: a disk image that was restored (decision 12). With the real store."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.memory_county import InMemoryCounty, Published

from agent.outbox.opening import open_outbox
from agent.outbox.outbox import Outbox
from agent.outbox.rows import Row
from agent.outbox.sent import Sent
from agent.outbox.stamps import journal

OLD, NEW = "0123456789ab", "ffffffffffff"


class Terminal:
    """Publishes and accepts receipts, as `Delivery` does."""

    def __init__(self, path: Path, county: InMemoryCounty) -> None:
        self.box = open_outbox(path, "hw", OLD, "t")
        self.county, self.sent = county, Sent()

    def commit(self, clock: Any, *events: str) -> list[Row]:
        return self.box.append([journal(clock, event) for event in events])

    def publish(self, rows: list[Row]) -> None:
        self.county.queue += [Published(row.leaf, row.body, False) for row in rows]
        self.sent.add(rows)

    def receipts(self) -> list[str]:
        """The effect of each receipt in flight."""
        self.county.ingest(1000)
        meant: list[str] = []
        while self.county.receipts:
            receipt = self.county.receipts.pop(0)
            self.sent.begin(receipt.outbox, self.box.sent_upto(receipt.outbox))
            meant.append(self.box.apply_receipt(receipt, False, self.sent.upto(receipt)))
        return meant

    def waiting(self) -> list[tuple[str, int, str]]:
        return [(row.outbox, row.seq, json.loads(row.body)["event"]) for row in self.box.waiting(0, 100)]


@pytest.fixture
def county(tmp_path: Path) -> Iterator[InMemoryCounty]:
    one = InMemoryCounty(tmp_path)
    yield one
    one.close()


@pytest.fixture
def put_back(tmp_path: Path, county: InMemoryCounty, clock: Any) -> Iterator[Terminal]:
    """Its file is of the day on which three rows were there; the county has six."""
    path, image = tmp_path / "o.db", tmp_path / "image.db"
    before = Terminal(path, county)
    rows = before.commit(clock, "a", "b", "c")
    before.publish(rows[:2])
    before.receipts()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{image}{suffix}")
    before.publish([rows[2], *before.commit(clock, "d", "e", "f")])
    before.receipts()
    before.box.close()
    terminal = Terminal(image, county)
    yield terminal
    terminal.box.close()


def at_the_county(county: InMemoryCounty) -> list[str]:
    return sorted(json.loads(body)["event"] for body in county.bodies("entry", "journal"))


def test_what_it_commits_goes_under_a_new_id_and_collides_with_nothing(
    put_back: Terminal, county: InMemoryCounty, clock: Any
) -> None:
    put_back.commit(clock, "new")
    county.birth(OLD)
    assert put_back.receipts() == ["went_back"]
    put_back.box.start_epoch(NEW)
    assert put_back.waiting() == [(OLD, 3, "c"), (NEW, 1, "new")]
    put_back.publish(put_back.box.waiting(0, 100))
    assert put_back.receipts() == ["advanced", "advanced"]
    assert put_back.waiting() == []
    assert (at_the_county(county), county.bodies("conflict")) == (["a", "b", "c", "d", "e", "f", "new"], [])
    assert [row.outbox for row in put_back.commit(clock, "later")] == [NEW]


def test_a_receipt_of_its_other_life_covers_nothing_that_was_not_sent(
    put_back: Terminal, county: InMemoryCounty, clock: Any
) -> None:
    """It wrote so many rows without a line that the county's number is not too high any more: the number reveals nothing."""
    put_back.commit(clock, *(f"new{n}" for n in range(20)))
    county.birth(OLD)
    assert put_back.receipts() == ["same"]
    assert len(put_back.waiting()) == 21
    put_back.publish(put_back.box.waiting(0, 100))
    assert put_back.receipts() == ["advanced"]
    there = at_the_county(county) + [json.loads(body)["event"] for body in county.bodies("conflict")]
    assert sorted(there) == sorted([*"abcdef", *(f"new{n}" for n in range(20))]), "a conflict is kept whole"


def test_what_an_earlier_run_left_is_stored_once_if_it_is_the_same(
    put_back: Terminal, county: InMemoryCounty, clock: Any
) -> None:
    county.birth(OLD)
    put_back.receipts()
    put_back.box.start_epoch(NEW)
    assert put_back.waiting() == [(OLD, 3, "c")]
    put_back.publish(put_back.box.waiting(0, 100))
    put_back.receipts()
    assert (put_back.waiting(), at_the_county(county)) == ([], list("abcdef"))


def test_an_entry_that_names_a_row_names_it_by_its_new_number(put_back: Terminal, clock: Any) -> None:
    rows = put_back.commit(clock, "scanned")
    voided = journal(clock, "capture_voided", outbox=rows[0].outbox, seq=rows[0].seq)
    earlier = journal(clock, "capture_voided", outbox=OLD, seq=2)
    put_back.box.append([voided, earlier])
    put_back.box.start_epoch(NEW)
    details = [json.loads(row.body)["details"] for row in put_back.box.waiting(0, 10)]
    assert details[-2:] == [{"outbox": NEW, "seq": 1}, {"outbox": OLD, "seq": 2}]


def test_it_can_go_back_twice_in_one_run(put_back: Terminal, county: InMemoryCounty, clock: Any) -> None:
    county.birth(OLD)
    put_back.receipts()
    put_back.box.start_epoch(NEW)
    put_back.commit(clock, "x")
    put_back.box.start_epoch("eeeeeeeeeeee")
    assert put_back.waiting()[-1] == ("eeeeeeeeeeee", 1, "x")
    assert put_back.box.last_rowid() == 4


def test_what_was_sent_is_known_after_a_restart(tmp_path: Path, county: InMemoryCounty, clock: Any) -> None:
    """A backlog that the county has is not sent again."""
    terminal = Terminal(tmp_path / "o.db", county)
    rows = terminal.commit(clock, *"abcdef")
    terminal.publish(rows)
    county.ingest(2)
    first = county.receipts.pop(0)
    terminal.sent.begin(OLD, 0)
    assert terminal.box.apply_receipt(first, False, terminal.sent.upto(first)) == "advanced"
    terminal.box.close()
    again = Terminal(tmp_path / "o.db", county)
    county.ingest(10)
    assert again.receipts() == ["advanced"]
    assert again.waiting() == []
    again.box.close()


def test_a_receipt_that_overtakes_the_acknowledgement_is_not_forgotten(
    tmp_path: Path, county: InMemoryCounty, clock: Any
) -> None:
    terminal = Terminal(tmp_path / "o.db", county)
    rows = terminal.commit(clock, "a", "b")
    county.queue += [Published(row.leaf, row.body, False) for row in rows]
    terminal.receipts()
    assert len(terminal.waiting()) == 2
    unanswered = terminal.sent.add(rows[:1])
    assert unanswered is not None
    assert terminal.box.apply_receipt(unanswered, False, terminal.sent.upto(unanswered)) == "advanced"
    unanswered = terminal.sent.add(rows[1:])
    assert unanswered is not None
    assert terminal.box.apply_receipt(unanswered, False, terminal.sent.upto(unanswered)) == "advanced"
    assert terminal.waiting() == []
    terminal.box.close()


def test_the_newest_row_of_an_earlier_id_asks_the_county_what_it_has_of_it(
    tmp_path: Path, county: InMemoryCounty, clock: Any
) -> None:
    """A recorder from a backup answers births for the present id: nothing would reveal what it lacks of an earlier one."""
    path = tmp_path / "o.db"
    before = Terminal(path, county)
    county.back_up()
    before.publish(before.commit(clock, "a", "b", "c"))
    before.receipts()
    before.box.close()
    terminal = Terminal(path, county)
    terminal.box.close()
    terminal.box: Outbox = open_outbox(path, "other hardware", NEW, "t")
    assert [(row.outbox, row.seq) for row in terminal.box.epoch_probes()] == [(OLD, 3)]
    county.restore()
    terminal.publish(terminal.box.epoch_probes())
    assert terminal.receipts() == ["again"]
    terminal.publish(terminal.box.waiting(0, 10))
    assert terminal.receipts() == ["advanced"]
    assert at_the_county(county) == list("abc")
    terminal.box.close()


def test_if_the_newest_row_was_evicted_the_newest_that_is_left_asks(
    tmp_path: Path, county: InMemoryCounty, clock: Any
) -> None:
    path = tmp_path / "o.db"
    before = Terminal(path, county)
    before.publish(before.commit(clock, "a", "b", "c"))
    before.receipts()
    before.box.db.execute("DELETE FROM entry WHERE id = 3")
    before.box.close()
    terminal = Terminal(path, county)
    terminal.box.close()
    terminal.box = open_outbox(path, "other hardware", NEW, "t")
    county.renew()
    assert [(row.outbox, row.seq) for row in terminal.box.epoch_probes()] == [(OLD, 2)]
    terminal.publish(terminal.box.epoch_probes())
    assert terminal.receipts() == ["again"]
    terminal.publish(terminal.box.waiting(0, 10))
    assert terminal.receipts() == ["advanced"]
    assert at_the_county(county) == list("ab")
    assert terminal.waiting() == []
    terminal.box.close()
