"""Five hundred scans as fast as the station takes them: each is recorded as it was, in order, or marked damaged."""

import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
from lab.agent import Agent
from lab.county import County
from lab.frames import as_fast_as_debians
from lab.guns import KeyboardGun
from lab.places import say
from lab.station import Station

SCANS = 500
_LOAD = {
    "lab-busy-1": "while :; do :; done",
    "lab-busy-2": "while :; do :; done",
    "lab-writer": "while :; do dd if=/dev/zero of=/var/tmp/lab.load bs=1M count=16 conv=fsync; done",
}


@pytest.mark.alone
@pytest.mark.parametrize("station", [2], indirect=True, ids=["two processors"])
def test_500_scans_are_recorded_as_typed_or_marked_damaged_quiet_and_under_load(
    station: Station, agent: Agent, county: County
) -> None:
    as_fast_as_debians(station)
    gun = KeyboardGun(station)
    agent.start_with(gun)
    _typed_and_recorded("quiet", nullcontext(), [f"691{number:010}" for number in range(SCANS)], gun, county)
    _typed_and_recorded("under load", _load(station), [f"692{number:010}" for number in range(SCANS)], gun, county)


def _typed_and_recorded(
    how: str, meanwhile: AbstractContextManager[None], texts: list[str], gun: KeyboardGun, county: County
) -> None:
    before = len(county.messages("scan"))
    with meanwhile:
        reached_ms = gun.type_all(texts)
        time.sleep(1)  # a scan that has lost its end is ended by silence
    gun.type(f"end of {how}", pace_ms=10)
    county.waits_for("the last scan", lambda: f"end of {how}" in county.captures(), timeout_s=240)
    # live messages overtake those that a busy station could not send at once; a gun's captures are numbered without a gap
    county.waits_for(
        "all before it", lambda: _is_whole([scan["number"] for scan in county.messages("scan")]), timeout_s=240
    )
    scans = county.messages("scan")[before:-1]
    damaged = [scan["damage"] for scan in scans if scan["damage"]]
    say(
        f"{how}: {len(texts)} scans at {reached_ms:.2f} ms a report (1.5 is the aim):"
        f" {len(scans) - len(damaged)} whole, {len(damaged)} marked damaged {sorted(set(damaged))}"
    )
    none_is_wrong(texts, scans)


def _is_whole(numbers: list[int]) -> bool:
    return numbers == list(range(1, len(numbers) + 1))


@contextmanager
def _load(station: Station) -> Generator[None]:
    """Load for more than two processors, and writes to the disk."""
    for unit, script in _LOAD.items():
        station.run(f"systemd-run -q --collect --unit {unit} sh -c '{script}'")
    try:
        yield
    finally:
        station.run(f"systemctl stop {' '.join(_LOAD)}")


def none_is_wrong(texts: Sequence[str], captures: Sequence[dict[str, Any]]) -> None:
    """Each undamaged capture is the next typed text; if some are missing, a capture marked damaged is in their place."""
    position, damaged_here = 0, False
    for capture in captures:
        if capture["damage"]:
            assert capture["text"] == ""
            damaged_here = True
            continue
        assert capture["text"] in texts[position:], f"wrong, twice or out of order: {capture}"
        found = texts.index(capture["text"], position)
        assert found == position or damaged_here, f"lost unmarked: {texts[position:found]}"
        position, damaged_here = found + 1, False
    assert position == len(texts) or damaged_here, f"lost unmarked: {texts[position:]}"
