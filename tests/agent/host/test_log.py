"""The daemon's log: rate limited in lines an hour, on a clock that the test advances; its last lines."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from agent.host.log import (
    HOUR_MS,
    LINES_AN_HOUR,
    MESSAGES_KNOWN,
    RECENT_LINES,
    SAME_AN_HOUR,
    RateLimitedHandler,
    logged_bytes,
    recent_lines,
    start_logging,
)

HOURS_A_MONTH = 30 * 24


class Lines(logging.Handler):
    """What would go to journald."""

    def __init__(self) -> None:
        super().__init__()
        self.logged: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.logged.append(self.format(record))


class Hand:
    """Milliseconds that the test advances."""

    def __init__(self) -> None:
        self.ms = 5_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def lines(hand: Hand) -> Iterator[Lines]:
    """The root logger as the daemon sets it up, with another handler at the end."""
    end = Lines()
    logging.basicConfig(level="INFO", handlers=[RateLimitedHandler(hand, end)], force=True)
    yield end
    logging.basicConfig(force=True)


@pytest.mark.parametrize(("count", "lines"), [(2, 2), (0, 0), (-3, 0), (10_000, RECENT_LINES)])
def test_n_of_the_newest_lines_are_returned_oldest_first(count: int, lines: int, hand: Hand) -> None:
    start_logging("info", hand)
    before = logged_bytes()
    try:
        for n in range(RECENT_LINES + 10):
            hand.ms += HOUR_MS
            logging.getLogger("x").info("line %d %s", n, "益" * 1000)
        recent = recent_lines(count)
        assert len(recent) == lines
        assert all(len(line) <= 500 for line in recent)
        if recent:
            assert recent[-1].startswith(f"INFO x: line {RECENT_LINES + 9} ")
        assert logged_bytes() - before > (RECENT_LINES + 10) * 3000
    finally:
        logging.basicConfig(force=True)


def test_a_device_that_fails_each_second_is_logged_ten_times_an_hour_and_then_counted(hand: Hand, lines: Lines) -> None:
    for _ in range(2 * 3600):
        logging.getLogger("agent.devices.watched").error("driver %s failed", "printer")
        hand.ms += 1000
    logging.getLogger("agent.journal").info("link_up")
    logged = [line for line in lines.logged if line == "driver printer failed"]
    assert len(logged) == 2 * SAME_AN_HOUR
    suppressed = f"suppressed {3600 - SAME_AN_HOUR} times: agent.devices.watched: driver %s failed"
    assert [line for line in lines.logged if line not in logged] == [suppressed, suppressed, "link_up"]


def test_suppressed_lines_are_reported_by_the_hour_also_if_nothing_more_is_logged(hand: Hand, lines: Lines) -> None:
    for _ in range(SAME_AN_HOUR + 1):
        logging.getLogger("x").info("again")
    bounded = logging.getLogger().handlers[0]
    assert isinstance(bounded, RateLimitedHandler)
    hand.ms += HOUR_MS - 1
    bounded.turn_hour()
    assert len(lines.logged) == SAME_AN_HOUR
    hand.ms += 1
    bounded.turn_hour()
    bounded.turn_hour()
    assert lines.logged[SAME_AN_HOUR:] == ["suppressed 1 times: x: again"]


def test_a_flood_of_bad_messages_for_a_month_stays_within_its_lines_whatever_its_text(hand: Hand, lines: Lines) -> None:
    for n in range(HOURS_A_MONTH * 60):
        log = logging.getLogger("agent.control.commands")
        log.warning("command %s refused: %s", f"name{n}", "x")
        log.warning(f"text of its own {n}")
        hand.ms += 60_000
    assert len(lines.logged) <= HOURS_A_MONTH * (LINES_AN_HOUR + MESSAGES_KNOWN + 1)
    assert len(lines.logged) > HOURS_A_MONTH, "suppressed lines are counted"


def test_a_flood_of_ever_new_messages_is_counted_together(hand: Hand, lines: Lines) -> None:
    for n in range(5000):
        logging.getLogger("x").warning(f"text of its own {n}")
    hand.ms += HOUR_MS
    logging.getLogger("x").warning("next hour")
    assert len(lines.logged) <= LINES_AN_HOUR + MESSAGES_KNOWN + 2
    assert sum(int(line.split()[1]) for line in lines.logged if line.startswith("suppressed")) == 5000 - sum(
        line.startswith("text") for line in lines.logged
    )


def test_another_message_is_still_logged_while_one_floods(hand: Hand, lines: Lines) -> None:
    for n in range(10_000):
        logging.getLogger("x").warning("flood %d", n)
    logging.getLogger("agent.daemon").info("stopping")
    assert lines.logged[-1] == "stopping"


def test_a_traceback_is_logged_once_an_hour_then_its_last_line(hand: Hand, lines: Lines) -> None:
    def fail(words: Any) -> None:
        try:
            raise ValueError(words)
        except ValueError:
            logging.getLogger("x").exception("driver failed")

    fail("first")
    fail("second")
    hand.ms += HOUR_MS
    fail("third")
    assert ["Traceback" in line for line in lines.logged] == [True, False, True]
    assert lines.logged[1] == "driver failed: ValueError: second"


def test_a_record_below_a_handlers_level_does_not_reach_it(hand: Hand) -> None:
    end = Lines()
    end.setLevel(logging.ERROR)
    bounded = RateLimitedHandler(hand, end)
    bounded.handle(logging.LogRecord("x", logging.INFO, "", 0, "low", (), None))
    bounded.handle(logging.LogRecord("x", logging.ERROR, "", 0, "high", (), None))
    assert end.logged == ["high"]
