"""What a service has open: a shell that lists it takes an emulated machine a second each time."""

import os
import time
from pathlib import Path

# What a gun types within 50 ms of being opened may be the middle of a scan (drivers/scan_gun), and who opened it is not done yet.
_BEFORE_A_SCAN_S = 0.2


def by(unit: str, node: str, timeout_s: float) -> bool:
    """Waits until a process of the unit has that device (a link to it will do) open and reads it; whether it came to that."""
    processes = Path(f"/sys/fs/cgroup/system.slice/{unit}/cgroup.procs")
    end = time.monotonic() + timeout_s
    while not _is_open(processes, os.path.realpath(node)):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    time.sleep(_BEFORE_A_SCAN_S)
    return True


def _is_open(processes: Path, node: str) -> bool:
    try:
        return any(
            str(open_file.readlink()) == node
            for process in processes.read_text().split()
            for open_file in Path(f"/proc/{process}/fd").iterdir()
        )
    except (FileNotFoundError, ProcessLookupError):  # it has just ended, or just closed one
        return False
