"""An IPP printer's state attributes to a reading: RFC 8011 sections 5.4.11, 5.4.12, 5.4.23 and the IANA registry of reasons.

Suffixes (`-report`, `-warning`, `-error`; none means error): by RFC 8011 a warning stops no job, but printers differ
(ippeveprinter sets the suffix by its own state, so that an empty tray is `media-empty-report` while idle). So mechanical
reasons (jam, open cover) count regardless of the suffix; an empty tray or cartridge that is only a report or warning is a
fault if the levels confirm it, else `attention`: another tray or the rest of the toner still prints.
"""

import re
from typing import NamedTuple

from drivers.printer.ipp import Answer, Attributes, BadIpp, Value, decode
from drivers.printer.supplies import Paper, Toner, paper, toner
from drivers.printer.wire import Assembler, BadHttp, NoAnswer
from drivers.reading import CannotLook, Condition, Evidence, Reading, Reason, Scalar

WANTED = (
    "printer-state", "printer-state-reasons", "printer-state-message", "printer-is-accepting-jobs", "queued-job-count",
    "printer-make-and-model", "printer-device-id", "printer-uuid", "printer-info", "printer-alert",
    "marker-levels", "marker-names", "marker-types", "marker-low-levels", "printer-supply", "printer-input-tray",
    "media-ready", "printer-impressions-completed", "printer-pages-completed", "printer-media-sheets-completed",
)  # fmt: skip
_IDLE, _PROCESSING, _STOPPED = 3, 4, 5
_PAGES = ("printer-impressions-completed", "printer-pages-completed", "printer-media-sheets-completed")
_MAX_MESSAGE = 512 * 1024


class Rule(NamedTuple):
    """The meaning of a reason keyword. The first rule of the table that matches applies."""

    keyword: re.Pattern[str]
    code: str
    condition: Condition  # if it is an error
    warned: Condition | None = None  # if it is only a report or warning; None: the same


def _rule(pattern: str, code: str, condition: Condition, warned: Condition | None = None) -> Rule:
    return Rule(re.compile(pattern), code, condition, warned)


_F, _A, _W = Condition.FAULTY, Condition.ATTENTION, Condition.WORKING
RULES = (
    _rule(r"(.*-)?(almost-(empty|full|over)|near-(empty|full|eol|limit)|life-almost-over)", "supply_low", _A),
    _rule(r"(toner|marker-supply|marker-ink|ink|marker-toner)-low", "toner_low", _A),
    _rule(r"media-low|(.*-)?tray-low", "paper_low", _A),
    _rule(r".*-low", "supply_low", _A),
    _rule(r"(.*-)?jam(med)?", "paper_jam", _F),
    _rule(r"(.*-)?(cover|door|interlock)-open", "cover_open", _F),
    _rule(r"media-empty|(.*-)?(input-|media-)*tray-empty|media-needed", "paper_out", _F),
    _rule(r"(toner|marker-supply|marker-ink|ink|marker-toner|marker-toner-cartridge)-empty", "toner_empty", _F),
    _rule(r"(.*waste.*|output-area)-full", "box_full", _F, _A),
    _rule(r".*-missing", "part_missing", _F, _A),
    _rule(r"shutdown|deactivated|power-down", "shut_down", _F),
    _rule(r"timed-out|connecting-to-device", "no_device_answer", _F, _A),
    _rule(r".*-(failure|life-over|unrecoverable-storage-error|over-temperature|under-temperature)", "broken_part", _F, _A),
    _rule(r"paused|moving-to-paused|hold-new-jobs", "paused", _A),
    _rule(
        r"none|sleep.*|standby|suspend|hibernate|.*power-saver.*|.*warming-up.*|resuming|calibrating|testing|configuration-change"
        r"|cups-.*|wfds-.*|identify-printer-requested|.*-(added|removed|closed|cover-closed|interlock-closed|turned-on|turned-off)"
        r"|alert-removal-of-binary-change-entry|.*-configuration-change|purging|cleaning|.*-initializing",
        "ok", _W,
    ),
)  # fmt: skip
_URGENT = ("paper_jam", "cover_open", "paper_out", "toner_empty", "part_missing", "box_full", "broken_part", "shut_down",
           "no_device_answer", "not_accepting", "stopped", "printer_error", "tray_empty", "toner_low", "paused",
           "paper_low", "supply_low", "printer_warning")  # fmt: skip


class Finding(NamedTuple):
    """One state that the printer reports."""

    condition: Condition
    code: str
    keyword: str = ""


def inspect_ipp(body: bytes) -> Reading:
    """The reading of a recorded answer: an IPP body, or a complete HTTP answer with one. Never raises on hostile bytes."""
    try:
        if body.startswith(b"HTTP/"):
            http = Assembler(_MAX_MESSAGE)
            body = (http.feed(body) or http.close()).body
        return reading_of(decode(body))
    except (BadIpp, BadHttp, NoAnswer) as error:
        return CannotLook("ipp_garbled", Evidence("ipp", raw=body[:32].hex()), error=str(error)).reading
    except CannotLook as error:
        return error.reading


