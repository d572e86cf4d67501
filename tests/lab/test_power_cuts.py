"""Power cuts while a gun types and the line drains, on a disk that loses what was not flushed (long: power_cuts.py)."""

import os
import random

import pytest
from lab.county import County
from lab.grounds import OutboxDisk, RootDisk, with_normal_synchronous
from lab.ledger import Findings
from lab.machine import Frozen
from lab.places import RUN, say
from lab.power import Fall, Ground, Mains, summary
from lab.station import IN_THE_WRONG_YEAR

pytestmark = pytest.mark.long
CUTS, REBOOTS, MOST_WITHOUT_FSYNC = 9, 1, 6  # ten in all, which must lose nothing


@pytest.fixture
def seed() -> str:
    """The random seed: printed, and LAB_SEED repeats it."""
    chosen = os.environ.get("LAB_SEED") or f"{random.SystemRandom().randrange(1 << 32):08x}"
    say(f"power cuts by LAB_SEED={chosen}")
    return chosen


def test_no_scan_that_was_shown_is_lost_or_stored_twice_in_power_cuts(
    frozen: Frozen, county: County, seed: str
) -> None:
    mains = _all_is_well(OutboxDisk(frozen), county, seed, CUTS)
    assert sum(cut.shown for cut in mains.cuts) > CUTS
    assert sum(cut.disk.unflushed - cut.disk.kept for cut in mains.cuts) > 0  # else the disk has lost nothing


def test_power_cut_to_ready_again_also_in_the_wrong_year(frozen: Frozen, county: County, seed: str) -> None:
    """The whole station is on such a disk, without a broker, and boots from what it has kept. Its clock battery is empty too."""
    while (fall := Fall.by(f"{seed}/0")).in_start or fall.line != "down":
        seed += "+"
    mains = _all_is_well(RootDisk(frozen, clock=IN_THE_WRONG_YEAR), county, seed, REBOOTS)
    assert sum(cut.shown for cut in mains.cuts)
    say(f"ready again {mains.ready_again_s:.1f} s after the kernel's start (emulated)")
    first, again = (m for m in county.messages("journal") if m["event"] == "start")
    before, after = first["details"], again["details"]
    assert (before["previous_end"], after["previous_end"], after["new_boot"]) == ("first", "cut", True)
    assert (after["last_alive"]["run"], after["previous_boot"]) == (before["run"], after["last_alive"]["boot"])
    assert (again["clock"], again["at"][:4]) == ("unsynced", "2036")


def test_with_synchronous_normal_the_same_cuts_lose_scans_that_were_shown(
    frozen: Frozen, county: County, seed: str
) -> None:
    """Else the tests above could not see a loss."""
    ground = OutboxDisk(frozen, changed=with_normal_synchronous)
    mains = Mains(ground, county, seed)
    while not mains.findings.lost and len(mains.cuts) < MOST_WITHOUT_FSYNC:
        say(mains.cycle())
    say(summary(mains.cuts, mains.findings))
    assert mains.findings.lost
    ground.forget()


def _all_is_well(ground: Ground, county: County, seed: str, cuts: int) -> Mains:
    before = list(RUN.glob("found-*/findings"))
    assert not before, f"what was lost once is not tried until it is found: {before[0].read_text()}"
    mains = Mains(ground, county, seed)
    for _ in range(cuts):
        say(mains.cycle())
        _is_well(mains.findings)
    findings = mains.close()
    say(summary(mains.cuts, findings))
    _is_well(findings)
    return mains


def _is_well(findings: Findings) -> None:
    """A finding stays until the next build of the lab: a second run of the tests must not hide it."""
    if not findings.all_is_well:
        kept = RUN / f"found-{os.getpid()}/findings"
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(repr(findings))
    assert findings.all_is_well, findings
