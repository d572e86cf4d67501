"""Which node is the gun: every candidate of this machine, its stable identity, and which of them a table matches.

Read from sysfs alone: nothing is opened. A keyboard is a gun only if it is configured: a person may be typing on it. A gun
changes its USB product id with its mode, so it is identified by vendor and serial number, or by the USB port it is plugged into.
"""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from drivers.scan_gun.capture import Source

Likely: TypeAlias = Literal["gun", "maybe"]

# USB vendors that make guns; QinHeng (1a86) is left out, its chip is in many serial cables.
MAKERS = {
    "05e0": "Symbol/Zebra", "05f9": "Datalogic", "065a": "Opticon", "0536": "Hand Held Products", "0c2e": "Honeywell",
    "1eab": "Newland", "1fbb": "Cino", "23d0": "Champtek", "24ea": "Mindeo", "27dd": "Mindeo", "2745": "Unitech",
}  # fmt: skip
_NAME_HINTS = (
    "barcode",
    "bar code",
    "scanner",
    "scan gun",
    "扫码",
    "扫描枪",
    "honeywell",
    "newland",
    "symbol",
    "datalogic",
)
_NEWLAND = "1eab"

PASS_THROUGH_NAME = "yinong-agent pass-through"  # name and phys of our own virtual keyboards, which are never read

# Keys that a gun needs and a power button or remote control lacks: letters, digits, Enter (linux/input-event-codes.h).
_TYPING = sum(1 << code for code in (*range(2, 12), *range(16, 26), 28, *range(30, 39), *range(44, 51)))

_WORD_BITS = 8 * struct.calcsize("L")


class Candidate(NamedTuple):
    """One device node that may belong to a gun."""

    source: Source
    node: Path
    name: str
    vendor: str = ""  # four hex digits
    product: str = ""
    serial: str = ""
    usb_port: str = ""  # as sysfs names the port: 1-2.4
    likely: Likely = "maybe"

    @property
    def identity(self) -> str:
        """Stable: the product id is left out because it changes with the gun's mode."""
        if self.vendor and self.serial:
            return f"usb:{self.vendor}:{self.serial}"
        return f"usb:{self.vendor}@{self.usb_port}" if self.vendor else f"node:{self.node}"

    @property
    def usb(self) -> str:
        """In the form of the option `usb`."""
        return ":".join(part for part in (self.vendor, self.product, self.serial) if part)


def candidates(root: Path, source: Source | None = None) -> list[Candidate]:
    """Keyboards, USB serial ports and HID POS nodes of this machine, or those of one source; likely guns first."""
    found = [
        candidate for face, listed in _LISTED_BY_SOURCE.items() if source in (None, face) for candidate in listed(root)
    ]
    preferred = list(_LISTED_BY_SOURCE)
    return sorted(found, key=lambda c: (c.likely, c.usb_port, preferred.index(c.source), str(c.node)))


def at_path(root: Path, path: str, source: Source | None) -> Candidate | None:
    """The node behind a configured path (also a by-id or by-path link, or a pseudo-terminal); None if there is none."""
    node = root / path.lstrip("/")
    try:
        real = node.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    if _is_ours(root / "sys/class/input" / real.name / "device"):
        return None
    for known in candidates(root, source):
        if known.node.name == real.name:
            return known._replace(node=node)
    kind = "evdev" if real.name.startswith("event") else "hidpos" if real.name.startswith("hidraw") else "serial"
    return Candidate(source or kind, node, real.name)


def matching(found: list[Candidate], usb: str, usb_port: str) -> list[Candidate]:
    """The candidates that a table matches; several if it is not specific enough."""
    vendor, product, serial = (*usb.lower().split(":", 2), "", "", "")[:3]
    serial = usb.split(":", 2)[2] if usb.count(":") > 1 else serial
    fits = [
        c
        for c in found
        if (not usb_port or c.usb_port == usb_port)
        and (not vendor or c.vendor == vendor)
        and (not serial or c.serial == serial)
    ]
    exact = [c for c in fits if not product or c.product == product]
    if exact or serial:
        return exact or fits  # the serial number identifies the gun: another product id is another mode of it
    return [
        c for c in fits if vendor == _NEWLAND and c.product[:2] == product[:2]
    ]  # Newland: the last byte is the mode


