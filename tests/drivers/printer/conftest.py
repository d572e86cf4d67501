"""A real ippeveprinter on loopback, a fake IPP printer for the states that it cannot show, and USB printers in sysfs."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow receive_sender="*"/>
<allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>"""


def _program(name: str, package: str) -> str:
    """Path of a program; if its package is missing the test fails and is not skipped."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if path is None:
        pytest.fail(f"{name} is missing: apt-get install {package}", pytrace=False)
    return path


@contextlib.contextmanager
def _running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="session")
def bus() -> Iterator[str]:
    """A message bus of our own: ippeveprinter ends without one, and wants no Avahi behind it (its client waits for it)."""
    with tempfile.TemporaryDirectory(prefix="bus") as folder:
        config = Path(folder, "bus.conf")
        config.write_text(_BUS.format(socket=Path(folder, "socket")))
        command = [_program("dbus-daemon", "dbus-daemon"), f"--config-file={config}", "--nofork", "--print-address"]
        with _running(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as daemon:
            assert daemon.stdout is not None
            address = daemon.stdout.readline().decode().strip()
            if not address:
                pytest.fail("dbus-daemon ended without an address", pytrace=False)
            yield address


class EvePrinter:
    """A running ippeveprinter: its address, and its own web page that sets paper and toner."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.address = f"ipp://localhost:{port}/ipp/print"
        self._process = process

    def supplies(self, toner_percent: int) -> None:
        self._visit(f"supplies?supply0=25&supply1={toner_percent}")

    def out_of_paper(self) -> None:
        self._visit("media?size1=iso_a4_210x297mm&type1=stationery&level1=0")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _visit(self, page: str) -> None:
        with urllib.request.urlopen(f"http://localhost:{self.port}/{page}", timeout=5) as answer:
            assert answer.status == 200
            answer.read()  # ippeveprinter sends the status first and then acts; the page's end comes after it


@pytest.fixture
def eve_printer(bus: str, tmp_path: Path) -> Iterator[EvePrinter]:
    """ippeveprinter on a free port of loopback."""
    port, spool = _free_port(), tmp_path / "spool"
    spool.mkdir()
    command = [
        _program("ippeveprinter", "cups-ipp-utils"), "-r", "off", "-n", "localhost", "-p", str(port), "-d", str(spool),
        "-f", "application/pdf,text/plain", "-M", "Pantum", "-m", "M6760DW", "MFP",
    ]  # fmt: skip
    log = (tmp_path / "ippeveprinter.log").open("wb")
    environment = {"DBUS_SYSTEM_BUS_ADDRESS": bus, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)}
    with log, _running(command, stdout=log, stderr=log, env=environment) as process:
        _wait_until_it_listens(port, process, tmp_path / "ippeveprinter.log")
        yield EvePrinter(port, process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
            return
        time.sleep(0.02)
    pytest.fail(f"ippeveprinter does not listen: {log.read_text()[-500:]}", pytrace=False)


class FakePrinter:
    """An IPP printer on a real socket that sends what a test needs, as malformed as a test needs.

    `attributes`: name -> (tag, values). `how`: plain, chunked, no_length, drip (a byte at a time), truncated, silent (never
    answers), hang_up (closes at once), no_http, or `body` bytes of its own. `documents`: path -> (status, content) for GET.
    """

    def __init__(self) -> None:
        self.attributes: dict[str, tuple[int, list[Any]]] = {
            "printer-state": (0x23, [3]),
            "printer-state-reasons": (0x44, ["none"]),
            "printer-is-accepting-jobs": (0x22, [True]),
            "queued-job-count": (0x21, [0]),
        }
        self.how = "plain"
        self.http_status = 200
        self.ipp_status = 0
        self.body: bytes | None = None
        self.documents: dict[str, tuple[int, str]] = {}
        self.requests: list[tuple[str, bytes]] = []
        self.address = ""
        self.port = 0

    def says(self, *reasons: str, state: int = 3, accepting: bool = True) -> None:
        self.attributes["printer-state"] = (0x23, [state])
        self.attributes["printer-state-reasons"] = (0x44, list(reasons))
        self.attributes["printer-is-accepting-jobs"] = (0x22, [accepting])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        length = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("Content-Length")), 0)
        self.requests.append((f"{method} {path}", await reader.readexactly(length)))
        if self.how == "silent":
            await reader.read()  # until the other side gives up
        elif self.how == "no_http":
            writer.write(b"SSH-2.0-dropbear_2022.83\r\n")
        elif self.how != "hang_up":
            await self._write(writer, *self._document(method, path))

    def _document(self, method: str, path: str) -> tuple[int, bytes]:
        if method == "GET":
            status, text = self.documents.get(path, (404, "not here"))
            return status, text.encode()
        return self.http_status, self.body if self.body is not None else encoded(self.attributes, self.ipp_status)

    async def _write(self, writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/ipp\r\n"
        if self.how == "chunked":
            parts = [body[at : at + 7] for at in range(0, len(body), 7)]
            wire = (head + "Transfer-Encoding: chunked\r\n\r\n").encode()
            wire += b"".join(b"%x;x=y\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        elif self.how == "no_length":
            wire = head.encode() + b"\r\n" + body
        else:
            wire = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        if self.how == "truncated":
            wire = wire[:-9]
        for at in range(0, len(wire), step := 1 if self.how == "drip" else len(wire)):
            writer.write(wire[at : at + step])
            await writer.drain()
            await asyncio.sleep(0)


def encoded(attributes: dict[str, tuple[int, list[Any]]], status: int = 0) -> bytes:
    """An IPP answer with these printer attributes; the tests' own encoder (RFC 8010)."""
    groups = attributes if isinstance(attributes, list) else [attributes]
    body = struct.pack(">BBHi", 1, 1, status, 1) + b"\x01" + _field(0x47, "attributes-charset", b"utf-8")
    for group in groups:
        body += b"\x04"
        for name, (tag, values) in group.items():
            for index, value in enumerate(values):
                body += _field(tag, "" if index else name, _raw(tag, value))
    return body + b"\x03"


def _raw(tag: int, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if tag in (0x21, 0x23):
        return struct.pack(">i", value)
    return bytes((value,)) if tag == 0x22 else str(value).encode()


def _field(tag: int, name: str, value: bytes) -> bytes:
    return struct.pack(">BH", tag, len(name)) + name.encode() + struct.pack(">H", len(value)) + value


@pytest.fixture(scope="session")
def ipp_answer() -> Callable[..., bytes]:
    return encoded


@pytest.fixture
async def fake_printer() -> AsyncIterator[FakePrinter]:
    printer = FakePrinter()
    server = await asyncio.start_server(printer.serve, "127.0.0.1", 0)
    printer.port = server.sockets[0].getsockname()[1]
    printer.address = f"ipp://127.0.0.1:{printer.port}/ipp/print"
    yield printer
    server.close()


@pytest.fixture
async def tls_printer(tmp_path: Path) -> AsyncIterator[FakePrinter]:
    """The same behind TLS, with a certificate that it signed itself for another name."""
    printer, context = FakePrinter(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path / "printer.pem"))
    server = await asyncio.start_server(printer.serve, "127.0.0.1", 0, ssl=context)
    printer.address = f"ipps://127.0.0.1:{server.sockets[0].getsockname()[1]}/ipp/print"
    yield printer
    server.close()


def _self_signed(path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "NPI0A1B2C.local")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    unsigned = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=3650))
    certificate = unsigned.sign(key, hashes.SHA256())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    return path


