"""The terminal's disk with its faults: a slow flash that counts its flushes; a disk that is small, full or read-only.

with SmallDisk(tmp_path, megabytes=16) as disk: ...      # a real filesystem of its own; root is needed
environment = slow_flash(tmp_path, ms=500)                # for a process: every fsync and fdatasync takes 500 ms
"""

import errno
import os
import subprocess
from pathlib import Path
from types import TracebackType

import pytest

SOURCE = Path(__file__).with_name("flash.c")


def slow_flash(folder: Path, ms: int = 0) -> dict[str, str]:
    """The environment of a process whose flushes are slow, and counted in the file `flushes` of the folder."""
    library = folder / "flash.so"
    if not library.exists():
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "FLASH_MS": str(ms), "FLASH_LOG": str(folder / "flushes")}


def flushed(folder: Path) -> list[str]:
    """The names of the flushed files, in order."""
    return (folder / "flushes").read_text().split()


class SmallDisk:
    """A separate tmpfs: its blocks and inodes run out as on any disk (ENOSPC)."""

    def __init__(self, folder: Path, megabytes: int, inodes: int = 200) -> None:
        self.path = folder / "disk"
        self.path.mkdir()
        self._options = f"size={megabytes}m,nr_inodes={inodes}"

    def __enter__(self) -> "SmallDisk":
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", self._options, "small-disk", str(self.path)], capture_output=True, text=True
        )
        if mounted.returncode:
            pytest.skip(f"a disk of its own needs root: {mounted.stderr.strip()}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)

    @property
    def free_bytes(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, leave_bytes: int = 0) -> None:
        """Another program uses the free space."""
        with (self.path / "others").open("ab") as file:
            for size in (1 << 20, 64 << 10, 4096):
                try:
                    while self.free_bytes >= leave_bytes + size:
                        file.write(b"\0" * size)
                        file.flush()
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """The other program deletes its file."""
        (self.path / "others").unlink()

    def take_inodes(self, leave: int = 0) -> None:
        """Another program makes files until only `leave` inodes are free."""
        many = self.path / "many"
        many.mkdir(exist_ok=True)
        existing = len(list(many.iterdir()))
        for n in range(os.statvfs(self.path).f_favail - leave):
            (many / str(existing + n)).touch()

    def free_inodes(self) -> None:
        for file in (self.path / "many").iterdir():
            file.unlink()


class FailingDisk:
    """A separate ext4 that the kernel makes read-only under a running program, as after an error of the disk."""

    def __init__(self, folder: Path) -> None:
        self.path, self._image = folder / "failing", folder / "failing.img"
        self.path.mkdir()

    def __enter__(self) -> "FailingDisk":
        subprocess.run(["truncate", "-s", "64m", str(self._image)], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self._image)], check=True)
        self._mount()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)

    def fail(self) -> None:
        subprocess.run(["mount", "-o", "remount,abort", str(self.path)], check=True)

    def mend(self) -> None:
        """Repair it, as a restart of the machine does; no process may have it open."""
        subprocess.run(["umount", str(self.path)], check=True)
        subprocess.run(["e2fsck", "-p", str(self._image)], check=False, capture_output=True)
        self._mount()

    def _mount(self) -> None:
        options = ["mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.path)]
        mounted = subprocess.run(options, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"a disk of its own needs root and a loop device: {mounted.stderr.strip()}")