def reading_of(answer: Answer, source: str = "") -> Reading:
    """The reading of a Get-Printer-Attributes answer; CannotLook if the printer refuses or reports no state."""
    if answer.status >= 0x0100:
        status = f"0x{answer.status:04x}"
        raise CannotLook("ipp_refused", Evidence("ipp get-printer-attributes", source, status), status=status)
    printers = answer.printers()
    if not printers or _count(printers[0], "printer-state") is None:
        raise CannotLook("no_state", Evidence("ipp get-printer-attributes", source))
    return _judge(printers[0], source)


def _judge(printer: Attributes, source: str) -> Reading:
    state, ink, sheets = _count(printer, "printer-state"), toner(printer), paper(printer)
    keywords = [value for value in printer.get("printer-state-reasons", []) if isinstance(value, str)]
    findings = [_finding(re.sub(r"[^\w.-]", "?", keyword[:128]), ink, sheets) for keyword in keywords[:64]]
    if ink.low and not any(finding.code.startswith("toner_") for finding in findings):
        findings.append(Finding(Condition.ATTENTION, "toner_low"))
    if _first(printer, "printer-is-accepting-jobs") is False:
        findings.append(Finding(Condition.FAULTY, "not_accepting"))
    if state == _STOPPED and not any(f.condition is Condition.FAULTY or f.code == "paused" for f in findings):
        findings.append(Finding(Condition.FAULTY, "stopped"))
    return Reading(
        condition=(worst := _worst(findings, state)).condition,
        reason=Reason(worst.code, {"keyword": worst.keyword} if worst.code.startswith("printer_") else {}),
        measures=_measures(printer, ink),
        evidence=(Evidence("ipp get-printer-attributes", source, _raw(printer)),),
    )


def _worst(findings: list[Finding], state: int | None) -> Finding:
    """Faults before warnings; a printer that is printing is in use if there is no fault."""
    for condition in (Condition.FAULTY, Condition.ATTENTION):
        if bad := [finding for finding in findings if finding.condition is condition]:
            return min(bad, key=lambda finding: _URGENT.index(finding.code))
    if state == _PROCESSING:
        return Finding(Condition.IN_USE, "printing")
    if state == _IDLE:
        return Finding(Condition.WORKING, "ok")
    return Finding(Condition.UNKNOWN, "no_state")  # RFC 8011 defines only 3, 4 and 5


def _finding(reported: str, ink: Toner, sheets: Paper) -> Finding:
    """The meaning of one value of printer-state-reasons."""
    keyword, severity = reported, "error"
    if match := re.fullmatch(r"(.+)-(report|warning|error)", reported):
        keyword, severity = match[1], match[2]
    rule = next((rule for rule in RULES if rule.keyword.fullmatch(keyword)), None)
    if rule is None:
        return _unlisted(reported, severity)
    if severity != "error" and rule.code == "paper_out" and sheets.left is not False:
        return Finding(Condition.ATTENTION, "tray_empty", reported)
    if severity != "error" and rule.code == "toner_empty" and ink.left is not False:
        return Finding(Condition.ATTENTION, "toner_low", reported)
    condition = rule.condition if severity == "error" else rule.warned or rule.condition
    return Finding(condition, rule.code, reported)


def _unlisted(reported: str, severity: str) -> Finding:
    """A vendor's own keyword: by its suffix; without one it is only shown as a warning."""
    if severity == "report":
        return Finding(Condition.WORKING, "ok", reported)
    if reported.endswith("-error"):
        return Finding(Condition.FAULTY, "printer_error", reported)
    return Finding(Condition.ATTENTION, "printer_warning", reported)


def _measures(printer: Attributes, ink: Toner) -> dict[str, Scalar]:
    pages = (_count(printer, name) for name in _PAGES)
    return {
        "toner_percent": ink.percent,
        "jobs_waiting": _count(printer, "queued-job-count"),
        "pages_total": next((count for count in pages if count is not None), None),
    }


def _raw(printer: Attributes) -> dict[str, object]:
    """The attributes that decided, JSON-able and short."""
    names = [name for name in WANTED if name in printer]
    return {name: [_plain(value) for value in printer[name][:8]] for name in names}


def _plain(value: Value) -> str | int | bool | None:
    if isinstance(value, bytes):
        return value[:200].decode("utf-8", "backslashreplace")
    return value if isinstance(value, int | bool | None) else str(value)[:200]


def _first(printer: Attributes, name: str) -> Value:
    return next(iter(printer.get(name, [])), None)


def _count(printer: Attributes, name: str) -> int | None:
    value = _first(printer, name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
