"""Can this printer copy? Evidence of a scanner in the same device; copying itself cannot be observed.

True if the device's own scanner answers eSCL (Mopria eSCL 2.97: `/eSCL/ScannerCapabilities` with a platen or a feeder), or
if the USB device has a scanner interface in addition to the printer's: still image (06), or vendor specific (FF, used by nearly
all scanners of cheap all-in-ones) except the known other uses of FF. False if a USB device has only printer interfaces
and does not name itself a multi-function device. Else null. `copies-supported` of IPP is about copies of a job.
"""

import asyncio
import re
from typing import NamedTuple

from drivers.printer.usb import UsbPrinter
from drivers.printer.wire import Address, BadHttp, HttpAnswer, NoAnswer, request
from drivers.reading import Evidence

_MULTI = re.compile(r"\b(mfp|mfc|dcp|mopier|copier|all[- ]in[- ]one|multi-?function)|多功能|一体|复印", re.IGNORECASE)
_OTHER_VENDOR_USES = ("ff/cc/", "ff/04/")  # HP: management and firmware, on plain printers as well
_STILL_IMAGE, _VENDOR = "06/", "ff/"
_MAX_BODY = 128 * 1024


class Copier(NamedTuple):
    """The state of the copy function."""

    can_copy: bool | None
    because: str  # escl, usb_still_image, usb_vendor_interface, printer_interfaces_only, no_evidence, earlier
    evidence: tuple[Evidence, ...] = ()


def copier_by_usb(printer: UsbPrinter, device_id: str = "") -> Copier:
    """From the interfaces of the device."""
    kinds = [interface.kind for interface in printer.interfaces]
    name = f"{printer.label} {device_id}"
    evidence = (Evidence("usb interfaces", printer.identity, kinds),)
    if any(kind.startswith(_STILL_IMAGE) for kind in kinds):
        return Copier(True, "usb_still_image", evidence)
    if any(kind.startswith(_VENDOR) and not kind.startswith(_OTHER_VENDOR_USES) for kind in kinds):
        return Copier(True, "usb_vendor_interface", evidence)
    if all(re.fullmatch("07/01/0[123]", kind) for kind in kinds) and not _MULTI.search(name):
        return Copier(False, "printer_interfaces_only", evidence)
    return Copier(None, "no_evidence", evidence)


async def copier_by_escl(places: tuple[Address, ...], budget_s: float) -> Copier:
    """By querying the scanner; null if none answers, which proves nothing."""
    tried: list[str] = []
    try:
        async with asyncio.timeout(budget_s):
            for place in places:
                result = await _capabilities(place, budget_s)
                tried.append(f"{place.host}:{place.port}{place.path} {result}")
                if result == "scanner":
                    state = await _state(place, budget_s)
                    raw = {"capabilities": "platen or feeder", "state": state}
                    return Copier(True, "escl", (Evidence("escl", f"{place.host}:{place.port}{place.path}", raw),))
    except TimeoutError:
        tried.append("timeout")
    return Copier(None, "no_evidence", (Evidence("escl", raw=tried),))


async def _capabilities(place: Address, budget_s: float) -> str:
    """`scanner` if it returns capabilities with a platen or feeder; else what it returned instead."""
    try:
        answer = await _get(place, "ScannerCapabilities", budget_s)
    except (NoAnswer, BadHttp) as error:
        return str(error)[:80]
    if answer.status != 200:
        return f"status {answer.status}"
    is_scanner = re.search(rb"<(\w+:)?ScannerCapabilities\b", answer.body)
    has_glass = re.search(rb"<(\w+:)?(Platen|Adf)\b", answer.body)
    return "scanner" if is_scanner and has_glass else "no scanner's answer"


async def _state(place: Address, budget_s: float) -> str:
    """Idle, Processing, Stopped, Testing, Down; empty if the scanner does not report it."""
    try:
        answer = await _get(place, "ScannerStatus", budget_s)
    except (NoAnswer, BadHttp):
        return ""
    match = re.search(rb"<(?:\w+:)?State>\s*([A-Za-z]{1,20})\s*<", answer.body)
    return match[1].decode() if match and answer.status == 200 else ""


async def _get(place: Address, document: str, budget_s: float) -> HttpAnswer:
    address = place._replace(path=f"{place.path.rstrip('/')}/{document}")
    return await request("GET", address, b"", budget_s=budget_s, max_body=_MAX_BODY)
