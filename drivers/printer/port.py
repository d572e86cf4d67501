"""The USB port status to a reading (USB Printer Class 1.1 section 4.2.2).

Bits: 0x20 paper empty, 0x10 selected, 0x08 no error. Many cheap printers always answer 0x18 ("all well"), so a good answer
proves only that the printer is present and answers; the reading's reason states this (`ok_usb`). Paper empty is always
trusted. "Error" and "not selected" are trusted once this printer has answered without them: `port_status_seen`
is copied from reading to reading.
"""

from typing import Any

from drivers.printer.usb import UsbPrinter
from drivers.reading import CannotLook, Condition, DriverError, Evidence, Reading, Reason, Scalar

_PAPER_EMPTY, _SELECTED, _NO_ERROR = 0x20, 0x10, 0x08
_GOOD = _SELECTED | _NO_ERROR
_UNREACHABLE = ("ETIMEDOUT", "EIO", "EPROTO", "EILSEQ", "EOVERFLOW", "ESHUTDOWN")
_MAX_SEEN = 8


def reading_of_port(answer: dict[str, Any], printer: UsbPrinter, previous: Reading | None) -> Reading:
    """The reading of the child's answer (`usb_port`); DriverError if the printer returned no status."""
    evidence = Evidence("usb port status", printer.identity, answer)
    status = answer.get("status")
    if not isinstance(status, int):
        raise _without_status(str(answer.get("error", "")), str(answer.get("path", "")), evidence)
    seen = _seen(printer, previous)
    condition, code = _judge(status, seen)
    if status not in seen:
        seen = (*seen, status)[-_MAX_SEEN:]
    return Reading(
        condition=condition,
        reason=Reason(code),
        measures=_measures(printer, seen),
        evidence=(evidence,),
    )


def in_use(printer: UsbPrinter, evidence: Evidence, previous: Reading | None) -> Reading:
    """Another program prints on it: the port statuses seen so far are kept."""
    return Reading(
        condition=Condition.IN_USE,
        reason=Reason("printing"),
        measures=carried_measures(printer, previous),
        evidence=(evidence,),
    )


def carried_measures(printer: UsbPrinter, previous: Reading | None) -> dict[str, Scalar]:
    """The port statuses seen so far, for a reading that adds none."""
    return _measures(printer, _seen(printer, previous))


def _judge(status: int, seen: tuple[int, ...]) -> tuple[Condition, str]:
    if status & _PAPER_EMPTY:
        return Condition.FAULTY, "paper_out"
    if status & _GOOD == _GOOD:
        return Condition.WORKING, "ok_usb"
    if not any(earlier & _GOOD == _GOOD for earlier in seen):
        return Condition.UNKNOWN, "port_unproved"
    return Condition.FAULTY, "port_error" if not status & _NO_ERROR else "off_line"


def _measures(printer: UsbPrinter, seen: tuple[int, ...]) -> dict[str, Scalar]:
    return {"device": printer.identity, "port_status_seen": " ".join(f"0x{status:02x}" for status in seen)}


def _seen(printer: UsbPrinter, previous: Reading | None) -> tuple[int, ...]:
    """The port statuses that this device has returned since the start, from the previous reading."""
    if previous is None or previous.measures.get("device") != printer.identity:
        return ()
    return tuple(int(part, 16) for part in str(previous.measures.get("port_status_seen") or "").split())


def _without_status(error: str, path: str, evidence: Evidence) -> DriverError:
    if error in ("EACCES", "EPERM"):
        return CannotLook("no_permission", evidence, path=path)
    if error in ("ENODEV", "ENXIO"):
        return DriverError(Condition.ABSENT, "no_printer", evidence)
    if error in _UNREACHABLE:
        return DriverError(Condition.UNREACHABLE, "usb_silent", evidence)
    return CannotLook("no_port_status", evidence, error=error or "no answer")
