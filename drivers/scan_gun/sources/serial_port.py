"""A serial gun (RS-232, CDC-ACM, USB adapter): opens and sets up its port, decodes its bytes to captures.

The line discipline marks line errors (PARMRK: FF 00 before a byte with a parity or framing error, FF FF for a real FF;
termios(3)); such a scan is damaged. Bytes have the time at which they were read.
"""

import os
import termios
from pathlib import Path
from typing import Literal, TypeAlias

from drivers.scan_gun.capture import Damage, RawCapture
from drivers.scan_gun.decoding.framing import Framer
from drivers.scan_gun.recording import OnEntry, bytes_entry, cause_mark, mark_entry
from drivers.scan_gun.sources.reader import boottime_ms

Parity: TypeAlias = Literal["none", "even", "odd"]


class SerialDecoder:
    """Bytes of the line to captures; `marked`: the line discipline marks errors (a recording contains only the bytes)."""

    def __init__(self, framer: Framer, marked: bool = False) -> None:
        self._framer, self._marked = framer, marked
        self._on_entry: OnEntry | None = None
        self._unrecorded = bytearray()
        self._mark = b""  # the beginning of a mark that has not been read completely

    def record(self, on_entry: OnEntry) -> None:
        """Records bytes without the line discipline's marks; a byte with an error is an entry of its own."""
        self._on_entry = on_entry
        on_entry(mark_entry(boottime_ms(), "opened"))

    def feed(self, data: bytes, at_ms: int) -> list[RawCapture]:
        captures: list[RawCapture] = []
        for byte in data:
            if self._marked and (self._mark or byte == 0xFF):
                captures += self._marked_byte(byte, at_ms)
            else:
                captures += self._byte(byte, at_ms)
        self._record_bytes(at_ms)
        return captures

    def line_error(self, at_ms: int) -> list[RawCapture]:
        """The next byte has a line error."""
        return self._framer.damage("line_error", at_ms)

    def quiet(self, at_ms: int) -> list[RawCapture]:
        if self._on_entry and self._framer.waiting:
            self._on_entry(mark_entry(at_ms, "quiet"))
        return self._framer.quiet(at_ms)

    def gone(self, at_ms: int, cause: Damage = "unplugged") -> list[RawCapture]:
        if self._on_entry:
            self._on_entry(mark_entry(at_ms, cause_mark(cause)))
        return self._framer.gone(at_ms, cause)

    def _byte(self, byte: int, at_ms: int) -> list[RawCapture]:
        self._unrecorded.append(byte)
        captures = self._framer.begin(at_ms)
        self._framer.log(f"{byte:02x}")
        return captures + self._framer.item(chr(byte), at_ms)

    def _marked_byte(self, byte: int, at_ms: int) -> list[RawCapture]:
        if not self._mark:
            self._mark = b"\xff"
            return []
        if self._mark == b"\xff":
            self._mark = b"\xff\0" if byte == 0 else b""
            return [] if byte == 0 else self._byte(byte, at_ms)
        self._mark = b""
        self._record_bytes(at_ms)
        captures = self.line_error(at_ms) + self._byte(byte, at_ms)
        self._record_bytes(at_ms, error=True)
        return captures

    def _record_bytes(self, at_ms: int, *, error: bool = False) -> None:
        if self._on_entry and self._unrecorded:
            self._on_entry(bytes_entry(at_ms, bytes(self._unrecorded), error=error))
        self._unrecorded.clear()


def open_serial(
    node: Path, framer: Framer, baud: int, parity: Parity, data_bits: Literal[7, 8]
) -> tuple[int, SerialDecoder]:
    """The port's descriptor, raw and exclusive, and its decoder. Errors: OSError (EBUSY, EACCES, no tty)."""
    import serial  # 0.5 MB that a terminal with a keyboard gun does not need

    class Port(serial.Serial):
        def _reset_input_buffer(self) -> None:
            """pyserial discards what came since the port was opened: that would silently cut off the start of a scan."""

    try:
        port = Port(
            str(node),
            baud,
            exclusive=True,
            timeout=0,
            parity={"none": "N", "even": "E", "odd": "O"}[parity],
            bytesize=data_bits,
        )
        try:
            fd = os.dup(port.fileno())  # pyserial's own handle can be closed: this one keeps the settings
        finally:
            port.close()
    except serial.SerialException as error:
        raise OSError(error.errno, str(error)) from error
    os.set_blocking(fd, False)
    try:
        modes = termios.tcgetattr(fd)
        modes[0] = modes[0] & ~(termios.IGNPAR | termios.IGNBRK | termios.BRKINT) | termios.INPCK | termios.PARMRK
        termios.tcsetattr(fd, termios.TCSANOW, modes)
    except termios.error as error:
        os.close(fd)
        raise OSError(*error.args) from error
    return fd, SerialDecoder(framer, marked=True)
