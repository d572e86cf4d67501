"""The checks after power cuts find every fault: each is planted once, without a machine."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from lab.ledger import AtCounter, Findings, Kept, Row, Stored, check

pytestmark = pytest.mark.settled

TYPED = [["a1", "a2", "a3"], ["b1", "b2", "b3"]]


@dataclass
class Facts:
    """Two cycles that went well: a cut after a2, a second start, b1."""

    shown: list[str] = field(default_factory=lambda: ["a1", "a2", "b1"])
    kept: list[Row] = field(
        default_factory=lambda: [
            _start(1, "boot1", "first", "new"),
            _scan(2, 1, "a1"),
            _scan(3, 2, "a2"),
            _start(4, "boot2", "cut", "kept", "boot1"),
            _scan(5, 3, "b1"),
        ]
    )
    at_county: int = 3
    more_at_county: list[Row] = field(default_factory=list[Row])
    receipted: int = 3
    conflicts: int = 0
    delivered: bool = False

    def checked(self) -> Findings:
        stored = Stored([*self.kept[: self.at_county], *self.more_at_county], {"box": 3}, self.conflicts, 0)
        return check(
            AtCounter(TYPED, self.shown), Kept(self.kept, {"box": self.receipted}), stored, delivered=self.delivered
        )


def test_two_cycles_that_went_well_are_well() -> None:
    assert Facts().checked().all_is_well


def test_a_scan_that_was_shown_and_is_not_on_the_disk_is_lost() -> None:
    facts = Facts()
    del facts.kept[-1]
    assert facts.checked().lost == {"b1"}


def test_a_scan_that_the_county_lacks_when_nothing_waits_is_lost() -> None:
    assert Facts(delivered=True).checked().lost == {"b1"}


def test_a_scan_that_is_at_the_county_under_two_numbers_is_there_twice() -> None:
    assert Facts(more_at_county=[_scan(9, 3, "a1")]).checked().twice == {"a1"}


@pytest.mark.parametrize(
    ("at", "instead", "word"),
    [
        (4, ("scan", 3, "b3"), "of 3 scans 1 are kept"),
        (4, ("scan", 4, "b1"), "numbers have gaps"),
        (4, ("scan", 3, "c1"), "nobody typed"),
        (2, ("scan", 2, "a1"), "is kept after"),
        (3, ("start", "boot2", "crashed", "kept", "boot1"), "ended as crashed"),
        (3, ("start", "boot2", "cut", "corrupt", "boot1"), "was corrupt"),
        (3, ("start", "boot1", "cut", "kept", "boot1"), "as the one before"),
    ],
)
def test_what_is_wrong_on_the_disk_is_found(at: int, instead: tuple[Any, ...], word: str) -> None:
    facts = Facts()
    kind, *says = instead
    facts.kept[at] = _scan(at + 1, *says) if kind == "scan" else _start(at + 1, *says)
    assert any(word in sentence for sentence in facts.checked().wrong)


def test_a_row_that_the_county_has_and_the_station_has_not_is_found() -> None:
    assert "which the station has lost" in Facts(more_at_county=[_scan(6, 4, "b2")]).checked().wrong[0]


def test_a_receipt_for_more_than_the_county_has_is_found() -> None:
    assert "a receipt up to 4" in Facts(receipted=4).checked().wrong[0]


def test_a_conflict_at_the_county_is_found() -> None:
    assert "1 conflicts" in Facts(conflicts=1).checked().wrong[0]


def test_a_gap_in_the_sequence_is_found() -> None:
    facts = Facts()
    facts.kept[-1] = _scan(6, 3, "b1")
    assert "has gaps" in facts.checked().wrong[0]


def _scan(seq: int, number: int, text: str) -> Row:
    return Row("box", seq, "scan", f"{seq} {text}", [number, text, None])


def _start(seq: int, boot: str, end: str, outbox: str, before: str | None = None) -> Row:
    details = {"previous_end": end, "outbox": outbox, "previous_boot": before}
    return Row("box", seq, "journal", f"{seq} {boot}", ["start", boot, details])
