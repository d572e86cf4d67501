"""A county's Mini endpoint on real loopback sockets, shaped and with the faults of the field; and a terminal's tree."""

import contextlib
import fcntl
import os
import socket
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

FILE_BYTES = 31_625_365
SO_MAX_PACING_RATE = 47  # asm-generic/socket.h; not in Python's socket module
NOISE = os.urandom(1 << 16)
PAGE = b"<!DOCTYPE html><html><body>\xc7\xb7\xb7\xd1\xcd\xa3\xbb\xfa</body></html>" + b" " * 97_000  # GBK, as ISPs do


class FakeNic:
    """The two counter files of one interface, replaced atomically so that a reader never sees half a number."""

    def __init__(self, statistics: Path) -> None:
        self._at, self._lock = statistics, threading.Lock()
        self.rx, self.tx = 1_000_000, 500_000
        statistics.mkdir(parents=True)
        self.add(0, 0)

    def add(self, rx: float, tx: float) -> None:
        with self._lock:
            self.rx, self.tx = self.rx + rx, self.tx + tx
            for name, number in (("rx_bytes", self.rx), ("tx_bytes", self.tx)):
                (self._at / f".{name}").write_text(f"{int(number)}\n")
                (self._at / f".{name}").replace(self._at / name)


class TerminalTree:
    """A root with eth0 on a default route, and its counters."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.nics: dict[str, FakeNic] = {}
        self.add_nic("lo", device=False)
        self.add_nic("eth0")
        self.routes("eth0\t00000000\t0100007F\t0003\t0\t0\t100\t00000000\t0\t0\t0")
        self.uptime(1000)
        self.write("etc/hosts", "127.0.0.1 localhost\n127.0.0.1 county.test # the county\n")

    def write(self, path: str, words: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(words)

    def add_nic(self, name: str, *, device: bool = True, **files: str) -> FakeNic:
        defaults = {
            "operstate": "up",
            "carrier": "1",
            "speed": "1000",
            "duplex": "full",
            "carrier_changes": "2",
            "mtu": "1500",
        }
        for file, words in (defaults | files).items():
            self.write(f"sys/class/net/{name}/{file}", words + "\n")
        if device:
            (self.root / "sys/class/net" / name / "device").mkdir()
        self.nics[name] = FakeNic(self.root / "sys/class/net" / name / "statistics")
        return self.nics[name]

    def routes(self, *lines: str) -> None:
        head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
        self.write("proc/net/route", "\n".join((head, *lines)) + "\n")

    def uptime(self, seconds: float) -> None:
        self.write("proc/uptime", f"{seconds:.2f} 99.00\n")


class MiniServer(ThreadingHTTPServer):
    """The Speedtest Mini protocol; `fault` names what is wrong with it."""

    daemon_threads = True
    request_queue_size = 16

    def __init__(
        self, mbps: float, fault: str = "", bucket_bytes: int = 0, nic: FakeNic | None = None, others: float = 0
    ) -> None:
        super().__init__(("127.0.0.1", 0), MiniHandler)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1448)  # loopback would send 64 KB at a time
        self.mbps, self.fault, self.bucket_bytes, self.nic, self.others = mbps, fault, bucket_bytes, nic, others
        self.closing = threading.Event()
        self.asked: list[str] = []
        self.served: list[tuple[float, int]] = []  # (seconds, bytes acknowledged) of the newest file

    @property
    def served_mbps(self) -> float:
        """What the newest transfer truly got after its first 0.3 s."""
        steady = [at for at in self.served if at[0] >= self.served[0][0] + 0.3]
        return (steady[-1][1] - steady[0][1]) * 8 / (steady[-1][0] - steady[0][0]) / 1e6

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no fault of the server."""


