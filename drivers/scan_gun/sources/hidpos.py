"""A gun in HID POS mode (hidraw, usage page 0x8C): reports of decoded data to captures. The lossless mode.

Input report 2, as three makers document it; byte 0 is the report id:

    1        length of the data in this report
    2 - 4    AIM identifier with its bracket, data from 5   (Honeywell, Access-IS)
    2 -      data                                           (Newland; an AIM identifier is part of the data if it is sent)
    63       bit 0: more follows in the next report

Where the data ends shows which of the two it is: after `length` bytes the report is padded with zeros.
"""

import fcntl
import os
from pathlib import Path

from drivers.scan_gun.capture import Damage, RawCapture
from drivers.scan_gun.decoding.framing import Framer
from drivers.scan_gun.recording import OnEntry, bytes_entry, cause_mark, mark_entry
from drivers.scan_gun.sources.reader import boottime_ms
from drivers.symbology import is_identifier

DECODED_DATA = 2
_MAX_DATA = 56  # bytes of data in one report
_CODE_ID = 61  # of Honeywell, its own
_LAST = 63
_HIDIOCSFEATURE_2 = 0xC0024806
_HONEYWELL = "0c2e"


class HidposDecoder:
    """Reports to captures: the last report ends a scan; a scan whose last report does not come is damaged."""

    def __init__(self, framer: Framer) -> None:
        self._framer = framer
        self._identifier: str | None = None
        self._on_entry: OnEntry | None = None

    def record(self, on_entry: OnEntry) -> None:
        self._on_entry = on_entry
        on_entry(mark_entry(boottime_ms(), "opened"))

    def feed(self, data: bytes, at_ms: int) -> list[RawCapture]:
        """One report, which is one read of hidraw."""
        if self._on_entry:
            self._on_entry(bytes_entry(at_ms, data))
        if not data or data[0] != DECODED_DATA:  # responses, triggers, button reports: not a scan
            return []
        captures = self._framer.begin(at_ms)
        self._framer.log(data.hex())
        length = data[1] if len(data) > 1 else 0
        more = len(data) > _LAST and bool(data[_LAST] & 1)
        identifier, payload = _split(data, length)
        spilt = identifier is None and payload == data[2 : 2 + length] and any(data[2 + length : _CODE_ID])
        if spilt or len(payload) < length or length > _MAX_DATA or (more and length < _MAX_DATA):
            captures += self._framer.damage("bad_report", at_ms)
        first = not self._framer.has_items
        if first:
            self._identifier = identifier
        elif identifier != self._identifier:
            captures += self._framer.damage("bad_report", at_ms)
        for byte in payload:
            captures += self._framer.item(chr(byte), at_ms)
        if not more:
            captures += self._framer.complete(self._identifier)
        return captures

    def quiet(self, at_ms: int) -> list[RawCapture]:
        if self._on_entry and self._framer.waiting:
            self._on_entry(mark_entry(at_ms, "quiet"))
        return self._framer.quiet(at_ms)

    def gone(self, at_ms: int, cause: Damage = "unplugged") -> list[RawCapture]:
        if self._on_entry:
            self._on_entry(mark_entry(at_ms, cause_mark(cause)))
        return self._framer.gone(at_ms, cause)


def _split(report: bytes, length: int) -> tuple[str | None, bytes]:
    """The AIM identifier with its bracket, if the report has a field for it (even an empty one), and the data."""
    head = report[2:5].decode("latin-1")
    if head == "\0\0\0" and any(report[2 + length : 5 + length]):
        return None, report[5 : 5 + length]
    if head.startswith("]") and is_identifier(head[1:]) and any(report[2 + length : 5 + length]):
        return head, report[5 : 5 + length]
    return None, report[2 : 2 + length]


def open_hidpos(node: Path, framer: Framer, vendor: str) -> tuple[int, HidposDecoder]:
    """The node's descriptor and its decoder. Errors: OSError."""
    try:
        fd = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        fd = os.open(node, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if (
        vendor == _HONEYWELL
    ):  # a Honeywell that is also a keyboard switches to HID POS by this report; a pure one refuses it
        try:
            fcntl.ioctl(fd, _HIDIOCSFEATURE_2, bytes((254, 1)))
        except OSError:
            pass
    return fd, HidposDecoder(framer)
