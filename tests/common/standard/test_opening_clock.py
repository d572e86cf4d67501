"""Decision 25: opening hours are evaluated with a trusted clock, or not at all."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.minimal_toml import MINIMAL

from agent.configuration.settings import Settings, load
from agent.devices.checks import verdicts_now
from drivers.reading import Condition, Reading, Reason

BEGIN = MINIMAL + '[[device]]\nclass = "terminal"\nid = "main"\n'
WHOLE_DAYS = "[opening_hours]\n" + "".join(
    f'{day} = ["00:00-24:00"]\n'
    for day in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
)
GONE = {"printer": [("main", Reading(condition=Condition.UNREACHABLE, reason=Reason("no_answer", {}), measures={}))]}


@pytest.fixture
def settings_of(tmp_path: Path) -> Any:
    def settings_of(section: str = "") -> Settings:
        (tmp_path / "agent.toml").write_text(BEGIN + section, "utf-8")
        loaded = load(tmp_path / "agent.toml")
        assert loaded.settings, loaded.mistakes
        return loaded.settings

    return settings_of


def printer(settings: Settings | None, clock: Any) -> tuple[str, str]:
    found = next(item for item in verdicts_now(settings, GONE, clock) if item.item == "printer")
    return found.verdict, found.because


@pytest.mark.parametrize("year", [1970, 2026, 2043])
def test_opening_hours_are_unknown_if_the_clock_was_never_synchronised(settings_of: Any, clock: Any, year: int) -> None:
    clock.known = "unsynced"
    for hour in range(24):
        clock.set(datetime(year, 3, 2, hour, tzinfo=UTC))
        assert printer(settings_of(), clock) == ("unproven", "hours_unknown")


def test_they_are_known_as_soon_as_the_clock_is_synchronised(settings_of: Any, clock: Any) -> None:
    clock.known = "unsynced"
    assert printer(settings_of(), clock) == ("unproven", "hours_unknown")
    clock.known = "synced"
    assert printer(settings_of(), clock) == ("not_met", "device_unreachable")


def test_a_station_that_never_closes_needs_no_clock(settings_of: Any, clock: Any) -> None:
    clock.known = "unsynced"
    assert printer(settings_of(WHOLE_DAYS), clock) == ("not_met", "device_unreachable")
    holidays = WHOLE_DAYS + "holidays = [2026-02-17]\n"
    assert printer(settings_of(holidays), clock) == ("unproven", "hours_unknown")


def test_without_a_configured_station_there_are_no_opening_hours(clock: Any) -> None:
    clock.known = "unsynced"
    assert printer(None, clock) == ("not_met", "device_unreachable")
