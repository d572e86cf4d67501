"""Room that is held for the day on which the disk is full: two small files beside the outbox, given back to it then.

Also deleting needs room (SQLite writes what it changes before it lets go), and opening a file needs two inodes. Where other
programs have taken the last block, these give the outbox enough for some thousand captures and for its own clearing up.
"""

import contextlib
import os
from pathlib import Path

FILES = 2
FILE_BYTES = 512 << 10
MIN_FREE_BYTES = 8 << 20  # it is taken only where this much stays for others


def allocate(outbox: Path) -> bool:
    """Take what is missing of it, where the disk has room. Gives whether all of it is held."""
    for path in _paths(outbox):
        if path.exists():
            continue
        try:
            room = os.statvfs(path.parent)
            if room.f_bavail * room.f_frsize < MIN_FREE_BYTES + FILE_BYTES:
                return False
            with path.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, FILE_BYTES)  # blocks, without writing them to the flash
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            return False
    return True


def free(outbox: Path) -> bool:
    """Give it back to the disk. False where there was none."""
    released = False
    for path in _paths(outbox):
        with contextlib.suppress(OSError):
            path.unlink()
            released = True
    return released


def _paths(outbox: Path) -> list[Path]:
    return [outbox.with_name(f"{outbox.name}.reserve-{n}") for n in range(1, FILES + 1)]
