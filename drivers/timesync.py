"""The state of the kernel's clock by adjtimex(2): imports nothing of the project, used by the daemon's clock and the drivers.

The query (`modes = 0`) needs no privilege and changes nothing.
"""

import ctypes
from functools import cache
from typing import NamedTuple

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_STA_UNSYNC = 0x0040


class _Timex(ctypes.Structure):
    """The beginning of struct timex (adjtimex(2)); the rest is space for what the kernel writes."""

    _fields_ = (("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
                ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
                ("room", ctypes.c_byte * 256))  # fmt: skip


@cache
def _libc() -> ctypes.CDLL:
    # cached: each CDLL makes new function classes, and the clock is queried every minute
    return ctypes.CDLL(None, use_errno=True)


class TimeSync(NamedTuple):
    """Result of adjtimex: its return value (0-5) and the status bits (STA_*)."""

    state: int
    status: int

    @property
    def synced(self) -> bool:
        """The clock is being disciplined: neither TIME_ERROR nor STA_UNSYNC (set when the error may exceed 16 s)."""
        return self.state < _TIME_ERROR and not self.status & _STA_UNSYNC


def kernel_time_sync() -> TimeSync | None:
    """Query the running kernel; None if the call fails (a sandbox that forbids it)."""
    timex = _Timex()
    state = _libc().adjtimex(ctypes.byref(timex))
    return TimeSync(state, timex.status) if state >= 0 else None