def one_gun(found: list[Candidate]) -> bool:
    """All are interfaces of one USB device."""
    return len({(c.identity, c.usb_port) for c in found}) == 1


def _keyboards(root: Path) -> list[Candidate]:
    found: list[Candidate] = []
    for entry in _listed(root / "sys/class/input", "event"):
        device = entry / "device"
        words = _text(device / "capabilities/key").split()
        keys = sum(int(word, 16) << (_WORD_BITS * i) for i, word in enumerate(reversed(words)) if _is_hex(word))
        if keys & _TYPING == _TYPING and not _is_ours(device):
            found.append(_candidate("evdev", root / "dev/input" / entry.name, device, _text(device / "name")))
    return found


def _serial_ports(root: Path) -> list[Candidate]:
    return [
        _candidate("serial", root / "dev" / entry.name, entry / "device", "")
        for prefix in ("ttyACM", "ttyUSB")
        for entry in _listed(root / "sys/class/tty", prefix)
    ]


def _hidpos(root: Path) -> list[Candidate]:
    found: list[Candidate] = []
    for entry in _listed(root / "sys/class/hidraw", "hidraw"):
        device = entry / "device"
        try:
            descriptor = (device / "report_descriptor").read_bytes()
        except OSError:
            continue
        if descriptor.startswith(b"\x05\x8c") or b"\xc0\x05\x8c\x09" in descriptor:  # top-level usage page 0x8C
            name = next((n[9:] for n in _text(device / "uevent").split("\n") if n.startswith("HID_NAME=")), "")
            found.append(_candidate("hidpos", root / "dev" / entry.name, device, name)._replace(likely="gun"))
    return found


# If one gun has several interfaces, the first source is preferred.
_LISTED_BY_SOURCE: dict[Source, Callable[[Path], list[Candidate]]] = {
    "serial": _serial_ports, "evdev": _keyboards, "hidpos": _hidpos
}  # fmt: skip


def _is_ours(device: Path) -> bool:
    return _text(device / "phys") == PASS_THROUGH_NAME or _text(device / "name").startswith(PASS_THROUGH_NAME)


def _candidate(source: Source, node: Path, device: Path, name: str) -> Candidate:
    usb = _usb_device(device)
    if usb is None:
        return Candidate(source, node, name, likely="gun" if _sounds_like_a_gun(name) else "maybe")
    vendor = _text(usb / "idVendor").lower()
    label = name or " ".join(part for part in (_text(usb / "manufacturer"), _text(usb / "product")) if part)
    gun = vendor in MAKERS or _sounds_like_a_gun(label)
    return Candidate(
        source,
        node,
        label,
        vendor,
        _text(usb / "idProduct").lower(),
        _text(usb / "serial"),
        usb.name,
        "gun" if gun else "maybe",
    )


def _usb_device(device: Path) -> Path | None:
    """The USB device that is the parent of a class device."""
    try:
        at = os.path.realpath(device, strict=True)
    except OSError:
        return None
    while not os.path.exists(f"{at}/idVendor"):  # noqa: PTH110 - each gun checks all nodes at every hotplug event
        above = os.path.dirname(at)  # noqa: PTH120
        if above == at:
            return None
        at = above
    return Path(at)


def _sounds_like_a_gun(name: str) -> bool:
    return any(word in name.lower() for word in _NAME_HINTS)


def _listed(folder: Path, prefix: str) -> list[Path]:
    try:
        return sorted((p for p in folder.iterdir() if p.name.startswith(prefix)), key=lambda p: (len(p.name), p.name))
    except OSError:
        return []


def _is_hex(word: str) -> bool:
    return bool(word) and all(c in "0123456789abcdef" for c in word)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        return ""
