"""Child process: speedtest-cli against a Mini endpoint of the county, with every HTTP exchange recorded.

speedtest-cli runs in a child process because it wraps file descriptors 1 and 2 at import, polls at 1 kHz and takes 12 MB. It is
subclassed so that it never requests its configuration from the internet. Its result is not trusted: it checks neither status
nor size and swallows errors, so every exchange passes through a `RecordingOpener` that keeps status, lengths, times and errors.
`drivers.broadband.measurement` evaluates them; this module only records and prints.

Arguments (JSON in argv): url, length_s, timeout_s, cap_bytes, upload_bytes, rx_bytes_file. Prints one JSON object.
"""

import contextlib
import importlib
import json
import os
import resource
import sys
import warnings
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Any, TypedDict
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, build_opener

SIZE = 4000  # one file, random4000x4000.jpg, of which as much is read as the time and the cap allow


class Arguments(TypedDict):
    url: str  # base of the Mini endpoint
    length_s: float
    timeout_s: float
    cap_bytes: int
    upload_bytes: int
    rx_bytes_file: str


class Exchange:
    """One recorded HTTP exchange."""

    def __init__(self, step: str, url: str) -> None:
        self.step, self.url, self.final_url = step, url, url
        self.status: int | None = None
        self.content_type = ""
        self.length: int | None = None  # as declared
        self.head = b""  # beginning of the body
        self.received = 0
        self.ended = ""  # "whole", "early", "stopped", "error"
        self.error = ""
        self.opened = perf_counter()
        self.answered_s: float | None = None  # from opening to the answer's headers
        self.samples: list[tuple[float, int]] = []  # (seconds since opening, bytes received until then)
        self.nic_rx_bytes: int | None = None  # what the interface received during the exchange
        self.nic: NicCounter
        self.cpu_wait_s: float | None = (
            None  # how long this thread was runnable and got no processor during the exchange
        )

    def answered(self, answer: Any) -> None:
        self.answered_s = perf_counter() - self.opened
        self.status = int(answer.code)
        location = answer.headers.get("Location") if 300 <= self.status < 400 else None
        self.final_url = urljoin(self.url, str(location)) if location else str(answer.geturl())
        self.content_type = str(answer.headers.get("Content-Type") or "")
        declared = str(answer.headers.get("Content-Length") or "")
        self.length = int(declared) if declared.isdecimal() and len(declared) < 16 else None

    def failed(self, error: BaseException) -> None:
        self.ended, self.error = "error", f"{type(error).__name__}: {error}"[:200]

    def as_json(self) -> dict[str, Any]:
        fields = {key: value for key, value in vars(self).items() if key not in ("samples", "opened", "head", "nic")}
        return fields | {"head": self.head.decode("latin-1"), "samples": [(round(t, 4), n) for t, n in self.samples]}


class Body:
    """The body of an answer; counts and timestamps what speedtest-cli reads of it."""

    def __init__(self, answer: Any, exchange: Exchange, stop: "Stop") -> None:
        self._answer, self._exchange, self._stop = answer, exchange, stop
        self.code = answer.code

    def geturl(self) -> str:
        return str(self._answer.geturl())

    def read(self, amount: int = -1) -> bytes:
        seen = self._exchange
        try:
            data: bytes = self._answer.read() if amount < 0 else self._answer.read(amount)
        except Exception as error:
            seen.failed(error)
            raise
        if len(seen.head) < 64:
            seen.head = (seen.head + data)[:64]
        seen.received += len(data)
        seen.samples.append((perf_counter() - seen.opened, seen.received))
        if not data and amount:
            seen.ended = "whole" if seen.length in (None, seen.received) else "early"
        self._stop.count(seen)
        return data

    def close(self) -> None:
        self._exchange.nic_rx_bytes = self._exchange.nic.moved()  # before the line can bring more
        if self._exchange.cpu_wait_s is not None:
            self._exchange.cpu_wait_s = round((_cpu_wait_s() or 0.0) - self._exchange.cpu_wait_s, 3)
        self._exchange.ended = self._exchange.ended or "stopped"
        self._answer.close()


class NicCounter:
    """`rx_bytes` of the interface since this object was made; None if it cannot be read."""

    def __init__(self, rx_bytes_file: Path) -> None:
        self._file = rx_bytes_file
        self._start = self._now()

    def settled(self, expected: int) -> int | None:
        """As `moved`, later: some interfaces update their counters only from time to time."""
        for _ in range(20):
            if (moved := self.moved()) is None or moved >= expected:
                break
            Event().wait(0.05)
        return self.moved()

    def moved(self) -> int | None:
        now = self._now()
        return None if now is None or self._start is None else now - self._start

    def _now(self) -> int | None:
        try:
            return int(self._file.read_text("ascii"))
        except (OSError, ValueError):
            return None


class Stop:
    """Ends a download at the cap; speedtest-cli calls `isSet` before each read."""

    def __init__(self, cap_bytes: int) -> None:
        self._cap_bytes, self._reached = cap_bytes, False

    def count(self, exchange: Exchange) -> None:
        self._reached = exchange.step == "download" and exchange.received >= self._cap_bytes

    def clear(self) -> None:
        self._reached = False

    def isSet(self) -> bool:  # noqa: N802  (the name speedtest-cli calls)
        return self._reached


