"""The archive of captures: newest first in short steps, with what was voided and when it was scanned; replayed."""

import json
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from agent.outbox import archive
from agent.outbox.archive import (
    VOIDED,
    CaptureQuery,
    CaptureReader,
    forget_voids,
    next_replay,
    replay_rows,
    replay_state,
)
from agent.outbox.opening import read_only
from agent.outbox.outbox import Outbox
from agent.outbox.rows import Draft
from agent.outbox.stamps import draft, journal, sequenced
from common.messages import Capture, Journal, Receipt
from drivers.reading import YinongError


def scan(clock: Any, text: str, gun: str = "main", **other: Any) -> Draft:
    at = clock.mono_ms()
    capture = Capture(
        **{
            **sequenced(clock),
            "gun": gun,
            "identity": "usb:1",
            "number": 1,
            "source": "serial",
            "text": text,
            "raw": "",
            "charset": "ascii",
            "charset_because": "ascii",
            "symbology": None,
            "start_mono_ms": at,
            "end_mono_ms": at,
            **other,
        }
    )
    return draft(clock, "scan", capture)


def texts(box: Outbox, **wanted: Any) -> list[str]:
    return [kept.capture.text for kept in CaptureReader(CaptureQuery(**wanted)).all(box)]


def receipt(box: Outbox, upto: int) -> None:
    assert box.apply_receipt(Receipt(at="", store="s", outbox=box.id, upto=upto)) == "advanced"


@pytest.fixture(autouse=True)
def _short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "STEP", 3)


def test_the_newest_come_first_whatever_lies_between_them(outbox: Outbox, clock: Any) -> None:
    for n in range(10):
        outbox.append([scan(clock, f"A{n}", "left" if n % 2 else "right"), *[journal(clock, "noise")] * (n % 4)])
    assert texts(outbox) == [f"A{n}" for n in range(9, -1, -1)]
    assert texts(outbox, gun="left") == ["A9", "A7", "A5", "A3", "A1"]
    assert texts(outbox, limit=3) == ["A9", "A8", "A7"]
    assert texts(outbox, gun="right", limit=2) == ["A8", "A6"]
    assert texts(outbox, gun="none") == []


def test_an_empty_file_has_none(outbox: Outbox) -> None:
    assert texts(outbox) == []


def test_a_step_reads_n_rowids_and_no_more(outbox: Outbox, clock: Any) -> None:
    outbox.append([scan(clock, f"A{n}") for n in range(8)])
    walk, steps = CaptureReader(CaptureQuery()), []
    while not walk.done:
        steps.append(len(walk.step(outbox)))
    assert steps == [3, 3, 2]


def test_what_the_county_has_is_archived_and_the_rest_waits(outbox: Outbox, clock: Any) -> None:
    outbox.append([scan(clock, "A"), scan(clock, "B")])
    receipt(outbox, 1)
    assert [(k.capture.text, k.state) for k in CaptureReader(CaptureQuery()).all(outbox)] == [
        ("B", "waiting"),
        ("A", "archived"),
    ]


async def test_since_stops_early_and_keeps_what_no_clock_knew(outbox: Outbox, clock: Any) -> None:
    outbox.append([scan(clock, "old")])
    await clock.advance(2 * 86_400)
    clock.known = "unsynced"
    outbox.append([scan(clock, "when", boot="b0070009")])
    clock.known = "synced"
    outbox.append([scan(clock, "new")])
    since = clock.now() - timedelta(hours=1)
    assert texts(outbox, since=since) == ["new", "when"]
    assert texts(outbox, since=clock.now() + timedelta(hours=1)) == ["when"]


async def test_a_clock_that_was_synchronised_later_in_the_boot_dates_them(outbox: Outbox, clock: Any) -> None:
    clock.known = "unsynced"
    outbox.append([scan(clock, "early")])
    await clock.advance(60)
    clock.known = "synced"
    good = datetime.fromisoformat("2026-03-02T10:00:00+08:00")
    clock.set(good)
    outbox.append([journal(clock, "clock_synced", at=good.isoformat(), mono_ms=clock.mono_ms())])
    (kept,) = CaptureReader(CaptureQuery()).all(outbox)
    assert kept.scanned_at == good - timedelta(seconds=60)


async def test_captures_of_a_run_whose_clock_was_synchronised_while_no_agent_ran_are_corrected_by_the_next_start(
    outbox: Outbox, clock: Any
) -> None:
    """No `clock_synced` then: the start of the next run, stamped by the synchronised clock of the same boot, dates them."""
    clock.known = "unsynced"
    outbox.append([scan(clock, "early")])
    await clock.advance(3600)
    clock.known = "synced"
    outbox.append([journal(clock, "start")])
    (kept,) = CaptureReader(CaptureQuery()).all(outbox)
    assert kept.scanned_at == clock.now() - timedelta(hours=1)


async def test_captures_on_a_clock_that_was_set_wrong_are_corrected_by_what_was_known_before(
    outbox: Outbox, clock: Any
) -> None:
    outbox.append([scan(clock, "good"), journal(clock, "link_up")])
    good = clock.now()
    clock.set(datetime.fromisoformat("2043-01-01T00:00:00+08:00"))
    clock.known = "unsynced"
    await clock.advance(60)
    outbox.append([scan(clock, "after"), *[journal(clock, "noise")] * 7, scan(clock, "later")])
    later, after, before = CaptureReader(CaptureQuery()).all(outbox)
    assert later.scanned_at == after.scanned_at == good + timedelta(seconds=60)
    assert before.scanned_at == good


