"""USB printers: presence by sysfs, the port status, and whether the device can copy."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from drivers.printer.copier import copier_by_usb
from drivers.printer.driver import Printer, find
from drivers.printer.port import reading_of_port
from drivers.printer.usb import UsbPrinter, ipp_usb_ports, usb_printers
from drivers.reading import Condition, DriverError, Reading

PRINTER, SCANNER = ("07/01/02", "usblp"), ("ff/ff/ff", "")


def _port(printer: UsbPrinter, status: int, previous: Reading | None = None) -> Reading:
    return reading_of_port({"status": status, "how": "LPGETSTATUS"}, printer, previous)


@pytest.fixture
def one(usb: Any) -> UsbPrinter:
    usb.plug("1-2", [PRINTER, SCANNER])
    return usb_printers(usb.root)[0]


def test_a_usb_printer_is_found_with_its_stable_identity(usb: Any) -> None:
    usb.plug("1-2", [PRINTER, SCANNER])
    usb.plug("1-3", [("03/01/01", "usbhid")], serial="KEYBOARD")
    usb.plug("1-4", [PRINTER], serial="")
    found = find(usb.root)
    assert [(item.identity, item.options) for item in found] == [
        ("usb:232b:3a50:@1-4", {"usb": "232b:3a50:@1-4"}),
        ("usb:232b:3a50:CK1A0001", {"usb": "232b:3a50:CK1A0001"}),
    ]
    assert found[1].label == "Pantum M6760DW series"
    for item in found:
        assert [
            printer.identity for printer in usb_printers(usb.root) if printer.matches(str(item.options["usb"]))
        ] == [item.identity]


async def test_a_printer_that_cups_holds_is_in_use_not_unplugged(usb: Any) -> None:
    usb.plug("1-2", [("07/01/02", "usbfs"), SCANNER])
    reading = await Printer(id="p").look(usb.root)
    assert (reading.condition, reading.reason.code) == (Condition.IN_USE, "printing")


async def test_an_unplugged_printer_is_absent(usb: Any) -> None:
    usb.plug("1-2", [PRINTER])
    assert (await Printer(id="p").look(usb.root)).condition is not Condition.ABSENT
    usb.unplug("1-2")
    assert (await Printer(id="p").look(usb.root)).reason.code == "no_printer"
    assert (await Printer(id="p", usb="232b:3a50").look(usb.root)).reason.code == "no_usb_printer"


@pytest.mark.parametrize("again", [False, True], ids=["pulled", "pulled and plugged"])
async def test_a_printer_unplugged_during_the_query_is_absent_or_queried_again(usb: Any, again: bool) -> None:
    usb.plug("1-2", [PRINTER])
    look = asyncio.create_task(Printer(id="p", cups="off").look(usb.root))
    while not psutil.Process().children():  # noqa: ASYNC110 - the one that reads the port, not yet at it
        await asyncio.sleep(0.001)
    usb.unplug("1-2")
    if again:
        usb.plug("1-2", [PRINTER], serial="NEW", device_number=5)
    reading = await look
    assert reading.reason.code == ("no_port_status" if again else "no_printer")
    assert reading.measures.get("device") == ("usb:232b:3a50:NEW" if again else None)


async def test_another_printer_than_the_configured_one_does_not_stand_in_for_it(usb: Any) -> None:
    usb.plug("1-2", [PRINTER], serial="OTHER")
    assert (await Printer(id="p", usb="232B:3A50:CK1A0001").look(usb.root)).condition is Condition.ABSENT
    assert (await Printer(id="p", usb="232B:3A50").look(usb.root)).condition is not Condition.ABSENT


async def test_a_printer_whose_port_cannot_be_read_is_unknown(usb: Any) -> None:
    usb.plug("1-2", [PRINTER])
    reading = await Printer(id="p").look(usb.root)  # no device node below this root
    assert (reading.condition, reading.reason.code) == (Condition.UNKNOWN, "no_port_status")
    (usb.root / "dev/usb").mkdir(parents=True)
    (usb.root / "dev/usb/lp0").write_bytes(b"")  # a file supports no ioctl
    reading = await Printer(id="p").look(usb.root)
    assert reading.reason.params == {"error": "ENOTTY"}
    assert reading.measures["can_copy"] is False


def test_a_good_port_status_is_working_with_its_doubt_in_the_reason(one: UsbPrinter) -> None:
    reading = _port(one, 0x18)
    assert (reading.condition, reading.reason.code) == (Condition.WORKING, "ok_usb")


@pytest.mark.parametrize("status", [0x20, 0x28, 0x30, 0x38])
def test_the_paper_bit_is_always_believed(one: UsbPrinter, status: int) -> None:
    assert _port(one, status).reason.code == "paper_out"


@pytest.mark.parametrize(("status", "code"), [(0x10, "port_error"), (0x00, "port_error"), (0x08, "off_line")])
def test_an_error_bit_is_believed_once_the_printer_was_seen_without_it(one: UsbPrinter, status: int, code: str) -> None:
    first = _port(one, status)
    assert (first.condition, first.reason.code) == (Condition.UNKNOWN, "port_unproved")
    again = _port(one, status, first)
    assert again.condition is Condition.UNKNOWN
    later = _port(one, status, _port(one, 0x18, again))
    assert (later.condition, later.reason.code) == (Condition.FAULTY, code)


def test_another_device_does_not_inherit_what_was_seen(one: UsbPrinter) -> None:
    good = _port(one, 0x18)
    assert _port(one._replace(serial="NEW"), 0x10, good).reason.code == "port_unproved"


def test_what_is_remembered_of_the_port_stays_bounded(one: UsbPrinter) -> None:
    reading = None
    for status in range(256):
        reading = _port(one, status, reading)
    assert reading is not None
    assert len(str(reading.measures["port_status_seen"]).split()) <= 8


@pytest.mark.parametrize(
    ("error", "condition", "code"),
    [("EACCES", "unknown", "no_permission"), ("ENODEV", "absent", "no_printer"), ("EIO", "unreachable", "usb_silent"),
     ("ETIMEDOUT", "unreachable", "usb_silent"), ("EPIPE", "unknown", "no_port_status")],
)  # fmt: skip
def test_each_error_of_the_port_has_its_condition(one: UsbPrinter, error: str, condition: str, code: str) -> None:
    with pytest.raises(DriverError) as caught:
        reading_of_port({"error": error, "path": "/dev/usb/lp0"}, one, None)
    assert (caught.value.reading.condition, caught.value.reading.reason.code) == (condition, code)


@pytest.mark.parametrize(
    ("kinds", "product", "can_copy", "because"),
    [
        (["07/01/02"], "LaserJet 1020", False, "printer_interfaces_only"),
        (["07/01/02", "07/01/01"], "P2200", False, "printer_interfaces_only"),
        (["07/01/02"], "LaserJet M1136 MFP", None, "no_evidence"),
        (["07/01/02", "ff/ff/ff"], "M6760DW series", True, "usb_vendor_interface"),
        (["07/01/02", "ff/cc/00", "ff/04/01"], "DeskJet 1000", None, "no_evidence"),
        (["07/01/02", "06/01/01"], "MFP 135", True, "usb_still_image"),
        (["07/01/02", "07/01/04"], "LaserJet M15w", None, "no_evidence"),
        (["07/01/02", "08/06/50"], "LaserJet P1102", None, "no_evidence"),
    ],
)
def test_the_copy_function_is_judged_by_the_interfaces(
    usb: Any, kinds: list[str], product: str, can_copy: bool | None, because: str
) -> None:
    usb.plug("1-2", [(kind, "") for kind in kinds], product=product)
    copier = copier_by_usb(usb_printers(usb.root)[0])
    assert (copier.can_copy, copier.because) == (can_copy, because)
    assert copier.evidence[0].raw == kinds


def test_ipp_usb_is_queried_at_the_port_of_its_state_file(usb: Any) -> None:
    usb.plug("1-2", [("07/01/02", "usblp"), ("07/01/04", "usbfs")])
    usb.plug("1-3", [PRINTER], serial="PLAIN")
    multi, plain = usb_printers(usb.root)
    assert (ipp_usb_ports(usb.root, multi), ipp_usb_ports(usb.root, plain)) == ([60000], [])
    folder = usb.root / "var/ipp-usb/dev"
    folder.mkdir(parents=True)
    (folder / "232b-3a50-OTHER-Pantum-M6760DW-series.state").write_text("[device]\nhttp-port = 60001\n")
    (folder / "232b-3a50-CK1A0001-Pantum-M6760DW-series.state").write_text("[device]\nhttp-port = 60002\n")
    assert ipp_usb_ports(usb.root, multi) == [60002]


async def test_a_printer_behind_ipp_usb_reports_its_own_state(usb: Any, fake_printer: Any) -> None:
    usb.plug("1-2", [("07/01/02", "usbfs"), ("07/01/04", "usbfs")])
    folder = usb.root / "var/ipp-usb/dev"
    folder.mkdir(parents=True)
    (folder / "232b-3a50-CK1A0001-Pantum.state").write_text(f"[device]\nhttp-port = {fake_printer.port}\n")
    fake_printer.says("media-jam-error", state=5)
    fake_printer.documents["/eSCL/ScannerCapabilities"] = (200, "<scan:ScannerCapabilities><scan:Adf></scan:Adf>")
    reading = await Printer(id="p").look(usb.root)
    assert (reading.reason.code, reading.measures["can_copy"]) == ("paper_jam", True)


def test_the_child_runs_by_hand_and_reports_what_failed(tmp_path: Path) -> None:
    arguments = {"lp": "", "usbfs": str(tmp_path / "none"), "interface": 0, "alternate": 0}
    child = [sys.executable, "-m", "drivers.printer.usb_port", json.dumps(arguments)]
    done = subprocess.run(child, capture_output=True, check=True, cwd=Path(__file__).parents[3])
    assert json.loads(done.stdout) == {
        "how": "GET_PORT_STATUS",
        "error": "ENOENT",
        "path": str(tmp_path / "none"),
        "device_id_error": "ENOENT",
    }
