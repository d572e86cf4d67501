"""Retention: the archive ages by a time that one wrong step of the clock does not move."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.running import running

from agent.outbox.outbox import Outbox, OutboxFull
from agent.outbox.retention import DAY_S, PRUNE_S, STATE_KEY, Retention, archive_time, prune_archive
from agent.outbox.stamps import journal
from agent.outbox.writer import Writer
from common.clock import EARLIEST
from common.messages import Receipt

NOW_S = int(EARLIEST.timestamp()) + 200 * DAY_S
IN_2043_S = NOW_S + 17 * 365 * DAY_S
KEEP_DAYS = 90


def filled(outbox: Outbox, clock: Any, days: int = 100) -> None:
    """A receipted row a day, the newest of now; and an archive that knows the time."""
    outbox.append([journal(clock, "day")._replace(at_s=NOW_S - day * DAY_S) for day in reversed(range(days))])
    outbox.apply_receipt(Receipt(at="", store="s", outbox=outbox.id, upto=days))
    outbox.append([], {STATE_KEY: str(NOW_S).encode()})


def kept(outbox: Outbox) -> int:
    return int(outbox.db.execute("SELECT count(*) FROM entry").fetchone()[0])


def test_rows_older_than_the_archive_keeps_are_deleted(outbox: Outbox, clock: Any) -> None:
    filled(outbox, clock)
    assert prune_archive(outbox, NOW_S, KEEP_DAYS) == 9
    assert prune_archive(outbox, NOW_S, KEEP_DAYS) == 0
    assert kept(outbox) == 91


def test_a_time_server_that_says_2043_for_a_day_costs_a_day_an_hour_and_not_the_archive(
    outbox: Outbox, clock: Any
) -> None:
    filled(outbox, clock)
    prune_archive(outbox, NOW_S, KEEP_DAYS)
    assert prune_archive(outbox, IN_2043_S, KEEP_DAYS) == 1
    for _ in range(8):
        prune_archive(outbox, IN_2043_S, KEEP_DAYS)
    assert kept(outbox) == 82
    assert prune_archive(outbox, NOW_S + DAY_S // 2, KEEP_DAYS) == 0, "back at once"
    assert outbox.state(STATE_KEY) == str(NOW_S + DAY_S // 2).encode()


def test_after_a_year_in_a_cupboard_it_catches_up_by_a_day_an_hour(outbox: Outbox, clock: Any) -> None:
    filled(outbox, clock)
    later_s, hours = NOW_S + 365 * DAY_S, 0
    while kept(outbox):
        prune_archive(outbox, later_s, KEEP_DAYS)
        hours += 1
    assert 85 < hours <= 100


def test_an_archive_that_never_knew_the_time_starts_at_this_versions_day(outbox: Outbox, clock: Any) -> None:
    filled(outbox, clock)
    outbox.append([], {STATE_KEY: b"nonsense"})
    assert prune_archive(outbox, NOW_S, KEEP_DAYS) == 0
    assert outbox.state(STATE_KEY) == str(int(EARLIEST.timestamp()) + DAY_S).encode()


def test_an_hour_in_which_nothing_is_due_writes_nothing(outbox: Outbox, clock: Any) -> None:
    filled(outbox, clock)
    prune_archive(outbox, NOW_S + 3600, KEEP_DAYS)
    before = outbox.db.total_changes
    for hour in range(2, 20):
        prune_archive(outbox, NOW_S + hour * 3600, KEEP_DAYS)
    assert outbox.db.total_changes == before


@given(st.lists(st.integers(0, 10 * NOW_S), max_size=50), st.integers(0, 10 * NOW_S))
def test_whatever_the_clock_says_the_archive_ages_by_a_day_an_hour_at_most(wall_times: list[int], known_s: int) -> None:
    for now_s in wall_times:
        by_s = archive_time(known_s, now_s)
        assert by_s <= now_s and by_s - known_s <= DAY_S
        known_s = by_s


async def test_the_archive_is_pruned_hourly_and_only_by_a_synchronised_clock(
    writer: Writer, outbox: Outbox, clock: Any, until: Any
) -> None:
    old_s = int(clock.now().timestamp()) - 91 * DAY_S
    await writer.commit([journal(clock, "old")._replace(at_s=old_s), journal(clock, "waits")._replace(at_s=old_s)])
    outbox.apply_receipt(Receipt(at="", store="store", outbox=outbox.id, upto=1))
    clock.known = "unsynced"
    async with running(Retention(writer, clock, KEEP_DAYS, lambda: False).run()):
        await clock.advance(PRUNE_S + 1)
        await writer.run_in_thread(lambda _: None)
        assert outbox.depth().archived == 1
        clock.known = "synced"
        await clock.advance(PRUNE_S)
        await until(lambda: outbox.depth().archived == 0)
    assert outbox.depth().waiting == 1, "what the county has not receipted is never pruned"


async def test_a_full_disk_does_not_end_the_pruning(outbox: Outbox, writer: Writer, clock: Any, room: Any) -> None:
    room.none()
    with pytest.raises(OutboxFull):
        for n in range(100_000):
            outbox.append([], {f"archive-{n}": b"x" * 50})
    async with running(Retention(writer, clock, KEEP_DAYS, lambda: False).run()) as pruning:
        for _ in range(2):
            await clock.advance(PRUNE_S + 1)
            await writer.run_in_thread(lambda _: None)
        assert not pruning.done()
        room.plenty()
        await clock.advance(PRUNE_S + 1)
        await writer.run_in_thread(lambda _: None)
    assert outbox.state(STATE_KEY) is not None
