"""In what turn tests run on two stations at once (pytest-xdist): who shares a station together, who takes minutes first."""

from collections.abc import Iterable
from pathlib import PurePosixPath

import pytest
from xdist.scheduler import LoadScopeScheduling

# Files whose tests share a station.
_SHARING = {
    "test_cases_of_keyboard_guns.py",
    "test_cases_of_serial_and_pos_guns.py",
    "test_replug.py",
    "test_service.py",
}


class Turns(LoadScopeScheduling):
    """A file that shares a station is one piece of work, of any other each test is one; the largest pieces go first."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if PurePosixPath(file).name in _SHARING else nodeid


def longest_first(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """So that no processor waits for the other one's last test."""
    return sorted(items, key=lambda item: not item.get_closest_marker("long"))
