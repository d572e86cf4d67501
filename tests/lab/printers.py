"""Printers: one on USB (printer class), one on the network (ippeveprinter), and CUPS queues on either."""

import base64
from typing import TYPE_CHECKING, Literal, TypeAlias

from lab import usb

if TYPE_CHECKING:
    from lab.station import Station

PortStatus: TypeAlias = Literal["ok", "paper out", "error", "offline", "paper out and error", "jam"]


class UsbPrinter(usb.Gadget):
    """A printer of USB printer class: /dev/usb/lp*, an IEEE 1284 id, a port status that can be set."""

    function = "printer"
    arrives = "*/usbmisc/lp*"

    def __init__(
        self,
        station: "Station",
        name: str = "printer",
        identity: usb.Identity = usb.PANTUM_PRINTER,
        device_id: str | None = None,
        port: int | None = None,
    ) -> None:
        own = f"MFG:{identity.manufacturer};MDL:{identity.product};CMD:GDI,PJL;CLS:PRINTER;SN:{identity.serialnumber};"
        self.device_id = device_id or own
        # f_printer (6.1) does not count the id's two length bytes, so the terminal would miss the last two characters
        super().__init__(station, name, identity, port, pnp_string=self.device_id.encode() + b"  ", q_len=10)
        self._file = f"/run/lab.{name}.received"
        station.hand("printer.start", name=name, received=self._file)

    @property
    def lp(self) -> str:
        return f"/dev/usb/{self.arrived()}"

    def shows(self, status: PortStatus) -> None:
        """The port status (GET_PORT_STATUS, LPGETSTATUS) from now on; in a jam it accepts no more data either."""
        self.station.hand("printer.show", name=self.name, status=status)

    def replies(self, data: bytes) -> None:
        """Bytes from the printer to the reader of /dev/usb/lp*."""
        self.station.hand("printer.reply", name=self.name, data=base64.b64encode(data).decode())

    def received(self) -> bytes:
        """All that was ever printed."""
        return self.station.get(self._file) if self.station.tried(f"test -e {self._file}").code == 0 else b""


class NetworkPrinter:
    """An IPP printer on the counter's network, 192.168.1.60: CUPS' own ippeveprinter, which speaks IPP Everywhere."""

    address = "192.168.1.60"
    port = 8631
    uri = f"ipp://{address}:{port}/ipp/print"
    spool = "/tmp/lab.ipp"

    def __init__(self, station: "Station", make: str = "Pantum", model: str = "M6760DW") -> None:
        self.station = station
        self._make, self._model = make, model
        self.switch_on()

    def switch_on(self) -> None:
        self.station.run(
            # With -n and an address it requires an IPv6 one too, so it gets its name from its own host name.
            f"mkdir -p {self.spool}; systemd-run -q --collect --unit lab-ipp ip netns exec router unshare --uts "
            f"sh -c 'hostname printer.lan; exec ippeveprinter -r off -p {self.port} -k -d {self.spool} "
            f"-f text/plain,application/pdf,application/octet-stream -M {self._make} -m {self._model} Lab'"
        )
        self.station.wait_for(f"ipptool -q {self.uri} get-printer-attributes.test", "the network printer to answer")

    def switch_off(self) -> None:
        """Gone at once: its port does not answer."""
        self.station.run("systemctl kill -s KILL lab-ipp; systemctl reset-failed lab-ipp 2>/dev/null || true")
        self.station.wait_for("! systemctl is-active -q lab-ipp", "the network printer to be off")

    def paper_out(self) -> None:
        """Its tray is empty (`media-empty`), until it is switched off and on."""
        self._set("media?size1=iso_a4_210x297mm&type1=stationery&level1=0")

    def toner(self, black_percent: int) -> None:
        """0 means `toner-empty`, a few percent `toner-low`."""
        self._set(f"supplies?supply0=25&supply1={black_percent}")

    def queue(self, name: str = "desk") -> str:
        """A driverless CUPS queue on it."""
        _cups(self.station, f"lpadmin -p {name} -E -v {self.uri} -m everywhere")
        return name

    def _set(self, page: str) -> None:
        url = f"http://{self.address}:{self.port}/{page}"
        self.station.run(f"python3 -c 'import sys,urllib.request as u; u.urlopen(sys.argv[1]).read()' '{url}'")


def usb_queue(printer: UsbPrinter, name: str = "usb") -> str:
    """A raw CUPS queue on a USB printer, as an office installer creates it."""
    words = f"{printer.identity.manufacturer}/{printer.identity.product}".replace(" ", "%20")
    _cups(printer.station, f"lpadmin -p {name} -E -v 'usb://{words}?serial={printer.identity.serialnumber}' -m raw")
    return name


def _cups(station: "Station", command: str) -> None:
    station.run("systemctl start cups.service")
    station.wait_for("lpstat -r | grep -q 'is running'", "CUPS to run")
    station.run(command)
