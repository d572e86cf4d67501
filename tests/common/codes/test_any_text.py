"""Any text has a meaning, and nothing wrong is ever called right."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from support.codes import GTIN, PESTICIDE, VET

from common.codes.gs1 import CHECKED
from common.codes.meaning import inspect_scan, meaning
from common.codes.types import check_digit_valid, is_date, is_short_date
from drivers.catalogue import sentence

PIECES = st.sampled_from(
    ["01", "10", "17", "21", "8003", "(", ")", "\x1d", "]", "C1", "http://", "www.", "a.cn", "/", "?", "=", "&", "#", "%",
     "\n", "[", GTIN, PESTICIDE, VET, "²", "6", "种", "\udcff", "\0"]
)  # fmt: skip
TEXTS = st.text() | st.lists(PIECES | st.text(max_size=3)).map("".join) | st.text("0123456789", max_size=40)
SYMBOLOGIES = (
    st.none() | st.sampled_from(["C1", "e0", "d2", "Q3", "J1", "E0", "E3", "E4", "Q1", "A0", "I0", ""]) | st.text()
)


@given(TEXTS, SYMBOLOGIES)
def test_any_text_has_a_meaning_and_what_is_wrong_is_never_called_right(text: str, symbology: str | None):
    meant = meaning(text, symbology)
    assert meant.text == text
    assert (meant.kind == "unknown") == (not meant.fields)
    if meant.verdict == "ok":
        assert all(field.ok is not False for field in meant.fields)
    for field in meant.fields:
        if field.ok and field.ai in CHECKED:
            assert check_digit_valid(field.value[: CHECKED[field.ai]])
        if field.ok and field.name in ("ean13", "ean8", "upca", "itf14"):
            assert check_digit_valid(field.value)
    if "gtin14" in meant.keys:
        assert check_digit_valid(meant.keys["gtin14"])


@given(TEXTS)
def test_any_text_can_be_inspected_and_written_as_json(text: str):
    reading = inspect_scan(text)
    assert msgspec.json.encode(reading)
    assert sentence("scan_gun", reading.reason).says


@given(st.integers(0, 10**12 - 1), st.integers(1, 9))
def test_of_ten_check_digits_exactly_one_is_ok(payload: int, by: int):
    body = f"{payload:012}"
    right = [digit for digit in "0123456789" if check_digit_valid(body + digit)]
    assert len(right) == 1
    wrong = (int(right[0]) + by) % 10
    for text, symbology in ((f"{body}{wrong}", None), (f"010{body}{wrong}", "C1"), (f"(01)0{body}{wrong}", None)):
        assert meaning(text, symbology).verdict != "ok"


def test_the_check_digit_agrees_with_biip():
    from biip.checksums import gs1_standard_check_digit

    for body in ("690123456789", "6901234", "01234567890", "10614141234567890"):
        assert check_digit_valid(f"{body}{gs1_standard_check_digit(body)}")


def test_days_are_days_of_the_calendar():
    assert is_date("20240229") and not is_date("20250229") and not is_date("00000000") and not is_date("2025022")
    assert is_short_date("240229", zero_day=False) and not is_short_date("250229", zero_day=True)
