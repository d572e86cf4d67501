"""Evaluates the child's report: a rate, or a typed reason why there is none. Pure.

speedtest-cli reports "19.7 Mbit/s" from an arrears page and 1.75 from a line that was cut. So a rate is returned only if the
status is 200, the file declares the exact size that the Mini protocol defines, no read ended early, speedtest-cli and
`RecordingOpener` counted the same bytes, and the interface's own counter shows them without other traffic.
"""

from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import msgspec

from drivers.broadband.line import Access, Rate, RequiredRate, wire_per_payload
from drivers.reading import Condition, Evidence, Reason, YinongError

Sample: TypeAlias = tuple[float, int]  # seconds since the request, bytes received until then

FILE_BYTES = 31_625_365  # random4000x4000.jpg of the Speedtest Mini package
RAMP_S = 0.3  # slow start and the shaper's token bucket, not counted
_STEADY_S = 0.5  # if less than this is left after the ramp, the whole transfer counts
_EDGE_S = 0.2
_MAX_CPU_WAIT = 0.05  # share of time without a processor; above it the terminal, not the line, may be the slow part
_MIN_NIC_SHARE = 0.98  # of the bytes read, which the counter must show at least
_HEADERS, _UNREAD, _OTHERS = 1.08, 65_536, 0.05  # headers, bytes left in the socket; above these it is other traffic
_BEFORE_MARKUP = "\u00ef\u00bb\u00bf \t\r\n"  # the UTF-8 byte order mark as Latin-1 shows it, and blanks
_SPEEDTEST_FIGURES = (
    "speedtest_down_mbps",
    "speedtest_bytes",
    "speedtest_up_mbps",
    "nic_settled_bytes",
    "ping_ms",
    "cpu_s",
)


class Exchange(msgspec.Struct, frozen=True):
    """One HTTP exchange as the child recorded it."""

    step: str  # latency, index, download, upload
    url: str
    final_url: str
    status: int | None
    content_type: str
    length: int | None
    head: str  # first 64 bytes, Latin-1
    received: int
    ended: str  # whole, early, stopped, error; empty while open
    error: str
    answered_s: float | None
    samples: tuple[Sample, ...]
    nic_rx_bytes: int | None = None
    cpu_wait_s: float | None = None  # time for which the reading thread was runnable and got no processor

    @property
    def redirected(self) -> bool:
        return urlsplit(self.final_url).netloc != urlsplit(self.url).netloc

    @property
    def captive(self) -> bool:
        """A web page in place of the requested file: a captive portal answers instead of the server."""
        if self.redirected or self.status == 511:  # RFC 6585, Network Authentication Required
            return True
        if self.status != 200 or self.step not in ("latency", "download"):
            return False
        as_meant = self.head.startswith("test=test") if self.step == "latency" else self.length == FILE_BYTES
        html = "html" in self.content_type.lower() and not as_meant
        return html or self.head.lstrip(_BEFORE_MARKUP).lower().startswith(("<!doctype", "<html", "<?xml", "<head"))


class Report(msgspec.Struct, frozen=True):
    """The child's complete report."""

    exchanges: tuple[Exchange, ...]
    mini: bool = False  # set_mini_server accepted the endpoint
    ping_ms: float | None = None
    speedtest_down_mbps: float | None = None
    speedtest_up_mbps: float | None = None
    speedtest_bytes: int | None = None
    sent_bytes: int | None = None
    nic_settled_bytes: int | None = None  # as nic_rx_bytes of the download, up to 1 s later
    cpu_s: float | None = None

    def step(self, name: str) -> Exchange | None:
        found = [exchange for exchange in self.exchanges if exchange.step == name]
        return found[-1] if found else None


class BadReport(YinongError):  # noqa: N818
    """The child's report has not the documented form."""


class Outcome(NamedTuple):
    """A rate, or why there is none."""

    rate: Rate | None
    condition: Condition
    reason: Reason | None  # None with a rate: the judgement of the rate states it
    evidence: tuple[Evidence, ...]
    rtt_ms: float | None = None


def parse_report(answer: dict[str, Any]) -> Report:
    """The validated report. Raises BadReport."""
    try:
        return msgspec.convert(answer, Report)
    except msgspec.ValidationError as error:
        raise BadReport(str(error)) from None


def evaluate(report: Report, access: Access, mtu: int | None, required: RequiredRate, upload_bytes: int) -> Outcome:
    """The child's report to a rate or a reason."""
    evidence = _evidence(report)
    # failed: 3600 s each
    rtt_ms = round(report.ping_ms, 2) if report.ping_ms is not None and report.ping_ms < 60_000 else None
    if refusal := _refusal(report):
        condition, reason = refusal
        return Outcome(None, condition, reason, evidence, rtt_ms)
    down = report.step("download")
    assert down is not None  # _refusal has seen it
    down_mbps = goodput_mbps(down.samples)
    if down_mbps is None:
        return Outcome(None, Condition.UNKNOWN, Reason("too_short", {"bytes": down.received}), evidence, rtt_ms)
    line_mbps = round(down_mbps * wire_per_payload(access, mtu), 3)
    if busy := _disturbed(down, line_mbps, required):
        return Outcome(None, Condition.UNKNOWN, busy, evidence, rtt_ms)
    rate = Rate(round(down_mbps, 3), _up_mbps(report, upload_bytes), line_mbps, 0.0, "measured", 0.0)
    return Outcome(rate, Condition.WORKING, None, evidence, rtt_ms)


