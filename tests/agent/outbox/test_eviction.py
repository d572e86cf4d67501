"""Space is short: what is evicted, in which order, and what never is. The bound is SQLite's own, so a full file is a real one."""

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.running import running

from agent.outbox import spool
from agent.outbox.disk_watch import DiskWatch
from agent.outbox.opening import open_outbox
from agent.outbox.outbox import Outbox
from agent.outbox.rows import Draft, OutboxFull
from agent.outbox.stamps import draft, journal, sequenced
from agent.outbox.writer import Writer
from common.messages import Capture, Device, Journal, Receipt
from drivers.reading import Condition


def capture(clock: Any, n: int, size: int = 1500) -> Draft:
    return draft(
        clock,
        "scan",
        Capture(
            **sequenced(clock),
            gun="gun",
            identity="usb",
            number=n,
            source="evdev",
            text=f"T{n}" + "x" * size,
            raw="",
            charset="ascii",
            charset_because="bytes",
            symbology=None,
            start_mono_ms=1,
            end_mono_ms=2,
        ),
    )


def reading(clock: Any, id: str, n: int) -> Draft:
    message = Device(
        **sequenced(clock),
        device_class="printer",
        id=id,
        condition=Condition.WORKING,
        reason="ok",
        params={"n": n, "pad": "x" * 1500},
        measures={},
        evidence=(),
    )
    return draft(clock, f"device/printer/{id}", message, retained=True)


def entry(clock: Any, n: int) -> Draft:
    return journal(clock, f"n{n}", pad="x" * 1500)


def bound(box: Outbox) -> None:
    """Not a page more than there is."""
    pages = box.db.execute("PRAGMA page_count").fetchone()[0]
    box.db.execute(f"PRAGMA max_page_count = {pages}")


def receipt_all(box: Outbox) -> None:
    box.apply_receipt(Receipt(at="", store="store", outbox=box.id, upto=box.last_rowid()))


def kinds(box: Outbox) -> dict[str, int]:
    return dict(box.db.execute("SELECT kind, count(*) FROM entry GROUP BY kind ORDER BY kind"))


def is_prefix(numbers: list[int]) -> bool:
    return numbers == list(range(1, len(numbers) + 1))


def test_the_order_of_eviction(outbox: Outbox, clock: Any) -> None:
    """One step after the other until nothing more may be evicted; checked after each."""
    outbox.append([f(clock, n) for n in range(3) for f in (entry, capture)] + [reading(clock, "old", 1)])
    receipt_all(outbox)
    outbox.append(
        [reading(clock, "a", 1), entry(clock, 4), reading(clock, "a", 2), reading(clock, "b", 1), capture(clock, 9)]
    )
    spool.append(outbox, [b"sample"] * 10, 10_000)
    steps: list[str] = []
    while outbox.evict(for_captures=True):
        steps.append(f"telemetry {spool.waiting_bytes(outbox)} {kinds(outbox)}")
    assert steps == [
        "telemetry 0 {'device': 4, 'journal': 4, 'scan': 4}",
        "telemetry 0 {'device': 3, 'journal': 4, 'scan': 4}",  # archived readings
        "telemetry 0 {'device': 3, 'journal': 1, 'scan': 4}",  # archived journal
        "telemetry 0 {'device': 3, 'scan': 1, 'journal': 1}".replace(
            "'scan': 1, 'journal': 1", "'journal': 1, 'scan': 1"
        ),
        "telemetry 0 {'device': 2, 'journal': 1, 'scan': 1, 'void': 1}",  # of printer a: the newer one stays
        "telemetry 0 {'device': 2, 'scan': 1, 'void': 2}",  # journal that the county lacks, for captures alone
    ]
    assert [json.loads(row.body).get("details", {}).get("reason") for row in outbox.waiting(0, 10)] == [
        "no_room",
        "no_room",
        None,
        None,
        None,
    ]


def test_journal_and_readings_evict_no_journal_that_the_county_lacks(outbox: Outbox, clock: Any) -> None:
    outbox.append([entry(clock, n) for n in range(20)])
    bound(outbox)
    with pytest.raises(OutboxFull):
        outbox.append([entry(clock, n) for n in range(20)])
    assert kinds(outbox) == {"journal": 20}
    assert outbox.is_full
    outbox.append([capture(clock, n) for n in range(3)])
    assert kinds(outbox)["scan"] == 3
    assert not outbox.is_full


def test_captures_that_the_county_lacks_are_never_evicted(outbox: Outbox, clock: Any) -> None:
    outbox.append([capture(clock, n) for n in range(40)])
    bound(outbox)
    with pytest.raises(OutboxFull):
        outbox.append([capture(clock, n) for n in range(40, 60)])
    assert kinds(outbox) == {"scan": 40}
    assert [row.seq for row in outbox.waiting(0, 100)] == list(range(1, 41))


def test_a_void_has_the_stamp_of_its_maker(outbox: Outbox, clock: Any) -> None:
    outbox.append([reading(clock, "a", n) for n in range(20)])
    bound(outbox)
    outbox.append([capture(clock, n) for n in range(8)])
    void = json.loads(outbox.waiting(0, 1)[0].body)
    assert (void["event"], void["boot"], void["clock"]) == ("void", "b0070001", "synced")
    assert void["details"] == {"reason": "no_room", "was": "device", "from": 1, "to": 19}


