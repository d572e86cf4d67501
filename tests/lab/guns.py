"""Scan guns: keyboard (HID boot), serial (CDC-ACM, FTDI) and HID POS."""

import base64
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from lab import usb
from lab.keys import BOOT_KEYBOARD, recorded, typed

if TYPE_CHECKING:
    from lab.station import Station


class KeyboardGun(usb.Gadget):
    """A gun that types. Its device files are `by_id` (named by udev) and `events` (named by the kernel)."""

    function = "hid"
    arrives = "*/*/input/input*/event*"

    def __init__(
        self,
        station: "Station",
        name: str = "gun",
        identity: usb.Identity = usb.HONEYWELL_KEYBOARD,
        port: int | None = None,
        *,
        start: str = "",
        end: str = "\n",
    ) -> None:
        """`start` and `end`: the affixes it is set to type around each code."""
        super().__init__(
            station, name, identity, port, protocol=1, subclass=1, report_length=8, report_desc=BOOT_KEYBOARD
        )
        self._start, self._end = start, end

    @property
    def by_id(self) -> str:
        words = "_".join(
            w for w in (self.identity.manufacturer, self.identity.product, self.identity.serialnumber) if w
        )
        return f"/dev/input/by-id/usb-{re.sub(r'[^0-9A-Za-z#+.:=@_-]', '_', words)}-event-kbd"

    @property
    def events(self) -> str:
        """The same node by the kernel's own name."""
        return f"/dev/input/{self.arrived()}"

    @property
    def device_file(self) -> str:
        """The device file that the terminal reads."""
        return self.events

    def type(
        self,
        text: str,
        *,
        pace_ms: float = 1.5,
        shift: Literal["each", "held"] = "each",
        keypad: bool = False,
    ) -> float:
        """Type one scan; return the milliseconds per report that were reached."""
        return self.send(typed(self._around(text), shift=shift, keypad=keypad), pace_ms=pace_ms)

    def scan_plain(self, text: str) -> None:
        """One scan, as every gun can do it."""
        self.type(text, pace_ms=4)

    def send(self, reports: Sequence[bytes], *, pace_ms: float = 1.5) -> float:
        """Raw reports (`keys.typed`, `keys.alt_code`, in any combination); return the milliseconds per report reached."""
        arguments = {"name": self.name, "reports": [each.hex() for each in reports], "pace_ms": pace_ms}
        return self.station.hand("keyboard.send", within_s=60 + len(reports) * max(pace_ms, 10) / 500, **arguments)[
            "per_report_ms"
        ]

    def type_all(self, texts: Sequence[str], *, pace_ms: float = 1.5) -> float:
        """Scans without a pause between them; return the milliseconds per report that were reached."""
        return self.send([each for text in texts for each in typed(self._around(text))], pace_ms=pace_ms)

    def begin(self, texts: Sequence[str], *, pace_ms: float = 1.5) -> Callable[[], object]:
        """The same in the background: the gun types until the power fails. Call the result to wait for the end."""
        hand = self.station.hand
        reports = [each.hex() for text in texts for each in typed(self._around(text))]
        ticket = hand.start("keyboard.send", name=self.name, reports=reports, pace_ms=pace_ms)
        return lambda: hand.finish(ticket, 60 + len(reports) * max(pace_ms, 10) / 500)

    def replay(self, recording: Path, *, pace_ms: float = 1.5) -> float:
        """A recorded sequence of boot reports (`keys.recorded`)."""
        return self.send(recorded(recording), pace_ms=pace_ms)

    def type_half(self, text: str) -> None:
        """The gun stops in mid-scan: no Enter, the last key still down."""
        self.send(typed(text)[:-1])

    def _around(self, text: str) -> str:
        return f"{self._start}{text}{self._end}"

    def lights(self) -> str:
        """The last LED report that the terminal sent, in hex; empty if there was none."""
        return self.station.hand("keyboard.lights", name=self.name)


class CdcGun(usb.Gadget):
    """A gun on a serial line over USB (CDC-ACM): /dev/ttyACM*, and by-id."""

    function = "acm"
    arrives = "*/tty/tty*"

    def __init__(
        self, station: "Station", name: str = "cdc", identity: usb.Identity = usb.NEWLAND_CDC, port: int | None = None
    ) -> None:
        super().__init__(station, name, identity, port)

    @property
    def tty(self) -> str:
        return f"/dev/{self.arrived()}"

    @property
    def device_file(self) -> str:
        """The device file that the terminal reads."""
        return self.tty

    def send(self, data: bytes) -> None:
        """Bytes as the gun sends them; waits until the terminal's side has read them."""
        self.station.hand("serial.write", name=self.name, data=base64.b64encode(data).decode())

    def scan_plain(self, text: str) -> None:
        """One scan, as every gun can do it."""
        self.send(f"{text}\r\n".encode())


