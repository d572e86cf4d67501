"""The disks below the file systems: wear, state and recorded errors that sysfs shows without root."""

import re
from pathlib import Path

from drivers.reading import Evidence, Scalar
from drivers.terminal.part import Finding, Part, as_int, exists, number, text

_WORN_FROM = 0x08  # JESD84-B51: 0x08 = 70-80 % of the life used, 0x0A = 90-100 %, 0x0B = exceeded
_PRE_EOL_WARNING = 2  # 1 normal, 2 warning (80 % of the reserved blocks used), 3 urgent
_DEAD = frozenset({"offline", "transport-offline", "dead"})  # SCSI device states; NVMe controller states
_NEEDS_ROOT = "not readable without root"


def disks(root: Path) -> Part:
    """All fixed disks (eMMC, NVMe, SATA); removable sticks and cards are not part of the terminal."""
    part = Part()
    lives: list[int] = []
    for disk in sorted((root / "sys/block").glob("*")):
        if re.fullmatch(r"mmcblk\d+", disk.name) and exists(disk / "device/life_time"):
            lives += _emmc(disk, part)
        elif disk.name.startswith(("nvme", "sd")) and text(disk / "removable") == "0":
            _disk_state(disk, part)
    if lives:
        part.measures["disk_life_used_percent"] = max(lives)
    return part


def _emmc(disk: Path, part: Part) -> list[int]:
    """`0x01 0x02`: both memory types in steps of 10 %; the upper limit of the step is used, which the register proves."""
    words = (text(disk / "device/life_time") or "").split()
    steps = [step for word in words if (step := as_int(word)) is not None and 1 <= step <= 0x0B]
    pre_eol = number(disk / "device/pre_eol_info")
    raw = {"life_time": " ".join(words), "pre_eol_info": pre_eol, "name": text(disk / "device/name")}
    part.evidence.append(Evidence("eMMC registers", f"/sys/block/{disk.name}/device", raw))
    if max(steps, default=0) >= _WORN_FROM or (pre_eol or 0) >= _PRE_EOL_WARNING:
        used = min(max(steps, default=0) * 10, 100)
        part.findings.append(Finding("disk_worn", {"disk": disk.name, "used_percent": used, "pre_eol": pre_eol or 0}))
    return [step * 10 for step in steps]


def _disk_state(disk: Path, part: Part) -> None:
    state = text(disk / "device/state")
    raw: dict[str, Scalar] = {"model": text(disk / "device/model"), "state": state, "wear": _NEEDS_ROOT}
    errors = number(disk / "device/ioerr_cnt")
    if errors is not None:
        raw["ioerr_cnt"] = errors  # also counts commands that the disk does not support: evidence, not a finding
    part.evidence.append(Evidence("disk", f"/sys/block/{disk.name}/device", raw))
    if state in _DEAD:
        part.findings.append(Finding("disk_failed", {"disk": disk.name, "state": state}))


def file_system_errors(root: Path) -> Part:
    """`errors_count` of every mounted ext4 (Documentation/admin-guide/ext4): kept in the superblock until fsck clears it."""
    part = Part()
    total: int | None = None
    for file_system in sorted((root / "sys/fs/ext4").glob("*")):
        errors = number(file_system / "errors_count")
        if errors is None:
            continue
        total = (total or 0) + errors
        if errors:
            raw = {"errors_count": errors, "last_error_func": text(file_system / "last_error_func")}
            part.evidence.append(Evidence("ext4", f"/sys/fs/ext4/{file_system.name}", raw))
            part.findings.append(Finding("file_system_errors", {"disk": file_system.name, "errors": errors}))
    if total is not None:
        part.measures["ext4_errors"] = total
    if total == 0:
        part.evidence.append(Evidence("ext4", "/sys/fs/ext4/*/errors_count", 0))
    return part
