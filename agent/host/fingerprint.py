"""The hardware's fingerprint and its parts: they distinguish terminals that were cloned from one disk.

Only what stays with the machine and does not come and go with a plug: permanent MAC addresses of built-in network devices,
serial numbers of built-in disks, DMI identities if they may be read. Hashed: serial numbers do not leave the terminal.
The fingerprint names a terminal; its parts decide whether it is the same one (`agent.outbox.hardware`).
"""

import hashlib
from pathlib import Path

UNPROGRAMMED_MACS = frozenset({"88:88:88:88:87:88", "00:e0:4c:00:00:00", "00:e0:4c:00:00:01", "00:e0:4c:68:00:01"})
FILLERS = frozenset(  # what makers leave in place of a number, in lower case
    {
        "to be filled by o.e.m.", "to be filled by oem", "default string", "system serial number", "serial number",
        "base board serial number", "baseboard serial number", "not specified", "not applicable", "not available",
        "unknown", "none", "n/a", "na", "oem", "o.e.m.", "invalid", "empty", "123456789", "0123456789", "1234567890",
        "03000200-0400-0500-0006-000700080009",
    }
)  # fmt: skip


def fingerprint(root: Path = Path("/")) -> str:
    """12 hex digits; the same for a machine as long as exactly the same parts can be read."""
    found = sorted({*_mac_addresses(root), *_disk_serials(root), *_dmi(root)})
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:12]


def parts(root: Path = Path("/")) -> frozenset[str]:
    """The parts that can be read now and are unique in the world: `mac 1f2e3d4c`, `disk …`, `board …`, with a short hash each.

    Without addresses that the card's maker did not assign (random, virtual), and without fillers in place of a number.
    """
    found = [
        *(("mac", mac) for mac in _mac_addresses(root) if _is_the_makers(mac.removeprefix("mac "))),
        *(("disk", disk) for disk in _disk_serials(root) if not _is_filler(disk.removeprefix("disk "))),
        *(("board", dmi) for dmi in _dmi(root) if not _is_filler(dmi.partition(" ")[2])),
    ]
    return frozenset(f"{kind} {hashlib.sha256(text.encode()).hexdigest()[:8]}" for kind, text in found)


def _is_the_makers(mac: str) -> bool:
    """Universally administered, of one card (IEEE 802: the two lowest bits of the first byte), and not an unprogrammed one."""
    try:
        octets = bytes.fromhex(mac.replace(":", ""))
    except ValueError:
        return False
    return len(octets) == 6 and not octets[0] & 0b11 and any(octets) and mac.lower() not in UNPROGRAMMED_MACS


def _is_filler(number: str) -> bool:
    """A known filler, or one character repeated: 00000000, FFFFFFFF-FFFF-…, xxxxxxxx."""
    bare = {character for character in number.lower() if character.isalnum()}
    return len(bare) <= 1 or number.lower() in FILLERS


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
    """Only files that everybody may read: root could read more, and would get another fingerprint."""
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
