"""What the kernel says of its own clock, by adjtimex(2): a leaf for the daemon's clock and the drivers.

Asking (`modes = 0`) needs no privilege and sets nothing.
"""

import ctypes
from functools import cache
from typing import NamedTuple

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_STA_UNSYNC = 0x0040


class _Timex(ctypes.Structure):
    """The beginning of struct timex (adjtimex(2)); the rest is room for what the kernel writes."""

    _fields_ = (("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
                ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
                ("room", ctypes.c_byte * 256))  # fmt: skip


@cache
def _libc() -> ctypes.CDLL:
    # once: each makes new function classes, and the clock is asked every minute
    return ctypes.CDLL(None, use_errno=True)


class TimeSync(NamedTuple):
    """adjtimex's answer: its return value (0-5) and the status bits (STA_*)."""

    state: int
    status: int

    @property
    def synced(self) -> bool:
        """Somebody disciplines the clock: neither TIME_ERROR nor STA_UNSYNC (set once the error may exceed 16 s)."""
        return self.state < _TIME_ERROR and not self.status & _STA_UNSYNC


def kernel_time_sync() -> TimeSync | None:
    """Ask the running kernel; None where it does not answer (a sandbox that forbids the call)."""
    timex = _Timex()
    state = _libc().adjtimex(ctypes.byref(timex))
    return TimeSync(state, timex.status) if state >= 0 else None
