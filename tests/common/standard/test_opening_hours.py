"""When a station is open."""

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.standard.opening_hours import BEIJING, OpeningHours, is_open

HOURS = OpeningHours(saturday=("08:00-12:00", "14:00-24:00"), sunday=(), holidays=(date(2026, 2, 17),))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-03-02 08:00", True),  # a Monday
        ("2026-03-02 07:59", False),
        ("2026-03-02 17:59", True),
        ("2026-03-02 18:00", False),
        ("2026-03-07 13:00", False),
        ("2026-03-07 23:59", True),
        ("2026-03-08 10:00", False),
        ("2026-02-17 10:00", False),
    ],
)
def test_a_station_is_open_within_its_spans_and_closed_on_holidays(moment, expected):
    assert is_open(HOURS, datetime.fromisoformat(moment).replace(tzinfo=BEIJING)) is expected


@given(st.integers(0, 365 * 24 * 60), st.integers(-12, 14))
def test_a_terminal_in_a_wrong_time_zone_uses_the_same_hours(minute, offset):
    moment = datetime(2026, 1, 1, tzinfo=BEIJING) + timedelta(minutes=minute)
    assert is_open(HOURS, moment) == is_open(HOURS, moment.astimezone(timezone(timedelta(hours=offset))))


def test_a_moment_without_an_offset_is_refused():
    with pytest.raises(ValueError, match="offset"):
        is_open(HOURS, datetime(2026, 3, 2, 10))  # noqa: DTZ001
