"""The order in which tests run on concurrent stations (pytest-xdist): those that share a station together, long ones first.

Two stations are work for this machine's two processors. Tests that mostly wait (for three confirming polls, for a watchdog)
have a third one, which takes nothing else: what they leave of the processors is no reason for the others to wait with them.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# Files whose tests share a station.
_SHARING = {
    "test_cases_of_keyboard_guns.py",
    "test_cases_of_serial_and_pos_guns.py",
    "test_replug.py",
    "test_service.py",
}
_WAITING = {
    "test_where_the_line_broke_is_reported_when_it_is_back",
    "test_paper_out_to_the_recorders_store",
    "test_a_service_that_hangs_is_started_again_by_the_watchdog",
    "test_a_terminal_that_slept_reports_for_how_long_and_reads_on",
    "test_devices_that_hang_hold_nothing_up",
    "test_a_new_gun_is_learned_by_three_scans_and_its_table_written",
    "test_the_camera_is_opened_only_while_it_is_asked_to_read",
    "test_broker_gone_for_an_hour_and_back",
}


class Turns(LoadScopeScheduling):
    """A file that shares a station is one piece of work, otherwise each test is one; the largest pieces go first."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if PurePosixPath(file).name in _SHARING else nodeid

    def _reschedule(self, node: WorkerController) -> None:
        if self._only_waits(node) and not any(map(_waits, self.workqueue)):
            node.shutdown()
        else:
            super()._reschedule(node)

    def _assign_work_unit(self, node: WorkerController) -> None:
        """The next piece that fits; for one of the two also tests that wait, if there is nothing else."""
        suits = next((piece for piece in self.workqueue if _waits(piece) == self._only_waits(node)), None)
        if suits is not None:
            self.workqueue.move_to_end(suits, last=False)
        super()._assign_work_unit(node)

    def _only_waits(self, node: WorkerController) -> bool:
        return node.gateway.id == "gw2"  # numbered from gw0


def longest_first(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """So that no processor is idle during the other one's last test."""
    return sorted(items, key=lambda item: not item.get_closest_marker("long"))


def _waits(piece: str) -> bool:
    return piece.rpartition("::")[2].partition("[")[0] in _WAITING
