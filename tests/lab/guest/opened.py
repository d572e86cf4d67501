"""The open files of a service: listing them with a shell takes a second on an emulated machine."""

import os
import time
from pathlib import Path

# What a gun types within 50 ms of being opened may be the middle of a scan (drivers/scan_gun), and its opener is not done yet.
_BEFORE_A_SCAN_S = 0.2


def by(unit: str, node: str, timeout_s: float) -> bool:
    """Wait until a process of the unit has that device (or a link to it) open and reads it; return whether it did."""
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
    except (FileNotFoundError, ProcessLookupError):  # the process has just ended, or closed one
        return False