def goodput_mbps(samples: tuple[Sample, ...]) -> float | None:
    """Decimal Mbit/s of payload, the mean after the ramp, or of the whole transfer if that is too short; None if nothing came.

    A terminal that is busy for a moment reads late and then catches up. Therefore each end of the mean is the least late
    sample within an edge of the window; otherwise one stall at an edge would count as speed.
    """
    if not samples or samples[-1][1] <= 0 or samples[-1][0] <= 0:
        return None
    steady = [sample for sample in samples if sample[0] >= samples[0][0] + RAMP_S]
    if not steady or steady[-1][0] - steady[0][0] < _STEADY_S:
        return samples[-1][1] * 8 / samples[-1][0] / 1e6
    crude = _slope(steady[0], steady[-1])
    start = _least_late([sample for sample in steady if sample[0] <= steady[0][0] + _EDGE_S], crude)
    end = _least_late([sample for sample in steady if sample[0] >= steady[-1][0] - _EDGE_S], crude)
    return _slope(start, end) * 8 / 1e6


def _least_late(edge: list[Sample], bytes_a_s: float) -> Sample:
    return max(edge, key=lambda sample: sample[1] - bytes_a_s * sample[0])


def _slope(start: Sample, end: Sample) -> float:
    return (end[1] - start[1]) / (end[0] - start[0])


def _refusal(report: Report) -> tuple[Condition, Reason] | None:
    for exchange in report.exchanges:
        if exchange.step == "upload":
            continue
        if exchange.captive:
            return Condition.ATTENTION, Reason("captive_page")
        if exchange.status is None:
            return Condition.UNKNOWN, Reason("endpoint_unreachable", {"error": exchange.error[:120]})
        if exchange.status != 200:
            if exchange.step == "index" and report.mini:
                continue  # speedtest-cli tries several upload addresses
            return Condition.UNKNOWN, Reason("endpoint_error", {"status": exchange.status, "file": _name(exchange.url)})
    latency, down = report.step("latency"), report.step("download")
    if latency is None or not latency.head.startswith("test=test") or not report.mini:
        return Condition.UNKNOWN, Reason("endpoint_not_mini")
    if down is None:
        return Condition.UNKNOWN, Reason("endpoint_unreachable", {"error": "no download"})
    return _transfer_refusal(report, down)


def _transfer_refusal(report: Report, down: Exchange) -> tuple[Condition, Reason] | None:
    if down.length != FILE_BYTES:
        declared = -1 if down.length is None else down.length
        return Condition.UNKNOWN, Reason(
            "endpoint_wrong_file", {"file": _name(down.url), "bytes": declared, "wanted_bytes": FILE_BYTES}
        )
    if down.ended not in ("whole", "stopped"):
        after_s = round(down.samples[-1][0], 1) if down.samples else 0.0
        return Condition.UNKNOWN, Reason("cut_midway", {"bytes": down.received, "after_s": after_s})
    if report.speedtest_bytes != down.received:
        return Condition.UNKNOWN, _disagree(down.received, report.speedtest_bytes)
    if report.nic_settled_bytes is None:
        return Condition.UNKNOWN, Reason("no_counters")
    if report.nic_settled_bytes < down.received * _MIN_NIC_SHARE:
        return Condition.UNKNOWN, _disagree(down.received, report.nic_settled_bytes)
    return None


def _disagree(counted: int, other: int | None) -> Reason:
    return Reason("counts_disagree", {"bytes": counted, "other_bytes": -1 if other is None else other})


def _disturbed(down: Exchange, line_mbps: float, required: RequiredRate) -> Reason | None:
    """What else slowed the transfer: a rate below the required one then proves nothing; one above it is still valid."""
    if line_mbps >= required.threshold_mbps or not down.samples or (seconds := down.samples[-1][0]) <= 0:
        return None
    if (wait_s := down.cpu_wait_s or 0.0) > _MAX_CPU_WAIT * seconds:
        return Reason("terminal_busy", {"percent": round(100 * wait_s / seconds)})
    others = (down.nic_rx_bytes or 0) - down.received * _HEADERS - _UNREAD
    if others <= _OTHERS * down.received:
        return None
    return Reason("line_busy", {"other_mbps": round(others * 8 / seconds / 1e6, 2)})


def _up_mbps(report: Report, upload_bytes: int) -> float | None:
    """Upload from opening the connection to the server's answer, so that data in the kernel's buffer does not count as sent."""
    up = report.step("upload")
    if up is None or up.status != 200 or up.redirected or report.sent_bytes != upload_bytes or not up.answered_s:
        return None
    return round(upload_bytes * 8 / up.answered_s / 1e6, 3)


def _evidence(report: Report) -> tuple[Evidence, ...]:
    figures = {name: getattr(report, name) for name in _SPEEDTEST_FIGURES if getattr(report, name) is not None}
    seen = tuple(Evidence("http " + exchange.step, exchange.url, _raw(exchange)) for exchange in report.exchanges)
    return (*seen, Evidence("speedtest-cli", "", figures)) if figures else seen


def _raw(exchange: Exchange) -> dict[str, Any]:
    """The deciding values, short: the samples thinned to ten per second at most."""
    raw: dict[str, Any] = {"status": exchange.status, "length": exchange.length, "received": exchange.received}
    if exchange.ended in ("early", "error"):
        raw |= {"ended": exchange.ended, "error": exchange.error}
    if exchange.final_url != exchange.url:
        raw["final_url"] = exchange.final_url[:200]
    if exchange.step == "download":
        raw |= {"nic_rx_bytes": exchange.nic_rx_bytes, "cpu_wait_s": exchange.cpu_wait_s}
        thinned: list[Sample] = []
        for t, n in exchange.samples:
            if not thinned or t - thinned[-1][0] >= 0.1:
                thinned.append((round(t, 2), n))
        raw["samples_s_bytes"] = thinned
    return raw


def _name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]
