"""The layer of an outage, from the readings of the line's driver; and the rate limit of entries."""

import tomllib
from pathlib import Path

import pytest

import drivers.broadband
from agent.journal.rate_limit import HOUR_MS, RateLimit
from agent.reports.outages import _BY_REASON, farthest_layer, longest_layer, outage_layer
from drivers.reading import Condition, Reading, Reason


def line(code: str, condition: Condition = Condition.WORKING) -> Reading:
    return Reading(condition=condition, reason=Reason(code))


@pytest.mark.parametrize(
    ("reading", "why", "layer"),
    [
        (line("no_carrier", Condition.UNREACHABLE), "OSError: Network is unreachable", "lan"),
        (line("no_interface", Condition.ABSENT), "", "lan"),
        (line("lan_down", Condition.UNREACHABLE), "", "gateway"),
        (line("access_line_down", Condition.FAULTY), "", "access_line"),
        (line("captive_page", Condition.ATTENTION), "", "access_line"),
        (line("rate_ok"), "no_such_server", "internet"),
        (line("rate_ok"), "server_not_running", "county"),
        (line("below_8m", Condition.FAULTY), "no acknowledgement", "county"),
        (line("county_unreachable", Condition.ATTENTION), "TimeoutError: timed out", "county"),
        (line("internet_unreachable", Condition.ATTENTION), "no acknowledgement", "county"),
        (line("timed_out", Condition.UNKNOWN), "", "unknown"),
        (line("not_looked_at", Condition.UNKNOWN), "", "unknown"),
        (line("nothing_to_ask", Condition.UNKNOWN), "", "unknown"),
    ],
)
def test_the_layer_by_the_reading_of_the_line(reading: Reading, why: str, layer: str) -> None:
    assert outage_layer(reading, why) == layer


def test_every_reason_that_names_a_layer_is_one_that_the_lines_driver_knows() -> None:
    folder = Path(drivers.broadband.__file__).parent
    assert _BY_REASON.keys() <= tomllib.loads((folder / "reasons.toml").read_text("utf-8")).keys()


def test_of_two_lines_the_one_that_works_farther_counts() -> None:
    dead, alive = line("no_carrier", Condition.UNREACHABLE), line("rate_ok")
    assert farthest_layer([dead, alive], "refused") == ("county", alive)
    assert farthest_layer([alive, dead], "refused") == ("county", alive)
    assert farthest_layer([], "refused") == ("unknown", None)


def test_the_cause_is_the_layer_that_lasted_longest() -> None:
    assert longest_layer([], 100) is None
    assert longest_layer([("county", 0)], 100) == "county"
    assert longest_layer([("county", 0), ("access_line", 10), ("county", 90)], 100) == "access_line"
    assert longest_layer([("lan", 0), ("unknown", 1)], 100) == "lan", "a known layer is preferred to unknown"
    assert longest_layer([("unknown", 0)], 100) == "unknown"


def test_n_an_hour_are_allowed_and_the_rest_is_counted() -> None:
    limit = RateLimit(3)
    assert [limit.allows(n) for n in range(5)] == [True, True, True, False, False]
    assert not limit.allows(HOUR_MS - 1)
    assert limit.allows(HOUR_MS)
    assert limit.take_suppressed() == 3
    assert limit.take_suppressed() == 0


def test_fewer_an_hour_are_allowed_for_a_while() -> None:
    limit = RateLimit(3)
    assert [limit.allows(n, 1) for n in range(3)] == [True, False, False]
    assert limit.allows(3)
    assert limit.suppressed == 2
