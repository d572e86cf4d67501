"""Ballast files: disk space allocated for the day on which the disk is full, in two small files next to the outbox.

Deleting needs space too (SQLite writes what it changes before it frees pages), and opening a file needs two inodes. If other
programs have used the last block, freeing these files leaves the outbox enough for some thousand captures and for eviction.
"""

import contextlib
import os
from pathlib import Path

FILES = 2
FILE_BYTES = 512 << 10
MIN_FREE_BYTES = 8 << 20  # allocated only if this much stays free for others


def allocate(outbox: Path) -> bool:
    """Allocate the missing ballast files if the disk has space. Return whether all are allocated."""
    for path in _paths(outbox):
        if path.exists():
            continue
        try:
            disk = os.statvfs(path.parent)
            if disk.f_bavail * disk.f_frsize < MIN_FREE_BYTES + FILE_BYTES:
                return False
            with path.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, FILE_BYTES)  # blocks, without writing them to the flash
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            return False
    return True


def free(outbox: Path) -> bool:
    """Delete the ballast files. False if there were none."""
    freed = False
    for path in _paths(outbox):
        with contextlib.suppress(OSError):
            path.unlink()
            freed = True
    return freed


def _paths(outbox: Path) -> list[Path]:
    return [outbox.with_name(f"{outbox.name}.reserve-{n}") for n in range(1, FILES + 1)]
