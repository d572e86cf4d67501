"""Each fault of the kit once, briefly: `python tests/faults` runs longer, for a terminal that is not in use."""

from pathlib import Path

import pytest
from faults.known import FAULTS, Fault


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_what_was_acknowledged_arrives_once_whatever_breaks(fault: Fault, tmp_path: Path) -> None:
    counts = fault.run(tmp_path, 24)
    print(counts)
    assert counts.good
