"""A serial gun (RS-232, CDC-ACM, USB adapter): its port opened and set up, its bytes to captures.

The line discipline marks what came broken (PARMRK: FF 00 before a byte with a parity or framing error, FF FF for a true FF;
termios(3)); such a scan is damaged. Bytes carry the time at which they were read.
"""

import os
import termios
from pathlib import Path
from typing import Literal, TypeAlias

from drivers.scan_gun.capture import Capture, Damage
from drivers.scan_gun.decoding.framing import Framer
from drivers.scan_gun.recording import Heard, bytes_entry, cause_mark, mark_entry
from drivers.scan_gun.sources.reader import boottime_ms

Parity: TypeAlias = Literal["none", "even", "odd"]


class SerialDecoder:
    """Bytes of the line to captures; `marked`: the line discipline marks errors (a recording holds the bytes alone)."""

    def __init__(self, framer: Framer, marked: bool = False) -> None:
        self._framer, self._marked = framer, marked
        self._heard: Heard | None = None
        self._untold = bytearray()
        self._mark = b""  # the beginning of a mark whose rest has not been read yet

    def record(self, heard: Heard) -> None:
        """Bytes without the line discipline's marks; one that came broken stands alone."""
        self._heard = heard
        heard(mark_entry(boottime_ms(), "opened"))

    def feed(self, data: bytes, at_ms: int) -> list[Capture]:
        captures: list[Capture] = []
        for byte in data:
            if self._marked and (self._mark or byte == 0xFF):
                captures += self._marked_byte(byte, at_ms)
            else:
                captures += self._byte(byte, at_ms)
        self._tell(at_ms)
        return captures

    def line_error(self, at_ms: int) -> list[Capture]:
        """The next byte came broken."""
        return self._framer.damage("line_error", at_ms)

    def quiet(self, at_ms: int) -> list[Capture]:
        if self._heard and self._framer.waiting:
            self._heard(mark_entry(at_ms, "quiet"))
        return self._framer.quiet(at_ms)

    def gone(self, at_ms: int, cause: Damage = "unplugged") -> list[Capture]:
        if self._heard:
            self._heard(mark_entry(at_ms, cause_mark(cause)))
        return self._framer.gone(at_ms, cause)

    def _byte(self, byte: int, at_ms: int) -> list[Capture]:
        self._untold.append(byte)
        captures = self._framer.begin(at_ms)
        self._framer.log(f"{byte:02x}")
        return captures + self._framer.item(chr(byte), at_ms)

    def _marked_byte(self, byte: int, at_ms: int) -> list[Capture]:
        if not self._mark:
            self._mark = b"\xff"
            return []
        if self._mark == b"\xff":
            self._mark = b"\xff\0" if byte == 0 else b""
            return [] if byte == 0 else self._byte(byte, at_ms)
        self._mark = b""
        self._tell(at_ms)
        captures = self.line_error(at_ms) + self._byte(byte, at_ms)
        self._tell(at_ms, error=True)
        return captures

    def _tell(self, at_ms: int, *, error: bool = False) -> None:
        if self._heard and self._untold:
            self._heard(bytes_entry(at_ms, bytes(self._untold), error=error))
        self._untold.clear()


def open_serial(
    node: Path, framer: Framer, baud: int, parity: Parity, data_bits: Literal[7, 8]
) -> tuple[int, SerialDecoder]:
    """The port's descriptor, raw and exclusive, and its decoder. Errors: OSError (EBUSY, EACCES, no tty)."""
    import serial  # half a megabyte that a terminal with a keyboard gun does not need

    class Port(serial.Serial):
        def _reset_input_buffer(self) -> None:
            """pyserial throws away what came since the opening: that would cut a scan's front off unseen."""

    try:
        port = Port(
            str(node), baud, exclusive=True, timeout=0, parity={"none": "N", "even": "E", "odd": "O"}[parity],
            bytesize=data_bits,
        )  # fmt: skip
        try:
            fd = os.dup(port.fileno())  # pyserial's own handle may go: closing it leaves this one as it was set up
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