@pytest.fixture
async def fake_cups(tmp_path: Path) -> AsyncIterator[FakePrinter]:
    """The part of cupsd that is queried, on `run/cups/cups.sock` below tmp_path."""
    cups = FakePrinter()
    (tmp_path / "run/cups").mkdir(parents=True)
    server = await asyncio.start_unix_server(cups.serve, tmp_path / "run/cups/cups.sock")
    yield cups
    server.close()


class UsbTree:
    """`/sys/bus/usb/devices` below tmp_path, as the kernel lays it out: links into `/sys/devices`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hub = root / "sys/devices/pci0000:00/usb1"
        self.links = root / "sys/bus/usb/devices"
        self.hub.mkdir(parents=True)
        self.links.mkdir(parents=True)

    def plug(
        self,
        port: str,
        interfaces: list[tuple[str, str]],
        *,
        serial: str = "CK1A0001",
        maker: str = "Pantum",
        product: str = "M6760DW series",
        device_id: str = "MFG:Pantum;MDL:M6760DW series;CLS:PRINTER;",
        device_number: int = 4,
    ) -> None:
        """`interfaces`: (class/subclass/protocol, driver)."""
        device = self._folder(self.hub / port)
        files = {"idVendor": "232b", "idProduct": "3a50", "manufacturer": maker, "product": product,
                 "busnum": "1", "devnum": str(device_number), "serial": serial}  # fmt: skip
        for name, text in files.items():
            if text:
                (device / name).write_text(f"{text}\n")
        for number, (kind, driver) in enumerate(interfaces):
            self._interface(port, number, kind, driver, device_id)

    def unplug(self, port: str) -> None:
        for link in self.links.glob(f"{port}*"):
            link.unlink()
        shutil.rmtree(self.hub / port)

    def _folder(self, path: Path) -> Path:
        path.mkdir()
        (self.links / path.name).symlink_to(path)
        return path

    def _interface(self, port: str, number: int, kind: str, driver: str, device_id: str) -> None:
        folder = self._folder(self.hub / port / f"{port}:1.{number}")
        for name, text in zip(("Class", "SubClass", "Protocol"), kind.split("/"), strict=True):
            (folder / f"bInterface{name}").write_text(f"{text}\n")
        (folder / "bInterfaceNumber").write_text(f"{number:02x}\n")
        (folder / "bAlternateSetting").write_text(" 0\n")
        if driver:
            (folder / "driver").symlink_to(f"../../../../bus/usb/drivers/{driver}")
        if driver == "usblp":
            (folder / "usbmisc/lp0").mkdir(parents=True)
            (folder / "ieee1284_id").write_text(f"{device_id}\n")


@pytest.fixture
def usb(tmp_path: Path) -> UsbTree:
    return UsbTree(tmp_path)