class NoRedirect(HTTPRedirectHandler):
    """Follows no redirect: a Mini endpoint never redirects, an arrears page does. The 3xx is raised as an HTTPError."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class RecordingOpener:
    """Replaces speedtest-cli's opener and records every exchange."""

    def __init__(self, timeout_s: float, stop: Stop, rx_bytes_file: Path) -> None:
        self._opener, self._timeout_s, self._stop, self._rx = build_opener(NoRedirect()), timeout_s, stop, rx_bytes_file
        self.step = ""
        self.exchanges: list[Exchange] = []

    def open(self, request: Any) -> Body:
        url = request if isinstance(request, str) else str(request.full_url)
        exchange = Exchange(self.step, url)
        exchange.cpu_wait_s = _cpu_wait_s()
        self.exchanges.append(exchange)
        exchange.nic = NicCounter(self._rx)
        try:
            answer = self._opener.open(request, timeout=self._timeout_s)
        except Exception as error:
            if hasattr(error, "code") and hasattr(error, "headers"):  # urllib's HTTPError is an answer too
                exchange.answered(error)
            exchange.failed(error)
            raise
        exchange.answered(answer)
        return Body(answer, exchange, self._stop)

    def last(self, step: str) -> Exchange | None:
        found = [exchange for exchange in self.exchanges if exchange.step == step]
        return found[-1] if found else None


def measure(arguments: Arguments) -> dict[str, Any]:
    """Latency page, Mini's index, download, upload, in this order; ends at the first step that fails."""
    stop = Stop(arguments["cap_bytes"])
    test, opener = _configured(arguments, stop)
    report: dict[str, Any] = {}
    with contextlib.suppress(Exception):  # the opener has recorded what happened
        _preflight(opener, arguments["url"])
        opener.step = "index"
        servers = test.set_mini_server(arguments["url"])
        report["mini"] = True
        opener.step = "ping"
        test.get_best_server(servers)
        report["ping_ms"] = test.results.ping
        opener.step = "download"
        test.download()
        report["speedtest_down_mbps"] = round(test.results.download / 1e6, 3)
        report["speedtest_bytes"] = test.results.bytes_received
        down = opener.last("download")
        if down is not None and down.status == 200 and down.ended in ("stopped", "whole"):
            stop.clear()
            opener.step = "upload"
            test.upload()
            report["speedtest_up_mbps"] = round(test.results.upload / 1e6, 3)
            report["sent_bytes"] = test.results.bytes_sent
            report["nic_settled_bytes"] = down.nic.settled(down.received)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report["cpu_s"] = round(usage.ru_utime + usage.ru_stime, 3)
    report["exchanges"] = [exchange.as_json() for exchange in opener.exchanges]
    return report


def _preflight(opener: RecordingOpener, url: str) -> None:
    """The latency page through the recording opener: get_best_server's own requests hide who answered them."""
    opener.step = "latency"
    path = urlsplit(url).path
    base = url.rpartition("/")[0] if "." in path.rpartition("/")[2] else url.rstrip("/")
    body = opener.open(f"{base}/speedtest/latency.txt")
    try:
        if body.read(64)[:9] != b"test=test":
            raise ValueError("not a Mini endpoint")
    finally:
        body.close()


def _configured(arguments: Arguments, stop: Stop) -> tuple[Any, RecordingOpener]:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # a proxy's speed is not the line's
    warnings.simplefilter("ignore")  # utcnow() in SpeedtestResults, Python 3.12
    speedtest: Any = importlib.import_module("speedtest")

    class CountySpeedtest(speedtest.Speedtest):
        """speedtest-cli that requests no configuration: one thread, one file, a few seconds, a small upload."""

        def get_config(self) -> dict[str, Any]:
            self.config: dict[str, Any] = {
                "client": {"ip": "", "lat": "0", "lon": "0", "isp": ""},
                "ignore_servers": [],
                "sizes": {"download": [SIZE], "upload": [arguments["upload_bytes"]]},
                "counts": {"download": 1, "upload": 1},
                "threads": {"download": 1, "upload": 1},
                "length": {"download": arguments["length_s"], "upload": arguments["length_s"]},
                "upload_max": 1,
            }
            self.lat_lon = (0.0, 0.0)
            return self.config

        def watched(self) -> RecordingOpener:
            """Puts the recording opener between the test and the network."""
            self._opener = RecordingOpener(arguments["timeout_s"], stop, Path(arguments["rx_bytes_file"]))
            return self._opener

    test = CountySpeedtest(timeout=arguments["timeout_s"], shutdown_event=stop)
    return test, test.watched()


def _cpu_wait_s() -> float | None:
    """How long this thread waited on a run queue (second field of schedstat, Documentation/scheduler/sched-stats)."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text("ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


if __name__ == "__main__":
    answer = measure(json.loads(sys.argv[1]))
    sys.stdout.write(json.dumps(answer))
