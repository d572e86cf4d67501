"""The driver over real sockets: states that ippeveprinter cannot show, bad networks, the scanner, CUPS as a second opinion."""

import re
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.catalogue import reason_codes, sentence
from drivers.printer.driver import Printer, find
from drivers.reading import Condition, Reason

CAPABILITIES = "<scan:ScannerCapabilities xmlns:scan='x'><scan:Platen/></scan:ScannerCapabilities>"


def _driver(address: str, **options: Any) -> Printer:
    return msgspec.convert({"id": "main", "address": address, "copy": "off", "cups": "off"} | options, Printer)


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("how", ["plain", "chunked", "no_length", "drip"])
async def test_a_well_printer_is_working_however_it_frames_its_answer(
    fake_printer: Any, tmp_path: Path, how: str
) -> None:
    fake_printer.how = how
    reading = await _driver(fake_printer.address).look(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.WORKING, "ok")
    assert reading.evidence[0].source == fake_printer.address
    assert fake_printer.requests[0][0] == "POST /ipp/print"


@pytest.mark.parametrize(
    ("reasons", "state", "accepting", "code"),
    [(["media-jam-error"], 5, True, "paper_jam"), (["none"], 5, True, "stopped"), (["none"], 3, False, "not_accepting"),
     (["spool-area-full-error"], 5, True, "printer_error"), (["cover-open-error", "toner-low-warning"], 5, True, "cover_open")],
)  # fmt: skip
async def test_faults_that_the_printer_itself_reports(
    fake_printer: Any, tmp_path: Path, reasons: list[str], state: int, accepting: bool, code: str
) -> None:
    fake_printer.says(*reasons, state=state, accepting=accepting)
    reading = await _driver(fake_printer.address).look(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.FAULTY, code)


async def test_a_printer_switched_off_is_unreachable_not_broken(tmp_path: Path) -> None:
    reading = await _driver(f"ipp://127.0.0.1:{_closed_port()}/ipp/print").look(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.UNREACHABLE, "refused")


@pytest.mark.parametrize("how", ["silent", "hang_up"])
async def test_a_printer_that_does_not_answer_is_unreachable(fake_printer: Any, tmp_path: Path, how: str) -> None:
    fake_printer.how = how
    reading = await _driver(fake_printer.address, timeout_s=0.2).look(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.UNREACHABLE, "no_answer")


async def test_a_name_that_nobody_knows_is_unreachable(tmp_path: Path) -> None:
    reading = await _driver("ipp://no-such-printer.invalid/ipp/print").look(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.UNREACHABLE, "name_unknown")


@pytest.mark.parametrize("how", ["truncated", "no_http"])
async def test_a_garbled_answer_is_unknown(fake_printer: Any, tmp_path: Path, how: str) -> None:
    fake_printer.how = how
    reading = await _driver(fake_printer.address).look(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.UNKNOWN, "ipp_garbled")


async def test_a_web_server_is_no_printer(fake_printer: Any, tmp_path: Path) -> None:
    fake_printer.body = b"<html><body>It works</body></html>"
    assert (await _driver(fake_printer.address).look(tmp_path)).reason.code == "ipp_garbled"
    fake_printer.http_status = 404
    assert (await _driver(fake_printer.address).look(tmp_path)).reason == Reason("http_refused", {"status": 404})


async def test_a_device_that_does_not_answer_as_a_printer_is_not_queried_for_a_scanner(
    fake_printer: Any, tmp_path: Path
) -> None:
    fake_printer.http_status = 401
    await _driver(fake_printer.address, copy="auto").look(tmp_path)
    assert [line for line, _ in fake_printer.requests] == ["POST /ipp/print"]


async def test_a_certificate_that_the_printer_signed_itself_is_accepted(tls_printer: Any, tmp_path: Path) -> None:
    reading = await _driver(tls_printer.address).look(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.WORKING, "ok")


