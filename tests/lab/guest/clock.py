"""The station's clock: set to a wrong time, and the correct time of its time server."""

import time
from pathlib import Path
from typing import Any


def set_clock(unix_s: float) -> None:
    """Set the wall clock, as by an empty battery or by hand; the kernel still reports 'not synchronised'."""
    time.clock_settime(time.CLOCK_REALTIME, unix_s)


def set_true_time(unix_s: float) -> None:
    """Set what the time server of the lab answers from now on."""
    Path("/run/lab.true-time").write_text(repr(unix_s - time.clock_gettime(time.CLOCK_BOOTTIME)))


def read() -> dict[str, Any]:
    return {"wall_s": time.time(), "boot_s": time.clock_gettime(time.CLOCK_BOOTTIME)}