class MiniHandler(BaseHTTPRequestHandler):
    server: MiniServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        fault, path = self.server.fault, self.path.partition("?")[0]
        self.server.asked.append(path)
        is_file = path.endswith(".jpg")
        if fault == "garbage":
            self.wfile.write(b"\xff\xfe\x00 this is not HTTP \r\n\r\n" * 8)
        elif fault == "redirect":
            self._answer(302, b"", Location=f"http://127.0.0.2:{self.server.server_address[1]}/portal.html")
        elif fault == "captive" or path == "/portal.html" or (fault == "captive_files" and is_file):
            self._answer(200, PAGE, **{"Content-Type": "text/html; charset=gbk"})
        elif fault == "error_500" or (fault == "files_500" and is_file):
            self._answer(500, b"broken")
        elif path.endswith("/latency.txt"):
            self._answer(200, b"test=test\n", **{"Content-Type": "text/plain"})
        elif path in ("/", ""):
            self._answer(200, b'<html><script>upload_extension: "php"</script></html>', **{"Content-Type": "text/html"})
        elif fault == "missing" or not is_file:
            self._answer(404, b"<html>not found</html>", **{"Content-Type": "text/html"})
        else:
            self._file()

    def do_POST(self) -> None:
        left = size = int(self.headers["Content-Length"])
        while left > 0 and (data := self.rfile.read(min(left, 65536))):
            left -= len(data)
        self._answer(200, b"size=%d" % size, **{"Content-Type": "text/html"})

    def _file(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(97_000 if self.server.fault == "wrong_size" else FILE_BYTES))
        self.end_headers()
        self.wfile.flush()
        limit = {"truncated": 300_000, "stall": 300_000, "wrong_size": 97_000}.get(self.server.fault, FILE_BYTES)
        self._shaped(limit)
        if self.server.fault == "stall":
            self.server.closing.wait(20)

    def _shaped(self, limit: int) -> None:
        """Paced by the kernel (SO_MAX_PACING_RATE, payload bytes a second), so a busy test machine hardly changes the rate.

        The interface's counter follows what has left the socket's queue, and so does `served`, the truth to compare with.
        """
        bucket, tcp, sent, counted = min(self.server.bucket_bytes, limit), self.connection, 0, 0
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 131072)  # the kernel doubles it: 200 ms at 10 Mbit/s
        tcp.setblocking(False)
        paced, served = False, [(time.perf_counter(), 0)]
        while counted < limit and not self.server.closing.is_set():
            if not paced and counted >= bucket:
                tcp.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, int(self.server.mbps * 1e6 / 8))
                paced = True
            with contextlib.suppress(BlockingIOError):
                sent += tcp.send(NOISE[: min(len(NOISE), (limit if paced else bucket) - sent)])
            time.sleep(0.003)
            before, counted = counted, sent - waiting_in(tcp)
            served.append((time.perf_counter(), counted))
            self.server.served = served
            if self.server.nic:
                left = counted - before
                self.server.nic.add(left * 1514 / 1448 * (1 + self.server.others), left * 66 / 2896)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def waiting_in(tcp: socket.socket) -> int:
    """Bytes sent and not yet acknowledged (SIOCOUTQ, tcp(7))."""
    return int.from_bytes(fcntl.ioctl(tcp, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


@pytest.fixture
def terminal(tmp_path: Path) -> TerminalTree:
    return TerminalTree(tmp_path / "root")


@pytest.fixture
def mini(terminal: TerminalTree) -> Iterator[Callable[..., MiniServer]]:
    """`mini(mbps, fault=…)` starts an endpoint whose traffic shows on the terminal's eth0."""
    with contextlib.ExitStack() as ending:

        def start(mbps: float = 10, **options: Any) -> MiniServer:
            server = MiniServer(mbps, **{"nic": terminal.nics["eth0"]} | options)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()

            def stop() -> None:
                server.closing.set()
                server.shutdown()
                server.server_close()
                thread.join()

            ending.callback(stop)
            return server

        yield start


@pytest.fixture
def ports() -> Iterator[dict[str, str]]:
    """Addresses on loopback by the result of a connect: `answers`, `refuses` (no listener), `silent` (its queue is full)."""
    with contextlib.ExitStack() as closing:

        def bound() -> socket.socket:
            tcp = closing.enter_context(socket.socket())
            tcp.bind(("127.0.0.1", 0))
            return tcp

        answers, refuses, silent = bound(), bound(), bound()
        answers.listen(512)  # no accept call: the kernel answers anyway
        silent.listen(0)
        for _ in range(3):  # the kernel drops the connects that find the queue full
            filler = closing.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(silent.getsockname())
        names = {"answers": answers, "refuses": refuses, "silent": silent}
        yield {name: f"127.0.0.1:{tcp.getsockname()[1]}" for name, tcp in names.items()}
