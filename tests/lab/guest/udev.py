"""Waiting for udev. Running udevadm in a shell takes 0.3 s each time on an emulated machine."""

import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

_CONTROL = "/run/udev/control"
_QUEUE = Path("/run/udev/queue")  # exists while udev has events to process
# systemd 252, udev-ctrl.c: an unused version, a magic number, the kind of message, room for a value.
_MESSAGE = struct.Struct("=16sIi256s")
_MAGIC, _END, _PING = 0xDEAD1DEA, 0, 7


def settle(timeout_s: float = 60) -> None:
    """Wait until it has processed all earlier kernel events. Errors: TimeoutError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.settimeout(timeout_s)
        asking.connect(_CONTROL)
        for kind in (_PING, _END):
            asking.send(_MESSAGE.pack(b"udev-252", _MAGIC, kind, b""))
        asking.recv(1)  # it closes the connection once it has read all pending events
    _until(lambda: not _QUEUE.exists(), "udev to come to an end", timeout_s)


def arrived(pattern: str, timeout_s: float = 30) -> str:
    """The first path of that pattern, once it exists and udev has processed it. Errors: TimeoutError."""
    _until(lambda: _first(pattern), pattern, timeout_s)
    settle()
    return _first(pattern)


def gone(pattern: str, timeout_s: float = 30) -> None:
    """Wait until no path matches the pattern and udev has processed it. Errors: TimeoutError."""
    _until(lambda: not _first(pattern), f"the end of {pattern}", timeout_s)
    settle()


def _first(pattern: str) -> str:
    return str(next(Path("/").glob(pattern.removeprefix("/")), ""))


def _until(condition: Callable[[], object], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s} s in vain for {what}")
        time.sleep(0.03)
