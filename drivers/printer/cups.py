"""What CUPS reports: a second opinion, and the device of each queue. It never decides that a printer works.

A queue stays `idle` while its printer is unplugged or out of paper, so the device itself is queried; the queue shows
contradictions, waiting jobs, and that it was paused. Queried over cupsd's unix socket (CUPS-Get-Printers, 0x4002).
"""

from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from drivers.printer import wire
from drivers.printer.ipp import Attributes, BadIpp, Operation, decode, encode
from drivers.printer.usb import UsbPrinter
from drivers.reading import Condition, Evidence, Reading

_SOCKET = "run/cups/cups.sock"
_WANTED = ("printer-name", "printer-info", "device-uri", "printer-state", "printer-state-reasons",
           "printer-is-accepting-jobs", "queued-job-count")  # fmt: skip
_MAX_BODY = 256 * 1024
_NETWORK = ("ipp", "ipps", "http", "https", "socket", "lpd")
_STATES = {3: "idle", 4: "processing", 5: "stopped"}


class Queue(NamedTuple):
    """One queue of CUPS."""

    name: str
    uri: str  # of its device: `usb://Pantum/M6760DW?serial=CK1A0001`, `ipp://192.168.1.50/ipp/print`
    state: str  # idle, processing, stopped
    reasons: tuple[str, ...]
    accepting: bool | None
    jobs: int | None

    @property
    def stopped(self) -> bool:
        """It prints no jobs."""
        return self.state == "stopped" or self.accepting is False

    def leads_to_usb(self, printer: UsbPrinter) -> bool:
        """By the serial number if both have one, else by maker and model."""
        parts = urlsplit(self.uri)
        if parts.scheme != "usb":
            return False
        serial = parse_qs(parts.query).get("serial", [""])[0]
        if serial and printer.serial:
            return serial == printer.serial
        model = unquote(parts.path.strip("/")).lower()
        return bool(model) and model in printer.label.lower()

    def network_address(self) -> wire.Address | None:
        """The IPP address of its network printer (which is queried directly, whatever protocol the queue uses)."""
        parts = urlsplit(self.uri)
        if parts.scheme not in _NETWORK or not parts.hostname:
            return None
        try:
            if parts.scheme in ("socket", "lpd"):
                return wire.Address(parts.hostname, 631, "/ipp/print", False)
            return wire.Address.parse(self.uri)
        except ValueError:
            return None

    def raw_port(self) -> tuple[str, int] | None:
        """Host and port of a queue that does not speak IPP: JetDirect 9100, LPD 515."""
        parts = urlsplit(self.uri)
        if parts.scheme not in ("socket", "lpd") or not parts.hostname:
            return None
        try:
            return parts.hostname, parts.port or (9100 if parts.scheme == "socket" else 515)
        except ValueError:
            return None


async def queues(root: Path, budget_s: float) -> list[Queue]:
    """All queues; none if no cupsd listens or its answer is invalid."""
    socket = root / _SOCKET
    if not socket.is_socket():
        return []
    place = wire.Address("localhost", 631, "/", False, unix=str(socket))
    question = encode(Operation.CUPS_GET_PRINTERS, None, _WANTED)
    try:
        answer = await wire.request("POST", place, question, budget_s=budget_s, max_body=_MAX_BODY)
        return _queues(answer.body)
    except (wire.NoAnswer, wire.BadHttp, BadIpp):
        return []


def queues_blocking(root: Path, budget_s: float) -> list[Queue]:
    """As `queues`, blocking: for `find`."""
    socket = root / _SOCKET
    if not socket.is_socket():
        return []
    question = encode(Operation.CUPS_GET_PRINTERS, None, _WANTED)
    try:
        return _queues(wire.request_unix_blocking(socket, "/", question, budget_s=budget_s, max_body=_MAX_BODY).body)
    except (wire.NoAnswer, wire.BadHttp, BadIpp):
        return []


def second_opinion(reading: Reading, mine: list[Queue]) -> Evidence | None:
    """What the queues of this printer report, and whether that contradicts the device; None without a queue."""
    if not mine:
        return None
    well = reading.condition in (Condition.WORKING, Condition.IN_USE, Condition.ATTENTION)
    raw = [
        {
            "queue": queue.name[:80],
            "state": queue.state,
            "reasons": list(queue.reasons[:8]),
            "accepting": queue.accepting,
            "jobs": queue.jobs,
            "contradicts": queue.stopped if well else not queue.stopped and reading.condition is not Condition.UNKNOWN,
        }
        for queue in mine[:4]
    ]
    return Evidence("cups", _SOCKET, raw)


def _queues(body: bytes) -> list[Queue]:
    return [_queue(attributes) for attributes in decode(body).printers()]


def _queue(attributes: Attributes) -> Queue:
    def first(name: str) -> object:
        return next(iter(attributes.get(name, [])), None)

    state, accepting, jobs = first("printer-state"), first("printer-is-accepting-jobs"), first("queued-job-count")
    return Queue(
        name=str(first("printer-name") or ""),
        uri=str(first("device-uri") or ""),
        state=_STATES.get(state, "") if isinstance(state, int) else "",
        reasons=tuple(str(reason)[:80] for reason in attributes.get("printer-state-reasons", [])),
        accepting=accepting if isinstance(accepting, bool) else None,
        jobs=jobs if isinstance(jobs, int) and not isinstance(jobs, bool) else None,
    )
