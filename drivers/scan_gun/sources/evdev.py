"""A keyboard gun: opens and grabs its event node, decodes struct input_event to key events.

Own read loop (`reader`): python-evdev's generators lose the rest of a batch when they are left. EV_MSC is masked (EVIOCSMASK), so
a key press makes 4 events instead of 6 and a whole EAN-13 fits the kernel's ring buffer of 64; timestamps are CLOCK_BOOTTIME
(EVIOCSCLOCKID). Source: linux/input.h, drivers/input/evdev.c.
"""

import contextlib
import fcntl
import os
import struct
from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime_ns
from typing import Literal, TypeAlias

from evdev import ecodes as e

from drivers.scan_gun.capture import Damage, RawCapture
from drivers.scan_gun.decoding.framing import Framer
from drivers.scan_gun.decoding.keys import Caps, Keys
from drivers.scan_gun.recording import OnEntry, cause_mark, key_entry, mark_entry
from drivers.scan_gun.sources.reader import boottime_ms

Grab: TypeAlias = Literal["exclusive", "pass_through", "shared"]

EVENT = struct.Struct("@LLHHi")  # 24 bytes on 64 bits, 16 on 32
MID_SCAN_MS = 50  # a first key within this time after opening may be in the middle of a scan

_EVIOCGRAB = 0x40044590
_EVIOCSMASK = 0x40104593
_EVIOCSCLOCKID = 0x400445A0
_EVIOCGLED = 0x80084519  # 8 bytes


class EvdevDecoder:
    """Bytes of the node to captures. `clock_offset_ms` is added to its timestamps to get CLOCK_BOOTTIME."""

    def __init__(self, framer: Framer, caps: Caps, opened_ms: int | None = None, clock_offset_ms: int = 0) -> None:
        self._framer, self._keys = framer, Keys(framer, caps)
        self._rest = b""
        self.on_led_lit: Callable[[], None] | None = None  # called when an LED of the gun's node is switched on
        self._opened_ms, self._clock_offset_ms = opened_ms, clock_offset_ms
        self._on_entry: OnEntry | None = None
        self._leds: dict[int, int] = {}

    def record(self, on_entry: OnEntry) -> None:
        """The present state of the LEDs comes first."""
        self._on_entry = on_entry
        opened_ms = self._opened_ms or 0
        for code, lit in self._leds.items():
            on_entry(key_entry(opened_ms, e.EV_LED, code, lit))
        if self._opened_ms is not None:
            on_entry(mark_entry(opened_ms, "opened"))

    def feed(self, data: bytes, at_ms: int) -> list[RawCapture]:  # noqa: ARG002 - the kernel stamps each event itself
        data = self._rest + data
        whole = len(data) - len(data) % EVENT.size
        self._rest = data[whole:]
        captures: list[RawCapture] = []
        for seconds, micros, kind, code, value in EVENT.iter_unpack(data[:whole]):
            captures += self.event(seconds * 1000 + micros // 1000 + self._clock_offset_ms, kind, code, value)
        return captures

    def event(self, at_ms: int, kind: int, code: int, value: int) -> list[RawCapture]:
        if self._on_entry:
            self._on_entry(key_entry(at_ms, kind, code, value))
        captures: list[RawCapture] = []
        if self._opened_ms is not None and kind == e.EV_KEY:
            if at_ms - self._opened_ms < MID_SCAN_MS:
                captures = self._framer.damage("opened_mid_scan", at_ms, lost=False)
            self._opened_ms = None
        if kind == e.EV_LED:
            self._leds[code] = value
            if value and self.on_led_lit:
                self.on_led_lit()
        return captures + self._keys.event(at_ms, kind, code, value)

    def opened(self, at_ms: int) -> None:
        """Reading began at `at_ms`: a first key soon after may be in the middle of a scan."""
        self._opened_ms = at_ms

    def quiet(self, at_ms: int) -> list[RawCapture]:
        return self._framer.quiet(at_ms)

    def gone(self, at_ms: int, cause: Damage = "unplugged") -> list[RawCapture]:
        if self._on_entry:
            self._on_entry(mark_entry(at_ms, cause_mark(cause)))
        return self._framer.gone(at_ms, cause)


def open_evdev(node: Path, framer: Framer, caps: Caps, grab: Grab) -> tuple[int, EvdevDecoder]:
    """The node's descriptor, set up and grabbed, and its decoder. Errors: OSError (EBUSY: another program has grabbed it)."""
    try:
        fd = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        fd = os.open(node, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if grab != "shared":
            fcntl.ioctl(fd, _EVIOCGRAB, 1)
        clock_offset_ms = _set_clock(fd)
        _mask_scancodes(fd)
        decoder = EvdevDecoder(framer, caps, boottime_ms(), clock_offset_ms)
        for code, lit in _leds(fd):
            decoder.event(0, e.EV_LED, code, lit)
        if caps == "ignore" and grab != "shared":
            switch_off_leds(fd)
            decoder.on_led_lit = partial(switch_off_leds, fd)
    except BaseException:
        os.close(fd)
        raise
    return fd, decoder


def ungrab(fd: int) -> None:
    """Release the grab: other programs receive the gun's keys again."""
    with contextlib.suppress(OSError):  # it is gone
        fcntl.ioctl(fd, _EVIOCGRAB, 0)


def switch_off_leds(fd: int) -> None:
    """Switch CapsLock and NumLock off on the gun's own node, for guns that invert their letters by them. Best effort."""
    try:
        for code in (e.LED_CAPSL, e.LED_NUML):
            os.write(fd, EVENT.pack(0, 0, e.EV_LED, code, 0))
        os.write(fd, EVENT.pack(0, 0, e.EV_SYN, e.SYN_REPORT, 0))
    except OSError:  # opened for reading only, or a gun without LEDs
        pass


def set_caps_led(fd: int, lit: bool) -> None:
    """Set the CapsLock LED of this node only; the host's own state does not change. Best effort."""
    with contextlib.suppress(OSError):
        os.write(fd, EVENT.pack(0, 0, e.EV_LED, e.LED_CAPSL, lit) + EVENT.pack(0, 0, e.EV_SYN, e.SYN_REPORT, 0))


def _set_clock(fd: int) -> int:
    """Set timestamps to CLOCK_BOOTTIME, or the best clock the kernel supports; returns its offset to CLOCK_BOOTTIME in ms."""
    for clock in (CLOCK_BOOTTIME, CLOCK_MONOTONIC):
        try:
            fcntl.ioctl(fd, _EVIOCSCLOCKID, struct.pack("i", clock))
            return _clock_offset_ms(clock)
        except OSError:
            continue
    return _clock_offset_ms(CLOCK_REALTIME)


def _clock_offset_ms(clock: int) -> int:
    return 0 if clock == CLOCK_BOOTTIME else boottime_ms() - clock_gettime_ns(clock) // 1_000_000


def _mask_scancodes(fd: int) -> None:
    none = array("B", bytes(8))
    try:
        fcntl.ioctl(fd, _EVIOCSMASK, struct.pack("IIQ", e.EV_MSC, len(none), none.buffer_info()[0]))
    except OSError:  # before Linux 4.4: the events arrive and are ignored
        pass


def _leds(fd: int) -> list[tuple[int, int]]:
    lit = bytearray(8)
    try:
        fcntl.ioctl(fd, _EVIOCGLED, lit)
    except OSError:
        return []
    bits = int.from_bytes(lit, "little")
    return [(code, bits >> code & 1) for code in (e.LED_NUML, e.LED_CAPSL)]
