"""USB devices of a station and their identities: vendor and product numbers of real makes."""

import base64
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lab.station import Station


class Identity(NamedTuple):
    """The identity of a device; the names are those of configfs."""

    idVendor: str  # noqa: N815
    idProduct: str  # noqa: N815
    manufacturer: str
    product: str
    serialnumber: str = ""

    @property
    def vendor_product(self) -> str:
        return f"{self.idVendor[2:]}:{self.idProduct[2:]}"


HONEYWELL_KEYBOARD = Identity("0x0c2e", "0x0b61", "Honeywell Imaging & Mobility", "1900", "19123B0001")
SYMBOL_KEYBOARD = Identity("0x05e0", "0x1200", "Symbol Technologies, Inc, 2008", "Symbol Bar Code Scanner", "S00001")
# A make without serial numbers: two of its guns differ by their port only.
DATALOGIC_KEYBOARD = Identity("0x05f9", "0x221c", "Datalogic ADC, Inc.", "Handheld Barcode Scanner")
NEWLAND_CDC = Identity("0x1eab", "0x1a06", "Newland Auto-ID", "NLS-HR22 CDC", "HR22-0001")
QEMU_FTDI = Identity("0x0403", "0x6001", "QEMU", "QEMU USB SERIAL", "FT4GUN01")  # its vendor and product are QEMU's own
HONEYWELL_POS = Identity("0x0c2e", "0x0b67", "Honeywell Imaging & Mobility", "1900", "19123B0002")
PANTUM_PRINTER = Identity("0x232b", "0x3a50", "Pantum", "M6760DW series", "CK1A0001")


def attributes(**values: int | bytes) -> dict[str, str]:
    """Attributes of a gadget's function in the form that the station's side expects."""
    texts = {name: value if isinstance(value, bytes) else str(value).encode() for name, value in values.items()}
    return {name: base64.b64encode(value).decode() for name, value in texts.items()}


def udev_takes_its_time(station: "Station") -> None:
    """From now on the node of each input device takes a second, as on a busy terminal."""
    slow = 'ACTION=="add", SUBSYSTEM=="input", KERNEL=="event*", PROGRAM="/bin/sleep 1"\n'
    station.put("/run/udev/rules.d/00-lab-slow.rules", slow)
    station.run("udevadm control --reload")


class Gadget:
    """A USB device made by the kernel's gadget drivers. It is plugged in when created."""

    function: str
    arrives: str  # below its sysfs folder: exists once the terminal's driver is bound

    def __init__(
        self, station: "Station", name: str, identity: Identity, port: int | None = None, **function: int | bytes
    ) -> None:
        self.station = station
        self.name = name
        self.identity = identity
        made = station.hand(
            "usb.create",
            name=name,
            function=self.function,
            ids=identity._asdict(),
            attributes=attributes(**function),
            port=port,
        )
        self.port: int = made["port"]
        self.node: str = made["node"]
        self.arrived()

    def unplug(self) -> None:
        """Unplug it, and wait for udev."""
        self.station.hand("usb.unplug", name=self.name)
        self.station.settle()

    def plug(self, port: int | None = None) -> None:
        """Plug it into that port, else into its previous one, and wait for udev."""
        self.port = self.station.hand("usb.plug", name=self.name, port=port)
        self.arrived()

    def remove(self) -> None:
        """Unplugged for good: another device may take its name and its port (the kernel has room for four HID gadgets)."""
        self.station.hand("usb.remove", name=self.name)
        self.station.settle()

    def arrived(self) -> str:
        """Wait for the terminal's driver and for udev; return the kernel's name of it: `event5`, `ttyACM0`, `lp0`."""
        return self.station.hand("udev.arrived", pattern=f"{self.sysfs}/{self.arrives}").rpartition("/")[2]

    @property
    def sysfs(self) -> str:
        """Its device file on the terminal, as a shell pattern."""
        return f"/sys/devices/platform/dummy_hcd.{self.port}/usb*/*-*"
