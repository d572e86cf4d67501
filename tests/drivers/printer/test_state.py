"""The meaning of a printer's own attributes: reasons with their suffixes, levels that are not percentages, states."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.printer.driver import inspect_ipp
from drivers.reading import Condition, Reading

CASES = Path(__file__).parent / "cases"
Answer = Callable[..., bytes]


def _says(
    ipp_answer: Answer, *reasons: str, state: int = 3, accepting: bool = True, **more: tuple[int, list[Any]]
) -> Reading:
    attributes: dict[str, tuple[int, list[Any]]] = {
        "printer-state": (0x23, [state]),
        "printer-state-reasons": (0x44, list(reasons)),
        "printer-is-accepting-jobs": (0x22, [accepting]),
    }
    return inspect_ipp(ipp_answer(attributes | {name.replace("_", "-"): value for name, value in more.items()}))


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_recorded_answers_give_their_readings(case: str) -> None:
    reading = inspect_ipp((CASES / case / "answer.ipp").read_bytes())
    assert msgspec.json.decode(msgspec.json.encode(reading)) == msgspec.json.decode(
        (CASES / case / "reading.json").read_bytes()
    )


@pytest.mark.parametrize(
    ("reason", "condition", "code"),
    [
        ("none", "working", "ok"), ("sleep-report", "working", "ok"), ("cups-waiting-for-job-completed-report", "working", "ok"),
        ("media-empty", "faulty", "paper_out"), ("media-empty-error", "faulty", "paper_out"),
        ("media-needed-error", "faulty", "paper_out"), ("media-empty-warning", "attention", "tray_empty"),
        ("input-media-tray-empty-report", "attention", "tray_empty"),
        ("media-jam", "faulty", "paper_jam"), ("media-jam-warning", "faulty", "paper_jam"),
        ("fuser-jam-error", "faulty", "paper_jam"),
        ("cover-open-report", "faulty", "cover_open"), ("door-open", "faulty", "cover_open"),
        ("interlock-open", "faulty", "cover_open"),
        ("toner-empty-error", "faulty", "toner_empty"), ("marker-supply-empty", "faulty", "toner_empty"),
        ("toner-empty-warning", "attention", "toner_low"), ("toner-low-report", "attention", "toner_low"),
        ("marker-supply-low-warning", "attention", "toner_low"), ("media-low-report", "attention", "paper_low"),
        ("marker-waste-almost-full-warning", "attention", "supply_low"), ("opc-near-eol", "attention", "supply_low"),
        ("marker-waste-full-error", "faulty", "box_full"), ("input-tray-missing", "faulty", "part_missing"),
        ("fuser-over-temp-error", "faulty", "printer_error"), ("fuser-thermistor-failure-error", "faulty", "broken_part"),
        ("opc-life-over-warning", "attention", "broken_part"), ("shutdown", "faulty", "shut_down"),
        ("timed-out", "faulty", "no_device_answer"), ("paused", "attention", "paused"),
        ("moving-to-paused", "attention", "paused"),
        ("com.vendor-strange-error", "faulty", "printer_error"), ("com.vendor-strange-warning", "attention", "printer_warning"),
        ("com.vendor-strange", "attention", "printer_warning"), ("com.vendor-strange-report", "working", "ok"),
    ],
)  # fmt: skip
def test_each_reason_has_its_condition(ipp_answer: Answer, reason: str, condition: str, code: str) -> None:
    reading = _says(ipp_answer, reason)
    assert (reading.condition, reading.reason.code) == (condition, code)


def test_an_empty_tray_is_a_fault_only_if_no_other_tray_has_paper(ipp_answer: Answer) -> None:
    trays = [
        b"type=sheetFeedAutoRemovableTray;maxcapacity=250;level=0;name=a;",
        b"type=sheetFeedAutoRemovableTray;level=%d;name=b;",
    ]
    for level, code in ((0, "paper_out"), (100, "tray_empty"), (-3, "tray_empty"), (-2, "paper_out")):
        values = [trays[0], trays[1] % level]
        assert _says(ipp_answer, "media-empty-warning", printer_input_tray=(0x30, values)).reason.code == code, level


def test_of_several_reasons_the_worst_counts(ipp_answer: Answer) -> None:
    assert _says(ipp_answer, "toner-low-report", "cover-open-error", "media-empty-error").reason.code == "cover_open"
    assert _says(ipp_answer, "toner-low-report", state=4).condition is Condition.ATTENTION


def test_a_printing_printer_is_in_use(ipp_answer: Answer) -> None:
    assert _says(ipp_answer, "none", state=4).condition is Condition.IN_USE


def test_a_stopped_printer_is_faulty_and_a_paused_one_wants_attention(ipp_answer: Answer) -> None:
    assert _says(ipp_answer, "none", state=5).reason.code == "stopped"
    assert _says(ipp_answer, "toner-low-warning", state=5).condition is Condition.FAULTY
    assert _says(ipp_answer, "paused", state=5).reason.code == "paused"
    assert _says(ipp_answer, "paused", "media-jam-error", state=5).reason.code == "paper_jam"


def test_a_printer_that_accepts_no_jobs_is_faulty(ipp_answer: Answer) -> None:
    assert _says(ipp_answer, "none", accepting=False).reason.code == "not_accepting"


@pytest.mark.parametrize(
    ("levels", "percent"),
    [
        ([-2], None),
        ([-3], None),
        ([-1], None),
        ([-2, 40], 40),
        ([80, 12, 100], 12),
        ([0], 0),
        ([250], None),
        ([], None),
    ],
)
def test_negative_levels_are_never_percentages(ipp_answer: Answer, levels: list[int], percent: int | None) -> None:
    reading = _says(ipp_answer, "none", marker_levels=(0x21, levels))
    assert reading.measures["toner_percent"] == percent
    assert reading.condition is (Condition.ATTENTION if percent == 0 else Condition.WORKING)


def test_waste_boxes_and_drums_are_not_toner(ipp_answer: Answer) -> None:
    markers = {"marker_levels": (0x21, [3, 70, 5]), "marker_types": (0x44, ["waste-toner", "toner-cartridge", "opc"])}
    assert _says(ipp_answer, "none", **markers).measures["toner_percent"] == 70


def test_a_level_at_the_printers_own_low_mark_wants_attention_without_a_reason(ipp_answer: Answer) -> None:
    markers = {"marker_levels": (0x21, [8]), "marker_low_levels": (0x21, [10])}
    reading = _says(ipp_answer, "none", **markers)
    assert (reading.condition, reading.reason.code) == (Condition.ATTENTION, "toner_low")


def test_a_supply_in_grams_is_turned_into_percent_of_its_capacity(ipp_answer: Answer) -> None:
    def percent(text: bytes) -> object:
        return _says(ipp_answer, "none", printer_supply=(0x30, [text])).measures["toner_percent"]

    assert percent(b"class=supplyThatIsConsumed;type=toner;unit=tenthsOfGrams;maxcapacity=400;level=100;") == 25
    assert percent(b"class=supplyThatIsConsumed;type=toner;unit=tenthsOfGrams;maxcapacity=-2;level=100;") is None
    assert percent(b"class=receptacleThatIsFilled;type=wasteToner;unit=percent;maxcapacity=100;level=1;") is None


def test_a_printer_without_a_state_is_unknown_not_working(ipp_answer: Answer) -> None:
    assert inspect_ipp(ipp_answer({"printer-name": (0x42, ["x"])})).reason.code == "no_state"
    assert inspect_ipp(ipp_answer({"printer-state": (0x22, [True])})).reason.code == "no_state"
    assert _says(ipp_answer, "none", state=9).condition is Condition.UNKNOWN


def test_a_refusal_by_status_is_unknown(ipp_answer: Answer) -> None:
    reading = inspect_ipp(ipp_answer({}, 0x0406))
    assert (reading.condition, reading.reason.params) == (Condition.UNKNOWN, {"status": "0x0406"})


def test_a_recording_of_the_whole_http_answer_is_read_too(ipp_answer: Answer) -> None:
    body = (CASES / "idle" / "answer.ipp").read_bytes()
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    assert inspect_ipp(wire) == inspect_ipp(body)


_REASON = st.text("abcdefghijklmnopqrstuvwxyz-\x1b\x00é", max_size=300)
_FIELD = st.tuples(
    st.sampled_from([0x21, 0x22, 0x23, 0x30, 0x33, 0x44, 0x13, 0x7F]),
    st.lists(st.binary(max_size=9), min_size=1, max_size=4),
)
_NAME = st.sampled_from(["printer-state", "printer-state-reasons", "marker-levels", "marker-types", "marker-low-levels",
                         "printer-supply",
                         "printer-input-tray", "queued-job-count", "printer-is-accepting-jobs"])  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(_NAME, _FIELD, max_size=9), st.lists(_REASON, max_size=4))
def test_no_answer_of_any_kind_breaks_the_reading(ipp_answer: Answer, odd: dict[str, Any], reasons: list[str]) -> None:
    base = {"printer-state": (0x23, [struct.pack(">i", 3)]), "printer-state-reasons": (0x44, reasons)}
    reading = inspect_ipp(ipp_answer(base | odd))
    assert msgspec.json.encode(reading)
    assert all(character.isprintable() for character in str(reading.reason.params.get("keyword", "")))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_a_reading_of_unknown(body: bytes) -> None:
    assert inspect_ipp(body).condition is Condition.UNKNOWN
