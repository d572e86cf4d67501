"""The printer driver: what is queried, in which order, and how the answers are combined.

address = "ipp://…"  ─────────────────────────────► IPP to that device
auto: USB printer ── ipp-usb serves it? ──────────► IPP over localhost
                  └─ else port status by a child ─► usblp or usbfs
      no USB: CUPS queue to a network printer ────► IPP to that device itself
      none of them ───────────────────────────────► absent
then: has it a scanner (can it copy), and CUPS as a second opinion
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drivers.child import run_child
from drivers.printer import wire
from drivers.printer.copier import Copier, copier_by_escl, copier_by_usb
from drivers.printer.cups import Queue, queues, queues_blocking, second_opinion
from drivers.printer.ipp import MAX_BODY, BadIpp, Operation, decode, encode
from drivers.printer.port import carried_measures, in_use, reading_of_port
from drivers.printer.state import WANTED, inspect_ipp, reading_of
from drivers.printer.usb import UsbPrinter, ipp_usb_ports, usb_printers
from drivers.reading import CannotLook, Condition, DriverError, Evidence, Found, Reading, Reason, Scalar

__all__ = ["Printer", "find", "inspect_ipp"]

_CUPS_BUDGET_S = 0.8
_SCANNER_BUDGET_S = 1.2
_CHILD_BUDGET_S = 3.5
_UNREACHABLE = {"refused": "refused", "timeout": "no_answer", "closed": "no_answer", "no_route": "no_route"}
_UNKNOWN: dict[str, Scalar] = {
    "toner_percent": None, "can_copy": None, "copy_because": "", "jobs_waiting": None, "pages_total": None,
}  # fmt: skip


class Printer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The printer-copier as configured. With all defaults: whatever printer this terminal has."""

    id: str
    address: Annotated[str, Meta(pattern=r"^(auto|ipps?://\S+)$", max_length=255)] = "auto"
    usb: Annotated[str, Meta(pattern=r"^(auto|[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}(:.{1,126})?)$")] = "auto"
    copy: Annotated[str, Meta(pattern=r"^(auto|off|https?://\S+)$", max_length=255)] = "auto"
    cups: Literal["auto", "off"] = "auto"
    timeout_s: Annotated[float, Meta(gt=0, le=3)] = 2.5

    def __post_init__(self) -> None:
        """Raises ValueError (msgspec adds the path) for what the types cannot express."""
        if self.address != "auto":
            wire.Address.parse(self.address)
            if self.usb != "auto":
                raise ValueError(
                    "address 和 usb 指的是两台打印机，请各写一个 [[device]] / "
                    "`address` and `usb` name two devices: one `[[device]]` table each"
                )
        if self.copy not in ("auto", "off"):
            wire.Address.parse(self.copy, "/eSCL")

    async def look(self, root: Path, previous: Reading | None = None) -> Reading:
        """One look; the evidence shows how the printer was queried. Errors become the reading of a DriverError."""
        known = await queues(root, _CUPS_BUDGET_S) if self.cups == "auto" else []
        if self.address != "auto":
            return await self._look_at_network(wire.Address.parse(self.address), known, previous)
        printers = self._on_usb(root)
        while printers:
            reading = await self._look_at_usb(root, printers, known, previous)
            asked, printers = printers[0], self._on_usb(root)
            answered = reading.condition not in (Condition.UNKNOWN, Condition.UNREACHABLE)
            if answered or asked.usb_address in [printer.usb_address for printer in printers]:
                return reading  # else it was unplugged during the query: its silence proves nothing about its state
        if self.usb == "auto":
            for queue in known:
                if address := queue.network_address():
                    return await self._look_at_network(address, known, previous)
        absent = Reading(
            condition=Condition.ABSENT,
            reason=Reason("no_printer") if self.usb == "auto" else Reason("no_usb_printer", {"usb": self.usb}),
            evidence=(Evidence("sysfs", "/sys/bus/usb/devices", "no device with a printer interface (class 07)"),),
        )
        return _complete(absent, Copier(None, ""), [queue for queue in known if queue.uri.startswith("usb:")])

    def _on_usb(self, root: Path) -> list[UsbPrinter]:
        return [printer for printer in usb_printers(root) if printer.matches(self.usb)]

    async def _look_at_network(self, address: wire.Address, known: list[Queue], previous: Reading | None) -> Reading:
        mine = [queue for queue in known if _leads_to(queue, address)]
        try:
            reading = await _request_attributes(address, self.timeout_s)
        except DriverError as error:
            reading = await _check_raw_port(error.reading, mine)
        reading = msgspec.structs.replace(reading, measures={**reading.measures, "device": address.uri})
        answers = reading.condition not in (Condition.UNREACHABLE, Condition.UNKNOWN)
        copier = await self._copier(_scanners(address)) if answers else Copier(None, "no_evidence")
        return _complete(reading, _keep_earlier(copier, reading, previous), mine)

    async def _look_at_usb(
        self, root: Path, printers: list[UsbPrinter], known: list[Queue], previous: Reading | None
    ) -> Reading:
        """The first by identity; the others are named in the evidence."""
        printer, others = printers[0], [other.identity for other in printers[1:]]
        mine = [queue for queue in known if queue.leads_to_usb(printer)]
        copier, reading = copier_by_usb(printer, _device_id(printer)), None
        for port in ipp_usb_ports(root, printer):
            address = wire.Address("localhost", port, "/ipp/print", False)
            with contextlib.suppress(DriverError):  # no ipp-usb here: the port status is queried instead
                reading = await _request_attributes(address, self.timeout_s)
                escl = await self._copier(_scanners(address)[:1])
                copier = escl if escl.can_copy else copier
        if reading is None:
            try:
                reading = await _request_port_status(root, printer, previous)
            except DriverError as error:
                reading = msgspec.structs.replace(error.reading, measures=carried_measures(printer, previous))
        seen = Evidence("sysfs", f"/sys/bus/usb/devices/{printer.port}", {"label": printer.label, "others": others})
        reading = msgspec.structs.replace(
            reading,
            measures={**reading.measures, "device": printer.identity},
            evidence=(seen, *reading.evidence),
        )
        if self.copy == "off":
            copier = Copier(None, "off")
        return _complete(reading, _keep_earlier(copier, reading, previous), mine)

    async def _copier(self, places: tuple[wire.Address, ...]) -> Copier:
        if self.copy == "off":
            return Copier(None, "off")
        if self.copy != "auto":
            places = (wire.Address.parse(self.copy, "/eSCL"),)
        return await copier_by_escl(places, _SCANNER_BUDGET_S)


