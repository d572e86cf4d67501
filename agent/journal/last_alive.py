"""The last-alive mark: a small file, overwritten in place, that records until when the station was powered (a keepalive file).

Two slots in two blocks, written alternately, each with its checksum: a power cut during a write costs one mark, never both.
Nothing is allocated after the file was created, so it works with a full disk, and a mark costs one 4 KiB block of flash
(`docs/decisions/0017-last-alive-mark.md`). It also stores the newest synchronised time: the lower bound for certificates.
"""

import contextlib
import os
import zlib
from pathlib import Path
from threading import Lock

import msgspec

from common.events import LastAlive

BLOCK = 4096
SLOT = 512  # used bytes of a block: one sector


class StoredMark(msgspec.Struct, frozen=True, kw_only=True, rename={"synced_s": "good_s"}):
    """The content of a slot."""

    number: int  # the higher one is newer
    alive: LastAlive
    synced_s: int | None  # newest synchronised wall time, in seconds since 1970


class LastAliveFile:
    """Synchronous: a write on slow flash may take half a second, so call it in a thread. Raises OSError."""

    def __init__(self, path: Path) -> None:
        """Create the file if it is missing. `previous` is the newest mark of an earlier run, or None."""
        self._busy, self._closed = Lock(), False
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            found = [self._read_slot(slot) for slot in (0, 1)]
            if os.fstat(self._file).st_size < 2 * BLOCK:
                # written, not only reserved: no block changes its state later
                os.pwrite(self._file, b"\0" * 2 * BLOCK, 0)
                os.fsync(self._file)
        except BaseException:
            os.close(self._file)
            raise
        self.previous = max((mark for mark in found if mark), key=lambda mark: mark.number, default=None)
        self._number = self.previous.number if self.previous else 0

    def write(self, alive: LastAlive, synced_s: int | None) -> None:
        """The mark is on the disk when this returns."""
        with self._busy:
            if self._closed:
                raise OSError("closed")
            self._write_slot(alive, synced_s)

    def close(self) -> None:
        """Waits for a running write."""
        with self._busy:
            if not self._closed:
                os.close(self._file)
            self._closed = True

    def _write_slot(self, alive: LastAlive, synced_s: int | None) -> None:
        number = self._number + 1
        body = msgspec.json.encode(StoredMark(number=number, alive=alive, synced_s=synced_s))
        slot = b"%08x %s" % (zlib.crc32(body), body)
        if len(slot) > SLOT:
            raise ValueError(f"a mark of {len(slot)} bytes")
        os.pwrite(self._file, slot.ljust(SLOT), number % 2 * BLOCK)
        os.fdatasync(self._file)
        self._number = number

    def _read_slot(self, slot: int) -> StoredMark | None:
        checksum, _, body = os.pread(self._file, SLOT, slot * BLOCK).rstrip(b" ").partition(b" ")
        with contextlib.suppress(ValueError, msgspec.MsgspecError):
            if int(checksum, 16) == zlib.crc32(body):
                return msgspec.json.decode(body, type=StoredMark)
        return None


def path_for(outbox: Path) -> Path:
    """The path of the file, next to the outbox."""
    return outbox.with_name(f"{outbox.name}.alive")