def test_the_file_stays_in_its_bound_however_long_the_county_is_away(tmp_path: Path, clock: Any) -> None:
    """Readings and journal of a long outage around captures: the bound holds, every capture is there, no number is missing."""
    most = 1 << 20
    box = open_outbox(tmp_path / "o.db", "hw", "0123456789ab", "t", most)
    captures = 0
    for n in range(1200):
        with contextlib.suppress(OutboxFull):  # a reading may find no space; a capture always does, up to the bound
            box.append([reading(clock, "a", n)])
            box.append([entry(clock, n)] if n % 4 == 0 else [])
        box.append([capture(clock, n)] if n % 8 == 0 else [])
        captures += n % 8 == 0
    assert (tmp_path / "o.db").stat().st_size <= most
    rows = box.waiting(0, 10_000)
    assert sum(row.leaf == "scan" for row in rows) == captures
    assert is_prefix([n for row in rows for n in row.numbers])
    box.close()
    reopened = open_outbox(tmp_path / "o.db", "hw", "0123456789ab", "t", most)
    assert len(reopened.waiting(0, 10_000)) == len(rows)
    reopened.close()


def test_an_archive_at_its_bound_rolls_on_without_an_event(tmp_path: Path, clock: Any) -> None:
    most = 1 << 20
    box = open_outbox(tmp_path / "o.db", "hw", "0123456789ab", "t", most)
    for n in range(1500):
        box.append([capture(clock, n, 900)])
        receipt_all(box)
    assert (tmp_path / "o.db").stat().st_size <= most
    assert box.depth().archived > 300
    assert box.full_count == 0
    box.close()


async def test_a_file_that_is_full_by_the_old_meaning_of_mb_loses_archive_only(tmp_path: Path, clock: Any) -> None:
    """`max_mb` was in units of 2^20 bytes: such a file is larger than its bound today, and no waiting row may pay for that."""
    path = tmp_path / "o.db"
    before = open_outbox(path, "hw", "0123456789ab", "t", 4 << 20)
    before.append([capture(clock, n) for n in range(900)])
    receipt_all(before)
    before.append([row for n in range(100) for row in (reading(clock, f"p{n}", n), entry(clock, n), capture(clock, n))])
    archived = before.depth().archived
    while before.depth().archived == archived:  # full: the archive is evicted for this one
        before.append([capture(clock, 0)])
    waiting = before.waiting(0, 10_000)
    size = before.backlog().file_bytes
    before.close()
    assert size > 4 * 1_000_000
    box = open_outbox(path, "hw", "0123456789ab", "t", 4 * 1_000_000)
    assert box.waiting(0, 10_000) == waiting
    writer = Writer(box)
    async with running(writer.run()):
        watch, archived = DiskWatch(writer, clock), box.depth().archived
        for n in range(200):
            await watch.check()
            await writer.commit([capture(clock, n), entry(clock, n), reading(clock, "a", n)])
    assert box.waiting(0, 10_000)[: len(waiting)] == waiting, "unchanged, byte for byte"
    assert box.depth().archived < archived
    assert box.full_count == 0 and box.backlog().file_bytes == size
    writer.close()


class Watched:
    """The disk watch of an outbox whose bound the test moves."""

    def __init__(self, outbox: Outbox, writer: Writer, clock: Any) -> None:
        self.watch, self._outbox, self._clock = DiskWatch(writer, clock), outbox, clock

    def events(self) -> list[str]:
        found = self._outbox.db.execute("SELECT body FROM entry WHERE kind = 'journal' ORDER BY id")
        return [event for (body,) in found if (event := json.loads(body)["event"]).startswith("disk_")]

    def bound(self, pages: int) -> None:
        self._outbox.db.execute(f"PRAGMA max_page_count = {pages}")


@pytest.fixture
def watched(outbox: Outbox, writer: Writer, clock: Any) -> Watched:
    return Watched(outbox, writer, clock)


async def test_a_file_that_gets_full_is_reported_once_and_so_is_its_end(
    watched: Watched, outbox: Outbox, writer: Writer, clock: Any
) -> None:
    watched.bound(200)
    await watched.watch.check()
    assert (watched.watch.level, watched.events()) == ("ok", [])
    await writer.commit([capture(clock, n, 3000) for n in range(183)])
    for _ in range(3):
        await watched.watch.check()
    assert (watched.watch.level, watched.events()) == ("nearly_full", ["disk_nearly_full"])
    with pytest.raises(OutboxFull):
        await writer.commit([capture(clock, n, 3000) for n in range(183, 230)])
    await watched.watch.check()
    assert watched.watch.level == "full"
    await watched.watch.check()
    assert watched.events() == ["disk_nearly_full", "disk_full"]
    receipt_all(outbox)
    for _ in range(3):
        await watched.watch.check()
    assert watched.watch.level == "ok"
    assert watched.events()[-1] == "disk_has_room"
    details = json.loads(outbox.waiting(0, 10)[-1].body)["details"]
    assert details["file_most_bytes"] == 200 * 4096


async def test_the_archive_is_evicted_before_a_commit_has_to_wait_for_it(
    watched: Watched, outbox: Outbox, writer: Writer, clock: Any
) -> None:
    watched.bound(200)
    await writer.commit([capture(clock, n, 3000) for n in range(183)])
    receipt_all(outbox)
    await watched.watch.check()
    assert (watched.watch.level, watched.events()) == ("ok", [])
    assert outbox.depth().archived < 183


def test_a_void_keeps_the_contract(outbox: Outbox, clock: Any) -> None:
    outbox.append([reading(clock, "a", 1), reading(clock, "a", 2)])
    outbox.evict()
    msgspec.json.decode(outbox.waiting(0, 1)[0].body, type=Journal, strict=True)
