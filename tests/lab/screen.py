"""The terminal's screen output: the EDID on the cable, and the cable itself."""

import socket
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lab.station import Station

_CONNECTOR = "/sys/class/drm/card0-Virtual-1"
_OVERRIDE = "/sys/kernel/debug/dri/0/Virtual-1/edid_override"


class Sink(NamedTuple):
    """What is at the other end of the cable."""

    name: str
    width_px: int
    height_px: int
    width_mm: int  # 0: a projector, whose picture has no size of its own
    height_mm: int
    maker: str = "LAB"
    serial: str = "0001"


SMALL_MONITOR = Sink("Monitor 19", 1440, 900, 408, 255)
TV_65 = Sink("TV 65", 1920, 1080, 1428, 804)
TV_60 = Sink("TV 60", 1920, 1080, 1328, 747)  # 0.992 m2
PROJECTOR = Sink("Projector", 1280, 800, 0, 0)


def edid(sink: Sink) -> bytes:
    """An EDID 1.3 block (VESA E-EDID A.2) with one detailed timing: the size in mm there, and in whole cm."""
    blank_x, blank_y, hertz = 160, 35, 60
    clock = round((sink.width_px + blank_x) * (sink.height_px + blank_y) * hertz / 10_000)
    letters = [ord(c) - 64 for c in sink.maker]
    block = bytes.fromhex("00ffffffffffff00") + (letters[0] << 10 | letters[1] << 5 | letters[2]).to_bytes(2, "big")
    block += struct.pack("<HIBBBB", 0x0916, 0, 1, 34, 1, 3)  # product, no binary serial, week 1 of 2024, version 1.3
    block += bytes((0x80, min(255, sink.width_mm // 10), min(255, sink.height_mm // 10), 120, 0x0A))
    block += bytes.fromhex("ee91a3544c99260f5054" + "000000" + "0101" * 8)
    block += struct.pack(
        "<HBBBBBB", clock, *_twelve_bits(sink.width_px, blank_x), *_twelve_bits(sink.height_px, blank_y)
    )
    width, height, high = _twelve_bits(sink.width_mm, sink.height_mm)
    block += bytes((48, 32, 0x35, 0, width, height, high, 0, 0, 0x1E))
    block += _text(0xFC, sink.name) + _text(0xFF, sink.serial)
    block += (
        bytes((0, 0, 0, 0xFD, 0, 50, 75, 30, 83, clock // 1000 + 1, 0)) + b"\n      " + b"\0"
    )  # ranges; no extension
    return block + bytes((-sum(block) & 255,))


class Screen:
    """Connector Virtual-1. Plugging and unplugging cause the kernel's own hotplug event, as a real cable does."""

    def __init__(self, station: "Station", sink: Sink = TV_65) -> None:
        self.station = station
        self._size = (1600, 900)
        self.shows(sink)

    @property
    def status(self) -> str:
        return self.station.run(f"cat {_CONNECTOR}/status")

    def shows(self, sink: Sink) -> None:
        """Another sink at the same cable: pulled, and plugged with that sink's EDID."""
        self.cable_says(edid(sink))

    def cable_says(self, block: bytes) -> None:
        """Any EDID, also a broken one; the kernel checks its header, not its sum."""
        self.unplug()
        self.station.put("/run/lab.edid", block)
        self.station.run(f"cat /run/lab.edid > {_OVERRIDE}")
        self.plug()

    def unplug(self) -> None:
        self._resize(0, 0)
        self.station.wait_for(f"grep -qx disconnected {_CONNECTOR}/status", "the screen to be gone")

    def plug(self) -> None:
        self._resize(*self._size)
        self.station.wait_for(f"grep -qx connected {_CONNECTOR}/status", "the screen to be there")

    def force_off(self) -> None:
        """The connector is switched off by software: gone, without a kernel event."""
        self.station.run(f"echo off > {_CONNECTOR}/status")

    def _resize(self, width: int, height: int) -> None:
        """virtio-gpu uses its VNC window's size as its monitor's, 0 x 0 for a pulled cable (RFB's SetDesktopSize)."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(str(self.station.machine.folder / "vnc"))
            reader = line.makefile("rb")
            reader.read(12)
            line.sendall(b"RFB 003.008\n")
            reader.read(reader.read(1)[0])
            line.sendall(b"\x01")  # no security
            reader.read(4)
            line.sendall(b"\x01")  # shared
            now = struct.unpack(">HH", reader.read(4))
            reader.read(16)
            reader.read(struct.unpack(">I", reader.read(4))[0])
            line.sendall(struct.pack(">BxHii", 2, 2, 0, -308))  # we understand raw and ExtendedDesktopSize
            line.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, 1, 1))
            # 0 x 0 is not accepted before another size was set
            for wide, high in [now, (width, height)] if not width else [(width, height)]:
                line.sendall(struct.pack(">BxHHBxIHHHHI", 251, wide, high, 1, 1, 0, 0, wide, high, 0))
                time.sleep(0.3)


def _twelve_bits(first: int, second: int) -> tuple[int, int, int]:
    return first & 255, second & 255, first >> 8 << 4 | second >> 8


def _text(tag: int, text: str) -> bytes:
    return bytes((0, 0, 0, tag, 0)) + (text[:13] + "\n" * (len(text) < 13)).ljust(13).encode()
