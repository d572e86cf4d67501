"""Mounted file systems: which of them are read-only, and how much space they have left."""

import os
from pathlib import Path
from typing import NamedTuple

from drivers.reading import Evidence, Scalar
from drivers.terminal.part import Finding, Part, text

_READ_ONLY_BY_NATURE = frozenset({"squashfs", "erofs", "iso9660", "cramfs", "romfs"})
# Full: no update, no log, soon no database. The daemon's own store may hold 90 days of captures, journald and apt need
# tens to hundreds of MB; the share keeps a small partition from counting as full all the time.
FULL_SHARE, NEARLY_SHARE = 0.02, 0.10
_INODES_FULL_PERCENT, _INODES_NEARLY_PERCENT = 1, 5


class Mount(NamedTuple):
    """One line of /proc/self/mountinfo (proc(5))."""

    folder: str
    kind: str  # ext4, overlay, ...
    mount_options: frozenset[str]
    super_options: frozenset[str]

    @property
    def read_only(self) -> bool:
        """The file system itself, not only this mount of it, is read-only.

        A service's own sandbox (ProtectSystem=strict) mounts a writable system read-only for that service only: this
        is in the mount options, a remount after errors is in the super options. Newer kernels leave `rw` there and
        add `emergency_ro` or `shutdown` (ext4).
        """
        return bool(self.super_options & {"ro", "emergency_ro", "shutdown"})


def mounts(root: Path) -> list[Mount]:
    """All mounts of this process; without mountinfo from /proc/mounts, which lists both kinds of options together."""
    lines = (text(root / "proc/self/mountinfo") or "").splitlines()
    if lines:
        return [mount for mount in map(_from_mountinfo, lines) if mount]
    words = [line.split() for line in (text(root / "proc/mounts") or "").splitlines()]
    return [Mount(w[1], w[2], frozenset(w[3].split(",")), frozenset(w[3].split(","))) for w in words if len(w) >= 4]


def _from_mountinfo(line: str) -> Mount | None:
    left, _, right = line.partition(" - ")
    before, after = left.split(), right.split()
    if len(before) < 6 or len(after) < 3:
        return None
    return Mount(before[4], after[0], frozenset(before[5].split(",")), frozenset(after[2].split(",")))


def mount_of(folder: str, mounted: list[Mount]) -> Mount | None:
    """The mount that contains a folder: the longest path, and of several at one path the last (it covers the others)."""
    holding = [m for m in mounted if m.folder == "/" or folder == m.folder or folder.startswith(m.folder + "/")]
    longest = max((len(m.folder) for m in holding), default=0)
    return next((m for m in reversed(holding) if len(m.folder) == longest), None)


def writable(folders: list[str], mounted: list[Mount], read_only_meant: bool) -> Part:
    """Read-only file systems under the folders; a root that is read-only by design is named in the evidence only."""
    part = Part()
    for mount in dict.fromkeys(mount for folder in folders if (mount := mount_of(folder, mounted))):
        shown = {
            "type": mount.kind,
            "mount": "ro" if "ro" in mount.mount_options else "rw",
            "super": sorted(mount.super_options & {"ro", "rw", "emergency_ro", "shutdown"}),
        }
        part.evidence.append(Evidence("mount", f"/proc/self/mountinfo {mount.folder}", shown))
        meant = mount.kind in _READ_ONLY_BY_NATURE or (read_only_meant and mount.folder == "/")
        if mount.read_only and not meant and not part.findings:
            part.findings.append(Finding("read_only", {"folder": mount.folder}))
    return part


class Space(NamedTuple):
    """Result of statvfs(3), for an unprivileged process."""

    folder: str
    size_mb: int  # MB are 10^6 bytes
    free_mb: int
    inodes_free_percent: int | None  # None if the file system has no fixed number (btrfs)


def space(root: Path, folder: str) -> Space | None:
    """Space of the file system that contains the folder; None if it does not exist."""
    try:
        found = os.statvfs(root / folder.lstrip("/"))
    except OSError:
        return None
    inodes = 100 * found.f_favail // found.f_files if found.f_files else None
    return Space(
        folder,
        found.f_blocks * found.f_frsize // 1_000_000,
        found.f_bavail * found.f_frsize // 1_000_000,
        inodes,
    )


def fullness(name: str, of: Space, full_mb: int, nearly_mb: int) -> Part:
    """Full and nearly full: below `full_mb` and `nearly_mb` or, on a small file system, below 2 % and 10 % of it."""
    measures: dict[str, Scalar] = {
        f"{name}_size_mb": of.size_mb,
        f"{name}_free_mb": of.free_mb,
        f"{name}_inodes_free_percent": of.inodes_free_percent,
    }
    inodes = 100 if of.inodes_free_percent is None else of.inodes_free_percent
    params: dict[str, str | int | float] = {"folder": of.folder, "free_mb": of.free_mb, "inodes_free_percent": inodes}
    findings: list[Finding] = []
    if of.size_mb and (of.free_mb < min(full_mb, FULL_SHARE * of.size_mb) or inodes < _INODES_FULL_PERCENT):
        findings.append(Finding("disk_full", params))
    elif of.size_mb and (of.free_mb < min(nearly_mb, NEARLY_SHARE * of.size_mb) or inodes < _INODES_NEARLY_PERCENT):
        findings.append(Finding("disk_nearly_full", params))
    return Part(measures, [Evidence("statvfs", of.folder, of._asdict())], findings)