class FtdiGun:
    """A gun behind an FTDI bridge (QEMU's own device, 0403:6001): /dev/ttyUSB*. Plugged in by the host, not by a gadget."""

    identity = usb.QEMU_FTDI

    def __init__(self, station: "Station", name: str = "ftdi") -> None:
        self.station = station
        self.name = name
        self._path = station.machine.folder / f"{name}.sock"
        self._line = socket.socket(socket.AF_UNIX)
        backend = {"addr": {"type": "unix", "data": {"path": str(self._path)}}, "server": True, "wait": False}
        station.machine.qmp("chardev-add", id=name, backend={"type": "socket", "data": backend})
        self._line.connect(str(self._path))
        self.plug()

    @property
    def tty(self) -> str:
        return "/dev/" + self.station.run("ls /sys/bus/usb-serial/devices")

    @property
    def device_file(self) -> str:
        """The device file that the terminal reads."""
        return self.tty

    def plug(self) -> None:
        self.station.machine.qmp(
            "device_add",
            driver="usb-serial",
            id=self.name,
            chardev=self.name,
            bus="xhci.0",
            serial=self.identity.serialnumber,
        )
        self.station.hand("udev.arrived", pattern="/sys/bus/usb-serial/devices/*")

    def unplug(self) -> None:
        self.station.machine.qmp("device_del", id=self.name)
        self.station.hand("udev.gone", pattern="/sys/bus/usb-serial/devices/*")

    def send(self, data: bytes) -> None:
        self._line.sendall(data)

    def scan_plain(self, text: str) -> None:
        """One scan, as every gun can do it."""
        self.send(f"{text}\r\n".encode())

    def close(self) -> None:
        self._line.close()


_POS_REPORT = bytes.fromhex(
    "058c 0902 a101"  # usage page and usage bar code scanner, an application collection
    "8502 0912 a102 1500 26ff00 7508"  # report 2, scanned data, in bytes
    "9501 0501 093b 8102"  # number of bytes of data
    "9503 058c 09fb 09fc 09fd 8102"  # AIM symbology identifier
    "9538 09fe 820201"  # 56 bytes of data
    "9501 0666ff 0904 8102"  # the maker's own code of the symbology
    "9501 058c 0900 8103"
    "7501 9501 09ff 8102 7507 9501 8103"  # one bit: more of the same scan follows
    "c0 c0"
)


class PosGun(usb.Gadget):
    """A gun in HID POS mode (HID Point of Sale usage tables 1.02, 4): a hidraw device, no keyboard, nothing is lost in keys."""

    function = "hid"
    arrives = "*/*/hidraw/hidraw*"

    def __init__(
        self, station: "Station", name: str = "pos", identity: usb.Identity = usb.HONEYWELL_POS, port: int | None = None
    ) -> None:
        super().__init__(
            station, name, identity, port, protocol=0, subclass=0, report_length=64, report_desc=_POS_REPORT
        )

    @property
    def hidraw(self) -> str:
        return f"/dev/{self.arrived()}"

    @property
    def device_file(self) -> str:
        """The device file that the terminal reads."""
        return self.hidraw

    def scan(self, data: bytes, *, aim: str = "d1") -> None:
        """One scan in as many reports as it takes."""
        self.send(pos_reports(data, aim))

    def send(self, reports: Sequence[bytes]) -> None:
        """Raw reports (`pos_reports`)."""
        self.station.hand("keyboard.send", name=self.name, reports=[each.hex() for each in reports], pace_ms=4.0)

    def scan_plain(self, text: str) -> None:
        """One scan, as every gun can do it."""
        self.scan(text.encode())


def pos_reports(data: bytes, aim: str) -> list[bytes]:
    """One scan's reports: length, AIM identifier, 56 bytes, more-follows."""
    pieces = [data[at : at + 56] for at in range(0, max(1, len(data)), 56)]
    reports: list[bytes] = []
    for number, piece in enumerate(pieces, 1):
        head = bytes((2, len(piece))) + f"]{aim}".encode()
        reports.append(head + piece.ljust(56, b"\0") + bytes((0, 0, int(number < len(pieces)))))
    return reports


AnyGun: TypeAlias = KeyboardGun | CdcGun | FtdiGun | PosGun