def test_captures_of_a_boot_that_never_had_a_good_clock_stay_unknown(outbox: Outbox, clock: Any) -> None:
    outbox.append([journal(clock, "start")])
    clock.known, clock.boot = "unsynced", "b0070002"
    outbox.append([journal(clock, "start"), scan(clock, "when")])
    clock.known, clock.boot = "synced", "b0070003"
    outbox.append([journal(clock, "start")])
    (kept,) = CaptureReader(CaptureQuery()).all(outbox)
    assert kept.scanned_at is None


def test_a_record_that_cannot_be_read_is_counted(outbox: Outbox, clock: Any) -> None:
    outbox.append([scan(clock, "A"), scan(clock, "B")])
    outbox.db.execute("UPDATE entry SET body = x'7b7d' WHERE id = 1")
    walk = CaptureReader(CaptureQuery())
    assert [kept.capture.text for kept in walk.all(outbox)] == ["B"]
    assert walk.unreadable == 1


def test_a_void_is_known_as_long_as_the_capture_is_there(outbox: Outbox, clock: Any) -> None:
    outbox.append([scan(clock, "A"), scan(clock, "B")], {f"{VOIDED}1": b"1"})
    assert [kept.voided for kept in CaptureReader(CaptureQuery()).all(outbox)] == [False, True]
    forget_voids(outbox)
    assert outbox.states(VOIDED) == {f"{VOIDED}1": b"1"}
    outbox.db.execute("DELETE FROM entry WHERE id = 1")
    forget_voids(outbox)
    assert outbox.states(VOIDED) == {}


def test_the_file_is_read_while_its_owner_has_it_open_and_not_changed(outbox: Outbox, clock: Any) -> None:
    outbox.append([scan(clock, "A")])
    before = outbox.path.read_bytes()
    with read_only(outbox.path) as box:
        assert texts(box) == ["A"]
        with pytest.raises(Exception, match="readonly"):
            box.append([scan(clock, "B")])
    assert outbox.path.read_bytes() == before


def test_a_missing_file_is_an_error(tmp_path: Any) -> None:
    with pytest.raises(YinongError, match="there is no"), read_only(tmp_path / "none.db"):
        pass


# --- replay ---


def again(outbox: Outbox, most: int = 50) -> list[int]:
    """The numbers that are replayed, as the delivery would publish them."""
    numbers: list[int] = []
    while (one := next_replay(outbox)) is not None:
        rows, state = replay_rows(outbox, one, most)
        numbers += [row.seq for row in rows]
        outbox.append([], state)
    return numbers


def test_receipted_captures_of_a_range_are_replayed_and_nothing_else(outbox: Outbox, clock: Any) -> None:
    for n in range(6):
        outbox.append([scan(clock, f"A{n}"), journal(clock, "noise")])  # captures at 1, 3, 5, 7, 9, 11
    receipt(outbox, 8)
    outbox.append([], replay_state(2, 12))
    assert again(outbox) == [3, 5, 7]  # 9 and 11 wait anyway: the backlog sends them until they are receipted
    assert outbox.states("resend:") == {} and next_replay(outbox) is None


def test_a_range_is_replayed_in_batches_and_continues_where_it_was(outbox: Outbox, clock: Any) -> None:
    outbox.append([scan(clock, f"A{n}") for n in range(7)])
    receipt(outbox, 7)
    outbox.append([], replay_state(1, 7))
    first = next_replay(outbox)
    assert first is not None
    rows, state = replay_rows(outbox, first, 2)
    assert [row.seq for row in rows] == [1, 2]
    outbox.append([], state)
    assert again(outbox, 2) == [3, 4, 5, 6, 7]


def test_a_batch_holds_captures_of_one_outbox_id_as_they_were_committed(tmp_path: Any, clock: Any) -> None:
    from agent.outbox.opening import open_outbox

    first = open_outbox(tmp_path / "o.db", "f00d00000001", "0123456789ab", "t")
    body = first.append([scan(clock, "A")])[0].body
    receipt(first, 1)
    first.close()
    second = open_outbox(tmp_path / "o.db", "f00d00000002", "ba9876543210", "t")
    second.append([scan(clock, "B")])
    receipt(second, 1)
    second.append([], replay_state(1, 2))
    one = next_replay(second)
    assert one is not None
    rows, state = replay_rows(second, one, 50)
    assert [(row.outbox, row.seq, row.body) for row in rows] == [("0123456789ab", 1, body)]
    second.append([], state)
    one = next_replay(second)
    assert one is not None
    assert [row.outbox for row in replay_rows(second, one, 50)[0]] == ["ba9876543210"]
    assert json.loads(body)["seq"] == msgspec.json.decode(body, type=Capture).seq == 1
    assert second.rowid("0123456789ab", 1) == 1 and second.rowid("ba9876543210", 1) == 2
    assert second.rowid("ba9876543210", 2) == second.rowid("none", 1) == second.rowid("0123456789ab", 0) == 0
    second.close()


def test_the_clock_entry_is_distinguished_by_name(outbox: Outbox, clock: Any) -> None:
    clock.known = "unsynced"
    outbox.append(
        [scan(clock, "A"), journal(clock, "clock_synced", at="nonsense", mono_ms=1), journal(clock, "clock_synced")]
    )
    entry = Journal(**sequenced(clock), event="other", details={"at": "2026-03-02T10:00:00+08:00", "mono_ms": 1})
    outbox.append([Draft("journal", entry)])
    (kept,) = CaptureReader(CaptureQuery()).all(outbox)
    assert kept.scanned_at is None
