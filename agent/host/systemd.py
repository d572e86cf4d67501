"""systemd's notification protocol (sd_notify(3)): READY, STATUS, WATCHDOG, STOPPING. Does nothing without systemd."""

import os
import socket


def notify(*lines: str) -> None:
    """Send assignments such as `READY=1`, `STATUS=…`, `WATCHDOG=1`."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
        try:
            sock.sendto("\n".join(lines).encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            return  # a full socket or a manager that re-executes: the next notification follows soon


def watchdog_interval_s() -> float | None:
    """Half of the unit's WatchdogSec; None if no watchdog is set for this process."""
    usec, pid = os.environ.get("WATCHDOG_USEC"), os.environ.get("WATCHDOG_PID")
    if not usec or (pid and int(pid) != os.getpid()):
        return None
    return int(usec) / 2_000_000
