"""The last lines of the log, for the command that sends them."""

import logging

import pytest

from agent.log import KEPT_LINES, recent_lines, start_logging


@pytest.mark.parametrize(("count", "lines"), [(2, 2), (0, 0), (-3, 0), (10_000, KEPT_LINES)])
def test_so_many_of_the_newest_lines_are_given_oldest_first(count: int, lines: int) -> None:
    start_logging("info")
    try:
        for n in range(KEPT_LINES + 10):
            logging.getLogger("x").info("line %d %s", n, "y" * 1000)
        given = recent_lines(count)
        assert len(given) == lines
        assert all(len(line) <= 500 for line in given)
        if given:
            assert given[-1].startswith(f"INFO x: line {KEPT_LINES + 9} ")
    finally:
        logging.basicConfig(force=True)
