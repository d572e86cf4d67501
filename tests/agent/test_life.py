"""The journal of the daemon's own life: how the last run ended, the clock, the link, and that nothing of it holds anybody up."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.county.link import LinkState
from agent.life import MARK, Life, forget_what_was_believed, previous_end
from agent.messages import Journal
from agent.store.opening import open_outbox
from agent.store.outbox import Outbox
from agent.store.rows import Opening
from agent.store.writer import Writer

KEPT = Opening("kept", {})


def mark(boot: str = "b0070001", *, stopped: bool = False) -> bytes:
    return msgspec.json.encode({"run": "0000aaaa", "boot": boot, "stopped": stopped, "version": "0.0.9"})


def entries(outbox: Outbox) -> list[Journal]:
    return [msgspec.json.decode(row.body, type=Journal) for row in outbox.waiting(0, 100) if row.leaf == "journal"]


@pytest.mark.parametrize(
    ("before", "end"),
    [
        (None, "first"),
        (mark(stopped=True), "clean"),
        (mark("b0070000", stopped=True), "clean"),
        (mark(), "crashed"),
        (mark("b0070000"), "cut"),
        (b"{", "unknown"),
        (b"\xff", "unknown"),
        (b'{"run": "a"}', "unknown"),
    ],
)
def test_how_the_last_run_ended(before: bytes | None, end: str) -> None:
    assert previous_end(before, "b0070001") == end


async def test_the_start_entry_tells_of_the_run_before(writer: Writer, outbox: Outbox, clock: Any) -> None:
    await writer.commit([], {MARK: mark("b0070000")})
    await Life(writer, clock, "0000bbbb", "0.1.0").begin(Opening("corrupt", {"moved_to": "x"}), 2)
    (start,) = entries(outbox)
    assert start.event == "start"
    assert start.details == {
        "run": "0000bbbb", "version": "0.1.0", "previous_end": "cut", "outbox": "corrupt", "previous_run": "0000aaaa",
        "previous_boot": "b0070000", "previous_version": "0.0.9", "outbox_details": {"moved_to": "x"},
        "configuration_mistakes": 2,
    }  # fmt: skip
    assert (start.boot, start.mono_ms, start.clock) == (clock.boot, clock.mono_ms(), "synced")


async def test_a_start_without_a_stop_is_a_crash_and_with_one_it_is_clean(
    writer: Writer, outbox: Outbox, clock: Any
) -> None:
    for n, stops in enumerate((False, True, False)):
        life = Life(writer, clock, f"0000000{n}", "0.1.0")
        await life.begin(KEPT, 0)
        if stops:
            await life.end()
    told = [(one.event, one.details.get("previous_end")) for one in entries(outbox)]
    assert told == [("start", "first"), ("start", "crashed"), ("stop", None), ("start", "clean")]


async def test_a_state_of_another_version_is_no_reason_not_to_start(writer: Writer, outbox: Outbox, clock: Any) -> None:
    await writer.commit([], {MARK: b'{"life": 9}'})
    await Life(writer, clock, "0000bbbb", "0.1.0").begin(KEPT, 0)
    assert entries(outbox)[0].details["previous_end"] == "unknown"


async def test_the_moment_at_which_the_clock_became_good_is_told_once(
    writer: Writer, outbox: Outbox, clock: Any, until: Any
) -> None:
    clock.known = "unsynced"
    life = Life(writer, clock, "0000bbbb", "0.1.0")
    watching = asyncio.create_task(life.watch_clock())
    await clock.advance(95)
    assert entries(outbox) == []
    clock.known = "synced"
    await clock.advance(30)
    async with asyncio.timeout(20):
        await watching
    (one,) = entries(outbox)
    assert one.event == "clock_synced"
    assert one.details == {"at": "2026-03-02T09:02:00.000+08:00", "mono_ms": 1_120_000}


async def test_a_clock_that_is_good_from_the_start_is_no_news(writer: Writer, outbox: Outbox, clock: Any) -> None:
    await Life(writer, clock, "0000bbbb", "0.1.0").watch_clock()
    assert entries(outbox) == []


async def test_of_the_link_only_ups_and_downs_are_told(writer: Writer, outbox: Outbox, clock: Any) -> None:
    life = Life(writer, clock, "0000bbbb", "0.1.0")
    for up, why in ((False, "refused"), (False, "no route"), (True, ""), (False, "no acknowledgement"), (False, "x")):
        await life.link_changed(LinkState(up, 3, 0, why))
    told = [(one.event, one.details) for one in entries(outbox)]
    assert told == [("link_up", {"connection": 3}), ("link_down", {"connection": 3, "why": "no acknowledgement"})]


async def test_a_full_disk_does_not_keep_the_daemon_from_starting(
    writer: Writer, outbox: Outbox, room: Any, clock: Any
) -> None:
    room.none()
    life = Life(writer, clock, "0000bbbb", "0.1.0")
    await life.note("big", text="x" * 100_000)
    room.plenty()
    await life.note("small")
    assert [one.event for one in entries(outbox)] == ["small"]


async def test_on_other_hardware_everything_is_reported_anew(tmp_path: Path) -> None:
    first = open_outbox(tmp_path / "o.db", "hardware-one", "00000000000a", "t")
    first.append([], {"judged:printer/main": b"{}", "gun:main": b"{}", MARK: mark()})
    first.close()
    moved = open_outbox(tmp_path / "o.db", "hardware-two", "00000000000b", "t")
    assert (moved.opening.kind, moved.id) == ("other_hardware", "00000000000b")
    forget_what_was_believed(moved)
    assert moved.mark("judged:printer/main") is None
    assert moved.mark("gun:main") is not None
    moved.close()
