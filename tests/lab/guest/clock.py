"""The station's clock: set wrong, or told the true time that its time server gives out."""

import time
from pathlib import Path
from typing import Any


def set_clock(unix_s: float) -> None:
    """The wall clock, as a dead battery or a wrong hand sets it; the kernel goes on saying 'not synchronised'."""
    time.clock_settime(time.CLOCK_REALTIME, unix_s)


def set_true_time(unix_s: float) -> None:
    """What the time server of the lab answers from now on."""
    Path("/run/lab.true-time").write_text(repr(unix_s - time.clock_gettime(time.CLOCK_BOOTTIME)))


def read() -> dict[str, Any]:
    return {"wall_s": time.time(), "boot_s": time.clock_gettime(time.CLOCK_BOOTTIME)}
