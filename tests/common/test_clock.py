"""The terminal's clock: synchronised from when the kernel reports it until somebody sets it."""

from datetime import UTC, datetime, timedelta

import pytest

from common.clock import EARLIEST, STEP_MS, StepDetector, SystemClock
from drivers.timesync import TimeSync

GOOD, BAD = TimeSync(0, 0), TimeSync(5, 0x40)
NOW = EARLIEST + timedelta(days=40)


class Terminal:
    """A kernel and a wall clock that the test sets; monotonic time is this machine's own and runs on by milliseconds."""

    def __init__(self, wall: datetime = NOW, sync: TimeSync | None = BAD) -> None:
        self._began = SystemClock().mono_ms()
        self.wall, self.sync = wall, sync
        self.clock = SystemClock(wall=self._wall, sync=lambda: self.sync)

    def _wall(self) -> datetime:
        return self.wall + timedelta(milliseconds=SystemClock().mono_ms() - self._began)


@pytest.mark.parametrize("dead", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2043, 5, 1, tzinfo=UTC), NOW])
def test_a_clock_without_synchronisation_is_not_trusted_whatever_it_shows(dead: datetime) -> None:
    terminal = Terminal(dead)
    assert terminal.clock.quality() == "unsynced"
    terminal.sync = None  # a sandbox that forbids the system call
    assert terminal.clock.quality() == "unsynced"


def test_a_terminal_that_loses_its_time_server_keeps_a_good_clock() -> None:
    terminal = Terminal(sync=GOOD)
    assert terminal.clock.quality() == "synced"
    terminal.sync = BAD
    terminal.wall += timedelta(milliseconds=STEP_MS - 500)  # slewed
    assert terminal.clock.quality() == "synced"


@pytest.mark.parametrize(
    "step", [timedelta(minutes=3), -timedelta(minutes=3), timedelta(days=6000), -timedelta(days=6000)]
)
def test_a_clock_that_was_set_by_hand_is_not_trusted_until_the_kernel_reports_it_synchronised_again(
    step: timedelta,
) -> None:
    terminal = Terminal(sync=GOOD)
    assert terminal.clock.quality() == "synced"
    terminal.sync, terminal.wall = BAD, terminal.wall + step
    assert terminal.clock.quality() == "unsynced"
    assert terminal.clock.quality() == "unsynced", "not only at the first check"
    terminal.sync, terminal.wall = GOOD, NOW
    assert terminal.clock.quality() == "synced"


def test_a_step_by_the_time_server_itself_stays_good() -> None:
    terminal = Terminal(sync=GOOD)
    assert terminal.clock.quality() == "synced"
    terminal.wall += timedelta(minutes=4)
    assert terminal.clock.quality() == "synced"


def test_a_time_before_the_release_is_never_trusted() -> None:
    terminal = Terminal(EARLIEST - timedelta(days=1), GOOD)
    assert terminal.clock.quality() == "unsynced"
    terminal.wall = NOW
    assert terminal.clock.quality() == "synced"


def test_steps_are_distinguished_from_slewing_and_from_a_stopped_clock() -> None:
    steps, at = StepDetector(), NOW
    assert steps.jumped_ms(at, 1000) == 0, "the first check has nothing to compare with"
    assert steps.jumped_ms(at + timedelta(seconds=10.8), 11_000) == 0, "slewed by 8 %"
    assert steps.jumped_ms(at + timedelta(seconds=70.8), 11_000) == 60_000
    assert steps.jumped_ms(at + timedelta(seconds=10.8), 11_000) == -60_000


def test_this_machines_clock_runs_and_its_suspended_time_does_not_shrink() -> None:
    clock = SystemClock()
    before, suspended = clock.mono_ms(), clock.suspended_ms()
    assert 0 <= suspended <= before
    assert clock.mono_ms() >= before
    assert clock.suspended_ms() >= suspended - 1
    assert clock.now().tzinfo is not None