def find(root: Path) -> list[Found]:
    """USB printers, and network printers that queues of CUPS lead to."""
    found = [
        Found(
            device_class="printer",
            identity=printer.identity,
            label=printer.label,
            options={"usb": printer.identity.removeprefix("usb:")},
            note=""
            if printer.serial
            else "没有序列号，按 USB 接口识别，请勿换接口 / no serial number: known by its port",
        )
        for printer in usb_printers(root)
    ]
    seen: set[str] = set()
    for queue in queues_blocking(root, _CUPS_BUDGET_S):
        address = queue.network_address()
        if address is None or address.uri in seen:
            continue
        seen.add(address.uri)
        note = (
            "地址取自 CUPS 打印队列，请给打印机设固定地址 / address from a CUPS queue: give the printer a fixed address"
        )
        found.append(
            Found(
                device_class="printer",
                identity=address.uri,
                label=queue.name,
                options={"address": address.uri},
                note=note,
            )
        )
    return found


async def _request_attributes(address: wire.Address, budget_s: float) -> Reading:
    """IPP to the device itself. Raises DriverError."""
    question = encode(Operation.GET_PRINTER_ATTRIBUTES, address.uri, WANTED)
    evidence = Evidence("ipp get-printer-attributes", address.uri)
    try:
        http = await wire.request("POST", address, question, budget_s=budget_s, max_body=MAX_BODY)
        if http.status != 200:
            raise CannotLook("http_refused", evidence, status=http.status)
        return reading_of(decode(http.body), address.uri)
    except wire.NoAnswer as error:
        evidence = Evidence(evidence.method, evidence.source, str(error)[:200])
        if code := _UNREACHABLE.get(error.code):
            raise DriverError(Condition.UNREACHABLE, code, evidence, host=address.host) from None
        if error.code == "name":
            raise DriverError(Condition.UNREACHABLE, "name_unknown", evidence, host=address.host) from None
        raise CannotLook("tls_failed", evidence, host=address.host) from None
    except (wire.BadHttp, BadIpp) as error:
        raise CannotLook("ipp_garbled", evidence, error=str(error)[:200]) from None


