"""The clock monitor, and the last-alive mark: how often it is written, and what it costs."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.running import running

from agent.journal.clock_watch import STEPS_PER_HOUR, ClockWatch
from agent.journal.last_alive import LastAliveFile
from agent.observable import Observable
from common.clock import EARLIEST, ClockQuality
from common.events import ClockStepped, ClockSynced, Event, LastAlive, Resumed

HOUR_S = 3600


class Link(NamedTuple):
    """What the watch looks at of the link's state."""

    up: bool


class Station:
    """A running clock monitor, the events it recorded, and the marks it wrote into a real file."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.clock, self.path = clock, folder / "alive"
        self.recorded: list[Event] = []
        self.link = Observable(Link(up=False))
        self.budget_spent = False
        self.quality: Observable[ClockQuality] = Observable(clock.quality())
        self.alive = LastAliveFile(self.path)
        self.clock_watch = ClockWatch(
            clock, "0000aaaa", self.alive, self.link, self.quality, self._record, lambda: self.budget_spent
        )

    async def _record(self, event: Event) -> None:
        self.recorded.append(event)

    @property
    def marks(self) -> int:
        return self.alive._number

    async def advance(self, seconds: float) -> None:
        """In the monitor's own steps; each ends when it sleeps again, however long the writing thread takes."""
        for _ in range(round(seconds / 10)):
            await self.clock.advance(10)
            while not self.clock._sleepers:  # noqa: ASYNC110
                await asyncio.sleep(0)

    def last_mark(self) -> LastAlive | None:
        """The mark that the next run finds."""
        file = LastAliveFile(self.path)
        file.close()
        return file.previous.alive if file.previous else None


@pytest.fixture
async def station(tmp_path: Path, clock: Any) -> AsyncIterator[Station]:
    clock.set(EARLIEST + timedelta(days=30))
    one = Station(tmp_path, clock)
    async with running(one.clock_watch.run()):
        await one.advance(10)
        yield one
    one.alive.close()


async def test_a_synchronised_clock_without_a_step_is_not_recorded(station: Station) -> None:
    await station.advance(HOUR_S)
    assert station.recorded == []


@pytest.mark.parametrize(
    "step", [timedelta(minutes=3), timedelta(minutes=-3), timedelta(days=6000), timedelta(days=-6000)]
)
async def test_a_step_of_the_clock_is_recorded_with_its_size(station: Station, step: timedelta) -> None:
    before = station.clock.now()
    station.clock.set(before + step)
    station.clock.known = "unsynced"
    await station.advance(30)
    (event,) = station.recorded
    assert isinstance(event, ClockStepped)
    assert event.step_ms == step / timedelta(milliseconds=1)
    assert datetime.fromisoformat(event.now) - datetime.fromisoformat(event.before) == step
    assert (event.quality_before, event.quality, event.untold) == ("synced", "unsynced", 0)


async def test_a_clock_that_steps_every_ten_seconds_fills_no_journal(station: Station) -> None:
    for n in range(400):
        station.clock.set(station.clock.now() + timedelta(minutes=5 if n % 2 else -5))
        await station.advance(10)
    steps = [one for one in station.recorded if isinstance(one, ClockStepped)]
    assert len(steps) <= 2 * STEPS_PER_HOUR
    assert sum(1 + one.untold for one in steps) + station.clock_watch._step_limit.suppressed == 400, "all are counted"


async def test_each_synchronisation_of_the_clock_is_recorded_with_its_time(station: Station) -> None:
    station.clock.known = "unsynced"
    station.clock.set(datetime(1970, 1, 1, tzinfo=UTC))
    await station.advance(60)
    qualities = station.quality.changes()
    station.clock.set(EARLIEST + timedelta(days=31))
    station.clock.known = "synced"
    await station.advance(20)
    synced = [one for one in station.recorded if isinstance(one, ClockSynced)]
    assert len(synced) == 1
    assert await anext(qualities) == station.quality.value == "synced"
    assert datetime.fromisoformat(synced[0].at) - (EARLIEST + timedelta(days=31)) <= timedelta(seconds=10)
    assert 0 <= station.clock.mono_ms() - synced[0].mono_ms <= 20_000


async def test_a_suspend_is_recorded_when_the_machine_is_awake_again(station: Station) -> None:
    await station.advance(10)
    awake_ms = station.clock.mono_ms()
    station.clock.suspend(5 * HOUR_S)
    await station.advance(20)
    assert station.recorded == [Resumed(suspended_ms=5 * HOUR_S * 1000, awake_mono_ms=awake_ms)]


async def test_without_a_line_the_end_of_a_run_is_known_to_a_minute(station: Station) -> None:
    for _ in range(20):
        await station.advance(30)
        mark = station.last_mark()
        assert mark is not None
        assert station.clock.mono_ms() - mark.mono_ms <= 70_000
        assert (mark.boot, mark.run, mark.link) == (station.clock.boot, "0000aaaa", False)


async def test_the_last_alive_mark_is_rarer_while_the_county_receives_the_heartbeats(station: Station) -> None:
    station.link.set(Link(up=True))
    await station.advance(HOUR_S)
    before = station.marks
    await station.advance(6 * HOUR_S)
    connected = station.marks - before
    station.link.set(Link(up=False))
    await station.advance(10)
    mark = station.last_mark()
    assert mark is not None and station.clock.mono_ms() - mark.mono_ms <= 10_000, "and at once when the link is lost"
    before = station.marks
    await station.advance(6 * HOUR_S)
    lost = station.marks - before
    print(f"marks in six hours: {connected} with a link, {lost} without")
    assert 35 <= connected <= 37
    assert 205 <= lost <= 212, "every minute for an hour, then every other"
    station.budget_spent = True
    before = station.marks
    await station.advance(2 * HOUR_S)
    assert 11 <= station.marks - before <= 13, "the flash budget is spent"


async def test_the_floor_for_certificates_is_the_newest_synchronised_time(station: Station, tmp_path: Path) -> None:
    assert station.clock_watch.certificates_after is None, "the clock is synchronised"
    good = station.clock.now()
    station.clock.known = "unsynced"
    station.clock.set(datetime(2043, 1, 1, tzinfo=UTC))
    await station.advance(120)
    floor = station.clock_watch.certificates_after
    assert floor is not None and abs(floor - good) <= timedelta(seconds=11)
    station.clock.set(datetime(1970, 1, 1, tzinfo=UTC))
    await station.advance(120)
    after_restart = Station(tmp_path, station.clock)
    assert after_restart.clock_watch.certificates_after == floor, (
        "kept over a restart, also one after days without a clock"
    )
    after_restart.alive.close()
    (tmp_path / "none").mkdir()
    never = Station(tmp_path / "none", station.clock)
    assert never.clock_watch.certificates_after == EARLIEST, "never synchronised: this version's date"
    never.alive.close()


async def test_a_wrong_synchronised_time_is_replaced_by_the_next_correct_one(station: Station) -> None:
    """A time server that sent 2043 must not lock the station out for ever."""
    station.clock.set(datetime(2043, 1, 1, tzinfo=UTC))
    await station.advance(20)
    true = EARLIEST + timedelta(days=40)
    station.clock.set(true)
    await station.advance(20)
    station.clock.known = "unsynced"
    floor = station.clock_watch.certificates_after
    assert floor is not None and floor - true < timedelta(minutes=1)


async def test_a_disk_that_accepts_no_marks_stops_nothing(station: Station) -> None:
    station.alive.close()
    station.clock.set(station.clock.now() + timedelta(hours=1))
    await station.advance(HOUR_S)
    assert [one.name for one in station.recorded] == ["clock_stepped"]
