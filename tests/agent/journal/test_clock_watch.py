"""The vigil over the clocks, and the last-alive mark: how often, and what it costs."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.running import running

from agent.journal.clock_watch import STEPS_AN_HOUR, Vigil
from agent.journal.last_alive import AliveFile
from common.clock import EARLIEST
from common.events import ClockStepped, ClockSynced, Event, LastAlive, Resumed

HOUR_S = 3600


class Watch:
    """A vigil, running; what it told, and the marks that it wrote into a real file."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.clock, self.path = clock, folder / "alive"
        self.told: list[Event] = []
        self.link = self.spare = False
        self.good = 0
        self.alive = AliveFile(self.path)
        self.vigil = Vigil(
            clock, "0000aaaa", self.alive, lambda: self.link, self._tell, self._became_good, lambda: self.spare
        )

    async def _tell(self, event: Event) -> None:
        self.told.append(event)

    async def _became_good(self) -> None:
        self.good += 1

    @property
    def marks(self) -> int:
        return self.alive._number

    async def advance(self, seconds: float) -> None:
        """In the vigil's own steps; each ends when it waits for the next, whatever the thread that writes takes."""
        for _ in range(round(seconds / 10)):
            await self.clock.advance(10)
            while not self.clock._sleepers:  # noqa: ASYNC110
                await asyncio.sleep(0)

    def left(self) -> LastAlive | None:
        """What the next run finds."""
        file = AliveFile(self.path)
        file.close()
        return file.before.alive if file.before else None


@pytest.fixture
async def watch(tmp_path: Path, clock: Any) -> AsyncIterator[Watch]:
    clock.set(EARLIEST + timedelta(days=30))
    one = Watch(tmp_path, clock)
    async with running(one.vigil.run()):
        await one.advance(10)
        yield one
    one.alive.close()


async def test_a_clock_that_is_good_and_left_alone_is_no_news(watch: Watch) -> None:
    await watch.advance(HOUR_S)
    assert watch.told == []


@pytest.mark.parametrize(
    "step", [timedelta(minutes=3), timedelta(minutes=-3), timedelta(days=6000), timedelta(days=-6000)]
)
async def test_a_step_of_the_clock_is_told_with_its_size(watch: Watch, step: timedelta) -> None:
    before = watch.clock.now()
    watch.clock.set(before + step)
    watch.clock.known = "unsynced"
    await watch.advance(30)
    (told,) = watch.told
    assert isinstance(told, ClockStepped)
    assert told.step_ms == step / timedelta(milliseconds=1)
    assert datetime.fromisoformat(told.now) - datetime.fromisoformat(told.before) == step
    assert (told.quality_before, told.quality, told.untold) == ("synced", "unsynced", 0)


async def test_a_clock_that_steps_every_ten_seconds_fills_no_journal(watch: Watch) -> None:
    for n in range(400):
        watch.clock.set(watch.clock.now() + timedelta(minutes=5 if n % 2 else -5))
        await watch.advance(10)
    steps = [one for one in watch.told if isinstance(one, ClockStepped)]
    assert len(steps) <= 2 * STEPS_AN_HOUR
    assert sum(1 + one.untold for one in steps) + watch.vigil._ration.untold == 400, "all are counted"


async def test_the_moment_at_which_the_clock_became_good_is_told_each_time(watch: Watch) -> None:
    watch.clock.known = "unsynced"
    watch.clock.set(datetime(1970, 1, 1, tzinfo=UTC))
    await watch.advance(60)
    watch.clock.set(EARLIEST + timedelta(days=31))
    watch.clock.known = "synced"
    await watch.advance(20)
    synced = [one for one in watch.told if isinstance(one, ClockSynced)]
    assert len(synced) == watch.good == 1
    assert datetime.fromisoformat(synced[0].at) - (EARLIEST + timedelta(days=31)) <= timedelta(seconds=10)
    assert 0 <= watch.clock.mono_ms() - synced[0].mono_ms <= 20_000


async def test_a_suspended_machine_is_told_of_when_it_is_awake_again(watch: Watch) -> None:
    await watch.advance(10)
    awake_ms = watch.clock.mono_ms()
    watch.clock.suspend(5 * HOUR_S)
    await watch.advance(20)
    assert watch.told == [Resumed(suspended_ms=5 * HOUR_S * 1000, awake_mono_ms=awake_ms)]


async def test_without_a_line_the_end_of_a_run_is_known_to_a_minute(watch: Watch) -> None:
    for _ in range(20):
        await watch.advance(30)
        left = watch.left()
        assert left is not None
        assert watch.clock.mono_ms() - left.mono_ms <= 70_000
        assert (left.boot, left.run, left.link) == (watch.clock.boot, "0000aaaa", False)


async def test_the_last_alive_mark_is_rarer_while_the_county_hears_the_heartbeats(watch: Watch) -> None:
    watch.link = True
    await watch.advance(HOUR_S)
    before = watch.marks
    await watch.advance(6 * HOUR_S)
    heard = watch.marks - before
    watch.link = False
    await watch.advance(10)
    left = watch.left()
    assert left is not None and watch.clock.mono_ms() - left.mono_ms <= 10_000, "and at once when the line is lost"
    before = watch.marks
    await watch.advance(6 * HOUR_S)
    lost = watch.marks - before
    print(f"marks in six hours: {heard} with a line, {lost} without")
    assert 35 <= heard <= 37
    assert 205 <= lost <= 212, "every minute for an hour, then every other"
    watch.spare = True
    before = watch.marks
    await watch.advance(2 * HOUR_S)
    assert 11 <= watch.marks - before <= 13, "the flash has had its share of the day"


async def test_the_floor_for_certificates_is_the_newest_time_that_was_good(watch: Watch, tmp_path: Path) -> None:
    assert watch.vigil.certificates_after is None, "the clock is good"
    good = watch.clock.now()
    watch.clock.known = "unsynced"
    watch.clock.set(datetime(2043, 1, 1, tzinfo=UTC))
    await watch.advance(120)
    floor = watch.vigil.certificates_after
    assert floor is not None and abs(floor - good) <= timedelta(seconds=11)
    watch.clock.set(datetime(1970, 1, 1, tzinfo=UTC))
    await watch.advance(120)
    after_restart = Watch(tmp_path, watch.clock)
    assert after_restart.vigil.certificates_after == floor, "kept over a restart, also one after days without a clock"
    after_restart.alive.close()
    (tmp_path / "none").mkdir()
    never = Watch(tmp_path / "none", watch.clock)
    assert never.vigil.certificates_after == EARLIEST, "never known: this version's day"
    never.alive.close()


async def test_a_time_that_was_good_once_and_wrong_is_given_up_by_the_next_good_one(watch: Watch) -> None:
    """A time server that said 2043 must not lock the station out for ever."""
    watch.clock.set(datetime(2043, 1, 1, tzinfo=UTC))
    await watch.advance(20)
    true = EARLIEST + timedelta(days=40)
    watch.clock.set(true)
    await watch.advance(20)
    watch.clock.known = "unsynced"
    floor = watch.vigil.certificates_after
    assert floor is not None and floor - true < timedelta(minutes=1)


async def test_a_disk_that_takes_no_marks_stops_nothing(watch: Watch) -> None:
    watch.alive.close()
    watch.clock.set(watch.clock.now() + timedelta(hours=1))
    await watch.advance(HOUR_S)
    assert [one.name for one in watch.told] == ["clock_stepped"]
