"""The hardware's fingerprint: tells two terminals apart that were cloned from one disk.

Only what stays with the machine and does not come and go with a plug: permanent MAC addresses of built-in network devices,
serial numbers of built-in disks, DMI identities where they may be read. Hashed: serial numbers do not leave the terminal.
"""

import hashlib
from pathlib import Path


def fingerprint(root: Path = Path("/")) -> str:
    """12 hex digits; the same for a machine as long as its parts are the same."""
    parts = sorted({*_mac_addresses(root), *_disk_serials(root), *_dmi(root)})
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _mac_addresses(root: Path) -> list[str]:
    found: list[str] = []
    for card in sorted((root / "sys/class/net").glob("*")):
        permanent = _text(card / "addr_assign_type") == "0"  # NET_ADDR_PERM
        if permanent and (card / "device").exists() and not _is_usb(card / "device"):
            found.append(f"mac {_text(card / 'address')}")
    return found


def _disk_serials(root: Path) -> list[str]:
    found: list[str] = []
    for disk in sorted((root / "sys/block").glob("*")):
        if (disk / "device").exists() and not _is_usb(disk / "device"):
            for name in ("device/serial", "device/cid", "device/wwid", "serial"):
                if serial := _text(disk / name):
                    found.append(f"disk {serial}")
                    break
    return found


def _dmi(root: Path) -> list[str]:
    """Only what everybody may read: as root there would be more, and another fingerprint."""
    files = [root / "sys/class/dmi/id" / name for name in ("product_uuid", "product_serial", "board_serial")]
    return [f"{file.name} {text}" for file in files if _is_public(file) and (text := _text(file))]


def _is_public(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & 0o004)
    except OSError:
        return False


def _is_usb(device: Path) -> bool:
    return "/usb" in str(device.resolve())


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