async def _request_port_status(root: Path, printer: UsbPrinter, previous: Reading | None) -> Reading:
    """The USB port status. Raises DriverError."""
    interface = printer.printing
    if interface is None:
        raise CannotLook("needs_ipp_usb", Evidence("usb interfaces", printer.identity))
    if interface.driver == "usbfs":
        return in_use(printer, Evidence("sysfs", raw="interface held by a program (usbfs)"), previous)
    usbfs = root / f"dev/bus/usb/{printer.bus:03d}/{printer.device:03d}"
    arguments = {
        "lp": str(root / "dev/usb" / interface.lp) if interface.lp else "", "usbfs": str(usbfs),
        "interface": interface.number, "alternate": interface.alternate, "device_id": interface.device_id,
    }  # fmt: skip
    try:
        answer = await run_child("drivers.printer.usb_port", arguments, _CHILD_BUDGET_S)
    except CannotLook as error:
        if error.reading.reason.code != "timed_out":
            raise
        raise DriverError(Condition.UNREACHABLE, "usb_silent", *error.reading.evidence) from None
    if interface.device_id:
        answer["device_id"] = interface.device_id
    if answer.get("error") == "EBUSY":
        return in_use(printer, Evidence("usb port status", printer.identity, answer), previous)
    return reading_of_port(answer, printer, previous)


async def _check_raw_port(reading: Reading, mine: list[Queue]) -> Reading:
    """An older network printer without IPP, whose queue prints to port 9100 or 515: present, but it reports no state."""
    place = next((raw for queue in mine if (raw := queue.raw_port())), None)
    if reading.reason.code != "refused" or place is None:
        return reading
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(*place)
            writer.transport.abort()
    except OSError:
        return reading
    evidence = (*reading.evidence, Evidence("tcp connect", f"{place[0]}:{place[1]}", "accepted"))
    return CannotLook("no_ipp", *evidence, host=place[0]).reading


def _complete(reading: Reading, copier: Copier, mine: list[Queue]) -> Reading:
    """Add the copy function, the waiting jobs and the second opinion of CUPS."""
    measures = {**_UNKNOWN, **reading.measures, "can_copy": copier.can_copy, "copy_because": copier.because}
    if measures["jobs_waiting"] is None and (jobs := [queue.jobs for queue in mine if queue.jobs is not None]):
        measures["jobs_waiting"] = sum(jobs)
    opinion = second_opinion(reading, mine)
    reading = msgspec.structs.replace(
        reading,
        measures=measures,
        evidence=(*reading.evidence, *copier.evidence, *((opinion,) if opinion else ())),
    )
    if reading.condition is Condition.WORKING and mine and all(queue.stopped for queue in mine):
        reason = Reason("queue_paused", {"queue": mine[0].name[:80]})
        return msgspec.structs.replace(reading, condition=Condition.ATTENTION, reason=reason)
    return reading


def _keep_earlier(copier: Copier, reading: Reading, previous: Reading | None) -> Copier:
    """A scanner of the same device that answered at an earlier look and does not now (asleep, busy) is still present."""
    if copier.can_copy is not None or copier.because == "off" or previous is None:
        return copier
    earlier = previous.measures
    if earlier.get("can_copy") is True and earlier.get("device") == reading.measures.get("device"):
        return Copier(True, "earlier", copier.evidence)
    return copier


def _leads_to(queue: Queue, address: wire.Address) -> bool:
    target = queue.network_address()
    return target is not None and target.host == address.host


def _scanners(address: wire.Address) -> tuple[wire.Address, ...]:
    """Where a printer at `address` may serve eSCL: on the IPP port, or on its web port."""
    return address._replace(path="/eSCL"), wire.Address(address.host, 80, "/eSCL", False)


def _device_id(printer: UsbPrinter) -> str:
    return printer.printing.device_id if printer.printing else ""