async def test_a_printer_that_speaks_no_tls_is_unknown_over_ipps(fake_printer: Any, tmp_path: Path) -> None:
    reading = await _driver(fake_printer.address.replace("ipp:", "ipps:"), timeout_s=0.3).look(tmp_path)
    assert (reading.condition, reading.reason.code) in (
        (Condition.UNKNOWN, "tls_failed"),
        (Condition.UNREACHABLE, "no_answer"),
    )


async def test_a_scanner_in_the_same_device_proves_the_copier(fake_printer: Any, tmp_path: Path) -> None:
    fake_printer.documents = {
        "/eSCL/ScannerCapabilities": (200, CAPABILITIES),
        "/eSCL/ScannerStatus": (200, "<pwg:State>Idle</pwg:State>"),
    }
    reading = await _driver(fake_printer.address, copy="auto").look(tmp_path)
    assert (reading.measures["can_copy"], reading.measures["copy_because"]) == (True, "escl")
    assert reading.evidence[-1].raw == {"capabilities": "platen or feeder", "state": "Idle"}


async def test_copies_of_a_job_are_no_copier(fake_printer: Any, tmp_path: Path) -> None:
    fake_printer.attributes["copies-supported"] = (0x33, [b"\0\0\0\1\0\0\3\xe7"])
    copy = f"http://127.0.0.1:{fake_printer.port}/eSCL"
    reading = await _driver(fake_printer.address, copy=copy).look(tmp_path)
    assert reading.measures["can_copy"] is None


async def test_a_scanner_asleep_now_is_remembered_from_the_previous_look(fake_printer: Any, tmp_path: Path) -> None:
    copy = f"http://127.0.0.1:{fake_printer.port}/eSCL"
    fake_printer.documents = {"/eSCL/ScannerCapabilities": (200, CAPABILITIES)}
    printer = _driver(fake_printer.address, copy=copy)
    first = await printer.look(tmp_path)
    fake_printer.documents = {"/eSCL/ScannerCapabilities": (503, "")}
    second = await printer.look(tmp_path, first)
    assert (second.measures["can_copy"], second.measures["copy_because"]) == (True, "earlier")
    assert (await printer.look(tmp_path)).measures["can_copy"] is None


def _queue(uri: str, *, state: int = 3, accepting: bool = True, jobs: int = 0, reasons: str = "none") -> dict[str, Any]:
    return {
        "printer-name": (0x42, ["MFP"]), "device-uri": (0x45, [uri]), "printer-state": (0x23, [state]),
        "printer-state-reasons": (0x44, [reasons]), "printer-is-accepting-jobs": (0x22, [accepting]),
        "queued-job-count": (0x21, [jobs]),
    }  # fmt: skip


async def test_the_queue_of_cups_never_makes_a_dead_printer_work(fake_cups: Any, tmp_path: Path) -> None:
    address = f"ipp://127.0.0.1:{_closed_port()}/ipp/print"
    fake_cups.attributes = [_queue(address)]  # "idle", though the printer is gone
    reading = await _driver("auto", cups="auto").look(tmp_path)
    assert reading.condition is Condition.UNREACHABLE
    assert reading.evidence[-1].method == "cups"
    assert reading.evidence[-1].raw[0]["contradicts"] is True


async def test_a_paused_queue_before_a_well_printer_wants_attention(
    fake_cups: Any, fake_printer: Any, tmp_path: Path
) -> None:
    fake_cups.attributes = [_queue(fake_printer.address, state=5, accepting=False, jobs=3, reasons="paused")]
    del fake_printer.attributes["queued-job-count"]
    reading = await _driver(fake_printer.address, cups="auto").look(tmp_path)
    assert (reading.condition, reading.reason) == (Condition.ATTENTION, Reason("queue_paused", {"queue": "MFP"}))
    assert reading.measures["jobs_waiting"] == 3
    fake_cups.attributes.append(_queue(fake_printer.address))  # a second queue that takes jobs
    assert (await _driver(fake_printer.address, cups="auto").look(tmp_path)).condition is Condition.WORKING


