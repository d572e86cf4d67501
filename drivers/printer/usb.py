"""USB printers in sysfs (kernel Documentation/ABI/testing/sysfs-bus-usb): the device itself, never /dev/usb/lp0.

`/dev/usb/lpN` and `ieee1284_id` belong to the kernel's usblp and disappear while CUPS prints (libusb claims the interface),
so a printer is present if there is a USB device with an interface of class 07.
"""

import re
from pathlib import Path
from typing import NamedTuple

_PRINTER, _IPP_OVER_USB = "07", "04"
_IDENTITY = re.compile(r"([0-9a-f]{4}):([0-9a-f]{4})(?::(.+))?", re.IGNORECASE)


class Interface(NamedTuple):
    """One interface with its current alternate setting."""

    number: int
    alternate: int
    kind: str  # class/subclass/protocol in hex: "07/01/02"
    driver: str  # usblp, usbfs (a program has claimed it), or empty
    lp: str  # "lp0" while usblp is bound
    device_id: str  # IEEE 1284 id while usblp is bound


class UsbPrinter(NamedTuple):
    """A USB device with a printer interface."""

    port: str  # "1-2": its port on the bus, the name in sysfs
    vendor: str
    product: str
    serial: str  # empty if it has none
    label: str
    bus: int
    device: int
    interfaces: tuple[Interface, ...]

    @property
    def identity(self) -> str:
        """Stable: `usb:232b:3a50:CK1A0001`; by its port if it has no serial number."""
        return f"usb:{self.vendor}:{self.product}:{self.serial or '@' + self.port}"

    @property
    def usb_address(self) -> tuple[int, int]:
        """Bus and device number: different after each plug, also at the same port."""
        return self.bus, self.device

    @property
    def printing(self) -> Interface | None:
        """The interface that classic printing uses (protocols 1 to 3); None if there is IPP over USB only."""
        kinds = ("07/01/02", "07/01/03", "07/01/01")
        classic = [interface for interface in self.interfaces if interface.kind in kinds]
        return min(classic, key=lambda interface: kinds.index(interface.kind), default=None)

    @property
    def speaks_ipp(self) -> bool:
        """IPP over USB (class 07/01/04): ipp-usb can serve it on localhost."""
        return any(interface.kind == f"{_PRINTER}/01/{_IPP_OVER_USB}" for interface in self.interfaces)

    def matches(self, wanted: str) -> bool:
        """Does it match the option: `auto`, `VID:PID` or `VID:PID:SERIAL` (`@1-2` for a port)."""
        match = _IDENTITY.fullmatch(wanted)
        if match is None:
            return True
        vendor, product, serial = match[1].lower(), match[2].lower(), match[3]
        return (self.vendor, self.product) == (vendor, product) and serial in (None, self.serial, f"@{self.port}")


def usb_printers(root: Path) -> list[UsbPrinter]:
    """All USB printers of this machine, by identity. A device that is unplugged while it is read is left out."""
    found: list[UsbPrinter] = []
    for number in (root / "sys/bus/usb/devices").glob("*/bInterfaceClass"):
        if _text(number) == _PRINTER:
            device = number.parent.parent / number.parent.name.partition(":")[0]
            printer = _printer(device)
            if printer is not None and printer not in found:
                found.append(printer)
    return sorted(found, key=lambda printer: printer.identity)


def ipp_usb_ports(root: Path, printer: UsbPrinter) -> list[int]:
    """Ports where ipp-usb serves this printer on localhost: from its state file, else the first port of its range."""
    if not printer.speaks_ipp:
        return []
    prefix = f"{printer.vendor}-{printer.product}-" + re.sub(r"[^0-9A-Za-z_-]", "-", printer.serial)
    for path in sorted((root / "var/ipp-usb/dev").glob("*.state")):
        match = re.search(r"^\s*http-port\s*=\s*([0-9]{1,5})\s*$", _text(path), re.MULTILINE)
        if match and path.name.startswith(prefix) and 0 < int(match[1]) < 65536:
            return [int(match[1])]
    return [60000]


def _printer(device: Path) -> UsbPrinter | None:
    vendor, product = _text(device / "idVendor"), _text(device / "idProduct")
    bus, number = _text(device / "busnum"), _text(device / "devnum")
    if not (vendor and product and bus.isdecimal() and number.isdecimal()):
        return None
    names = sorted(path.parent.name for path in device.parent.glob(f"{device.name}:*/bInterfaceClass"))
    interfaces = (_interface(device.parent / name) for name in names)
    maker, name = _text(device / "manufacturer"), _text(device / "product")
    return UsbPrinter(
        port=device.name,
        vendor=vendor,
        product=product,
        serial=_text(device / "serial"),
        label=name if name.lower().startswith(maker.lower()) and name else f"{maker} {name}".strip(),
        bus=int(bus),
        device=int(number),
        interfaces=tuple(interfaces),
    )


def _interface(folder: Path) -> Interface:
    kind = "/".join(_text(folder / f"bInterface{part}") for part in ("Class", "SubClass", "Protocol"))
    driver = folder / "driver"
    lp = next((path.name for path in sorted(folder.glob("usbmisc/lp*"))), "")
    return Interface(
        number=_hex(folder / "bInterfaceNumber"),
        alternate=_hex(folder / "bAlternateSetting"),
        kind=kind,
        driver=driver.readlink().name if driver.is_symlink() else "",
        lp=lp,
        device_id=_text(folder / "ieee1284_id"),
    )


def _hex(path: Path) -> int:
    text = _text(path)
    return int(text, 16) if re.fullmatch(r"[0-9a-f]{1,2}", text) else 0


def _text(path: Path) -> str:
    """One small file, stripped; empty if it does not exist (any more)."""
    try:
        return path.read_bytes()[:4096].decode("utf-8", "replace").strip()
    except OSError:
        return ""
