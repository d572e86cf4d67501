"""Records when the kernel reports a device and when the agent's outbox has committed a row about it, on one clock.

Kernel events come over netlink (uevents of the kernel itself, before udev's rules); the outbox is read as it lies on the disk,
each time its write-ahead log is written to (inotify(7)), so that waiting costs the station nothing. Times: CLOCK_BOOTTIME in ms.
"""

import ctypes
import json
import os
import select
import socket
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import usb

_OUTBOX = Path("/var/lib/yinong-agent/outbox.db")
_IN_MODIFY = 0x2
_LOOK_S = 1.0  # and once a second in any case
_KERNEL_EVENTS = 1  # multicast group of NETLINK_KOBJECT_UEVENT
_NETLINK_KOBJECT_UEVENT = 15


class Row(NamedTuple):
    """A reading in the outbox, and when it was seen there."""

    seen_ms: float
    id: int
    leaf: str
    condition: str
    reason: str
    stamped_ms: int


_kernel: list[tuple[float, str, str]] = []  # when, action, path of the device
_rows: list[Row] = []
_begun = threading.Event()
_more = threading.Condition()  # of `_rows`


def begin() -> None:
    """Start with a running agent (its write-ahead log exists): rows already in the outbox are old. Called once."""
    if not _begun.is_set():
        _begun.set()
        last = _take_rows(0)
        _rows.clear()
        threading.Thread(target=_hear_the_kernel, daemon=True).start()
        threading.Thread(target=_read_the_outbox, args=(last,), daemon=True).start()


def turned(leaf: str, absent: bool, since_ms: float, timeout_s: float) -> dict[str, Any]:
    """The kernel's first event of a USB device since then, and the first reading after it that says absent (or not).

    Both readings and events are given as far as they have come when the time is over.
    """

    def since() -> list[Row]:
        return [row for row in _rows if row.leaf == leaf and row.seen_ms >= since_ms]

    with _more:
        _more.wait_for(lambda: any((row.condition == "absent") == absent for row in since()), timeout_s)
        rows = since()
    action = "remove" if absent else "add"
    events_ms = [at for at, what, path in _kernel if at >= since_ms and what == action and "/usb" in path]
    right = [row.seen_ms for row in rows if (row.condition == "absent") == absent]
    return {
        "kernel_ms": events_ms[0] if events_ms else None,
        "outbox_ms": right[0] if right else None,
        "rows": [[row.condition, row.reason] for row in rows],
    }


def replugged(name: str, leaf: str, times: int, timeout_s: float) -> list[dict[str, Any]]:
    """Unplug and plug a gadget device N times, each time until the outbox reports it."""
    turns: list[dict[str, Any]] = []
    for _ in range(times):
        for absent in (True, False):
            since_ms = now_ms()
            usb.unplug(name) if absent else usb.plug(name)
            turns.append(turned(leaf, absent, since_ms, timeout_s))
    return turns


def now_ms() -> float:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6


def _hear_the_kernel() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_KOBJECT_UEVENT) as events:
        events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        events.bind((0, _KERNEL_EVENTS))
        while True:
            select.select([events], [], [])
            at = now_ms()
            action, _, path = events.recv(1 << 16).partition(b"\0")[0].decode().partition("@")
            _kernel.append((at, action, path))


def _read_the_outbox(last: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    changes = libc.inotify_init()
    log = str(_OUTBOX) + "-wal"
    if changes < 0 or libc.inotify_add_watch(changes, log.encode(), _IN_MODIFY) < 0:
        raise OSError(ctypes.get_errno(), "inotify", log)
    while True:
        if select.select([changes], [], [], _LOOK_S)[0]:
            os.read(changes, 1 << 16)
        try:
            last = _take_rows(last)
        except sqlite3.Error:
            continue


def _take_rows(last: int) -> int:
    db = sqlite3.connect(f"file:{_OUTBOX}?mode=ro", uri=True, timeout=5)
    try:
        found = db.execute("SELECT id, leaf, body FROM entry WHERE id > ? ORDER BY id", (last,)).fetchall()
    finally:
        db.close()
    at = now_ms()
    with _more:
        for number, leaf, body in found:
            last = number
            if leaf.startswith("device/"):
                message = json.loads(body)
                _rows.append(Row(at, number, leaf, message["condition"], message["reason"], message["mono_ms"]))
        _more.notify_all()
    return last
