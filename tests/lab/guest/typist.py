"""Types on a gadget: HID reports at a set pace, the state of a gun's keyboard LEDs, and the keys evdev reports (no library)."""

import os
import select
import struct
import time
from pathlib import Path

import usb

_EVENT = struct.Struct("llHHi")  # struct input_event on 64 bits
_EV_KEY = 1


def send(name: str, reports: list[str], pace_ms: float) -> dict[str, float]:
    """Reports (hex), one every `pace_ms` (0: as fast as the bus accepts them); return the pace that was reached."""
    fd = os.open(usb.node(name), os.O_RDWR)
    try:
        began = time.monotonic()
        for number, report in enumerate(reports):
            if pace_ms:
                _wait_until(began + number * pace_ms / 1000)
            os.write(fd, bytes.fromhex(report))
        took = time.monotonic() - began
    finally:
        os.close(fd)
    return {"took_ms": took * 1000, "per_report_ms": took * 1000 / max(1, len(reports) - 1)}


def lights(name: str) -> str:
    """The last output report (hex) that the terminal sent to the gun's keyboard LEDs; empty if there was none."""
    fd = os.open(usb.node(name), os.O_RDWR | os.O_NONBLOCK)
    last = b""
    try:
        while select.select([fd], [], [], 0.2)[0]:
            last = os.read(fd, 64)
    except BlockingIOError:
        pass
    finally:
        os.close(fd)
    return last.hex()


def pressed(pattern: str, keys: int, timeout_s: float) -> list[int]:
    """The key codes of the next `keys` key presses at the matching evdev device; fewer if the time is over."""
    fd = os.open(next(Path("/").glob(pattern.lstrip("/"))), os.O_RDONLY | os.O_NONBLOCK)
    codes: list[int] = []
    end = time.monotonic() + timeout_s
    try:
        while len(codes) < keys and select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
            data = os.read(fd, _EVENT.size * 64)
            codes += [code for _, _, kind, code, value in _EVENT.iter_unpack(data) if kind == _EV_KEY and value == 1]
    finally:
        os.close(fd)
    return codes


def _wait_until(moment: float) -> None:
    """Sleep instead of a busy wait: the reader of the gun may have no other processor."""
    left = moment - time.monotonic()
    if left > 0:
        time.sleep(left)
