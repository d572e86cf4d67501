"""Video4Linux2 by plain ioctls: the capabilities of a node, and a few raw frames from it. Standard library only.

Layouts and numbers: linux/videodev2.h (kernel documentation, "Part I - Video for Linux API"). Native alignment (`@`) is the
kernel's own layout for a 64-bit process and for a 32-bit one with 32-bit time (`struct v4l2_buffer` of 88 and of 68 bytes);
checked against the C compiler for x86-64 and i386.
"""

import contextlib
import fcntl
import mmap
import os
import select
import struct
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, TypeVar

_Data = TypeVar("_Data", bytes, bytearray)

_CAPABILITY = struct.Struct("@16s32s32sIII3I")
_FMTDESC = struct.Struct("@III32s4s4I")
_FORMAT = struct.Struct("@I0L200s0L")
_PIX = struct.Struct("@II4sIII")  # the beginning of the union: width, height, fourcc, field, bytesperline, sizeimage
_REQUESTBUFFERS = struct.Struct("@5I")
_BUFFER = struct.Struct("@5I2l2I8B2IL3I0L")


def _ioc(direction: int, number: int, size: int) -> int:
    """_IOC of asm-generic/ioctl.h with type 'V' (read 2, write 1); alpha, mips, powerpc and sparc number otherwise."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


QUERYCAP = _ioc(2, 0, _CAPABILITY.size)
ENUM_FMT = _ioc(3, 2, _FMTDESC.size)
G_FMT = _ioc(3, 4, _FORMAT.size)
S_FMT = _ioc(3, 5, _FORMAT.size)
REQBUFS = _ioc(3, 8, _REQUESTBUFFERS.size)
QUERYBUF = _ioc(3, 9, _BUFFER.size)
QBUF = _ioc(3, 15, _BUFFER.size)
DQBUF = _ioc(3, 17, _BUFFER.size)
STREAMON = _ioc(1, 18, 4)
STREAMOFF = _ioc(1, 19, 4)

_CAP_DEVICE_CAPS = 0x8000_0000
_CAP_CAPTURE = 0x0000_0001
_CAP_CAPTURE_MPLANE = 0x0000_1000
_CAP_READWRITE = 0x0100_0000
_CAP_STREAMING = 0x0400_0000
# Nodes that also report "capture" and are not cameras: output, VBI, sliced VBI, memory-to-memory, metadata, touch.
_CAP_OTHER = 0x2 | 0x10 | 0x40 | 0x4000 | 0x8000 | 0x0080_0000 | 0x1000_0000

# Position of the brightness samples: bytes from one pixel's sample to the next, and offset of the first (linux/videodev2.h).
LUMA = {
    "YUYV": (2, 0), "YVYU": (2, 0), "UYVY": (2, 1), "VYUY": (2, 1),
    "NV12": (1, 0), "NV21": (1, 0), "NV16": (1, 0), "NV61": (1, 0),
    "YU12": (1, 0), "YV12": (1, 0), "422P": (1, 0), "GREY": (1, 0),
}  # fmt: skip

_TYPE_CAPTURE = 1
_MEMORY_MMAP = 1
_FLAG_ERROR = 0x40
_BUFFERS = 4
_MAX_WAKES = 5  # limit for a node that reports 'ready' and returns nothing


class Capability(NamedTuple):
    """What a node reports about itself."""

    driver: str
    card: str
    bus: str
    caps: int  # of this node (`device_caps`), not of the whole device

    @property
    def is_camera(self) -> bool:
        """Single-planar video capture that can deliver frames; not metadata, touch, VBI and codec nodes."""
        delivers = self.caps & (_CAP_STREAMING | _CAP_READWRITE)
        return bool(self.caps & _CAP_CAPTURE and delivers and not self.caps & _CAP_OTHER)

    @property
    def is_multiplanar(self) -> bool:
        """A capture node of the multi-planar interface (cameras on a chip's own camera port), which is not supported here."""
        return bool(self.caps & _CAP_CAPTURE_MPLANE and not self.caps & _CAP_OTHER)

    @property
    def streams(self) -> bool:
        return bool(self.caps & _CAP_STREAMING)


class Format(NamedTuple):
    """The picture format in force."""

    fourcc: str
    width: int
    height: int
    line_bytes: int
    image_bytes: int


class Frame(NamedTuple):
    """One frame in the device's own buffer: valid until the next one is requested."""

    data: memoryview
    sequence: int | None  # the driver's count; None if frames are read, not streamed
    time_us: int  # monotonic, of the driver; 0 if frames are read
    damaged: bool


class NoFrame(Exception):  # noqa: N818
    """The device delivered no frame in time."""


class Camera:
    """An open node. Every call may raise OSError with the driver's errno; `close` (or `with`) releases everything."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._maps: list[mmap.mmap] = []
        self._streaming = False
        self._dequeued: int | None = None
        self._view = memoryview(b"")

    def __enter__(self) -> "Camera":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._streaming:
            with contextlib.suppress(OSError):  # gone already
                self._ioctl(STREAMOFF, bytearray(struct.pack("@i", _TYPE_CAPTURE)))
        self._view.release()  # a mapping with a live view keeps the camera busy, also for ourselves
        for mapped in self._maps:
            mapped.close()
        os.close(self._fd)

    def capability(self) -> Capability:
        driver, card, bus, _, caps, own, *_ = _CAPABILITY.unpack(self._ioctl(QUERYCAP, bytearray(_CAPABILITY.size)))
        return Capability(_text(driver), _text(card), _text(bus), own if caps & _CAP_DEVICE_CAPS else caps)

    def formats(self) -> list[str]:
        """Four-character codes of the formats on offer; EINVAL ends the list."""
        found: list[str] = []
        with contextlib.suppress(OSError):
            for index in range(64):
                asked = bytearray(_FMTDESC.pack(index, _TYPE_CAPTURE, 0, b"", b"", 0, 0, 0, 0))
                found.append(_text(_FMTDESC.unpack(self._ioctl(ENUM_FMT, asked))[4]))
        return found

    def format(self) -> Format:
        """The format in force."""
        return _format(self._ioctl(G_FMT, bytearray(_FORMAT.pack(_TYPE_CAPTURE, b""))))

    def set_format(self, fourcc: str, width: int, height: int) -> Format:
        """Request a format; the driver sets the nearest it supports. EBUSY: another program is streaming."""
        pix = _PIX.pack(width, height, fourcc.encode("latin-1").ljust(4), 1, 0, 0)  # field 1: progressive
        return _format(self._ioctl(S_FMT, bytearray(_FORMAT.pack(_TYPE_CAPTURE, pix))))

    def stream(self) -> None:
        """Set up memory-mapped buffers and start. EBUSY: another program is streaming; ENOSPC: no USB bandwidth left."""
        asked = bytearray(_REQUESTBUFFERS.pack(_BUFFERS, _TYPE_CAPTURE, _MEMORY_MMAP, 0, 0))
        granted = _REQUESTBUFFERS.unpack(self._ioctl(REQBUFS, asked))[0]
        for index in range(granted):
            fields = _BUFFER.unpack(self._ioctl(QUERYBUF, _buffer(index)))
            offset, length = fields[19], fields[20]
            self._maps.append(mmap.mmap(self._fd, length, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset))
            self._ioctl(QBUF, _buffer(index))
        self._ioctl(STREAMON, bytearray(struct.pack("@i", _TYPE_CAPTURE)))
        self._streaming = True

    def frame(self, timeout_s: float) -> Frame:
        """The next streamed frame; the previous one is returned to the driver. Raises NoFrame after `timeout_s`."""
        self._view.release()
        if self._dequeued is not None:
            self._ioctl(QBUF, _buffer(self._dequeued))
            self._dequeued = None
        fields = _BUFFER.unpack(self._wait_for(lambda: self._ioctl(DQBUF, _buffer(0)), timeout_s))
        used, flags, second, microsecond, sequence = *fields[2:4], *fields[5:7], fields[17]
        self._dequeued = index = int(fields[0])
        self._view = memoryview(self._maps[index])[: int(used)]
        return Frame(self._view, sequence, second * 1_000_000 + microsecond, bool(flags & _FLAG_ERROR))

    def read_frame(self, timeout_s: float, image_bytes: int) -> Frame:
        """The next frame by read(2), for nodes that do not stream."""
        data = self._wait_for(lambda: os.read(self._fd, image_bytes), timeout_s)
        return Frame(memoryview(data), None, 0, False)

    def _wait_for(self, read: Callable[[], _Data], timeout_s: float) -> _Data:
        for _ in range(_MAX_WAKES):
            if not select.select([self._fd], [], [], timeout_s)[0]:
                break
            with contextlib.suppress(BlockingIOError):  # spurious wake-up
                return read()
        raise NoFrame

    def _ioctl(self, request: int, argument: bytearray) -> bytearray:
        fcntl.ioctl(self._fd, request, argument, True)
        return argument


def _buffer(index: int) -> bytearray:
    fields = [0] * 23
    fields[0], fields[1], fields[18] = index, _TYPE_CAPTURE, _MEMORY_MMAP
    return bytearray(_BUFFER.pack(*fields))


def _format(answer: bytearray) -> Format:
    width, height, fourcc, _, line_bytes, image_bytes = _PIX.unpack_from(_FORMAT.unpack(answer)[1])
    return Format(_text(fourcc), width, height, line_bytes, image_bytes)


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace").rstrip()