async def test_a_queue_to_an_unplugged_usb_printer_is_shown_and_the_printer_absent(
    fake_cups: Any, tmp_path: Path
) -> None:
    fake_cups.attributes = [_queue("usb://Pantum/M6760DW%20series?serial=CK1A0001")]
    reading = await _driver("auto", cups="auto").look(tmp_path)
    assert (reading.condition, reading.evidence[-1].method) == (Condition.ABSENT, "cups")


async def test_jobs_that_wait_for_a_usb_printer_are_counted_by_its_own_queue(usb: Any, fake_cups: Any) -> None:
    usb.plug("1-2", [("07/01/02", "usbfs")])
    fake_cups.attributes = [
        _queue("usb://Pantum/M6760DW%20series?serial=OTHER", jobs=9),
        _queue("usb://Pantum/X?serial=CK1A0001", jobs=2),
    ]
    reading = await _driver("auto", cups="auto").look(usb.root)
    assert reading.measures["jobs_waiting"] == 2


async def test_an_old_network_printer_without_ipp_is_there_but_unproved(
    fake_cups: Any, fake_printer: Any, tmp_path: Path
) -> None:
    fake_cups.attributes = [_queue(f"socket://127.0.0.1:{fake_printer.port}")]  # port 631 itself is closed
    reading = await _driver(f"ipp://127.0.0.1:{_closed_port()}", cups="auto").look(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.UNKNOWN, "no_ipp")


async def test_a_broken_cups_costs_nothing_but_its_opinion(fake_cups: Any, fake_printer: Any, tmp_path: Path) -> None:
    fake_cups.body = b"\x01\x01garbage"
    assert (await _driver(fake_printer.address, cups="auto").look(tmp_path)).condition is Condition.WORKING


async def test_nothing_connected_is_absent(tmp_path: Path) -> None:
    assert (await Printer(id="main").look(tmp_path)).reason.code == "no_printer"
    assert find(tmp_path) == []


@pytest.mark.parametrize(
    "table",
    [{"address": "192.168.1.50"}, {"address": "ipp://"}, {"address": "ipp://h:99999"}, {"usb": "pantum"}, {"copy": "yes"},
     {"timeout_s": 9}, {"adress": "auto"}, {"address": "ipp://h", "usb": "232b:3a50"}],
)  # fmt: skip
def test_a_wrong_table_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"id": "main"} | table, Printer)


def test_every_reason_is_in_the_catalogue_in_both_languages_and_none_is_idle() -> None:
    folder = Path(__file__).parents[3] / "drivers/printer"
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    listed = set(re.findall(r"^\[(\w+)\]$", (folder / "reasons.toml").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r'"([a-z_]+)"', source))
    assert listed - reason_codes("") <= named  # a text of any driver may be replaced by a better one
    given = set(
        re.findall(r'(?:Finding\([^"]*|_rule\([^\n]*|CannotLook\(|ABSENT, |UNREACHABLE, |Reason\()"([a-z_]+)"', source)
    )
    assert given <= reason_codes("printer")
    for code in listed:
        for lang in ("zh", "en"):
            words = sentence(
                "printer",
                Reason(
                    code,
                    {"host": "h", "status": 1, "error": "e", "keyword": "k", "usb": "u", "queue": "q", "budget_s": 8},
                ),
                lang,
            )
            assert words.says and "{" not in words.says + words.remedy


def test_the_sample_shows_every_option_with_its_default() -> None:
    import tomllib

    table = tomllib.loads((Path(__file__).parents[3] / "drivers/printer/sample.toml").read_text("utf-8"))["device"][0]
    assert table.pop("class") == "printer"
    assert msgspec.convert(table, Printer) == Printer(id="main")
    assert set(table) == set(Printer.__struct_fields__)
