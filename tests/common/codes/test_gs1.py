"""GS1 element strings, field by field."""

import pytest
from support.codes import GTIN

from common.codes.gs1 import CHECKED
from common.codes.meaning import meaning
from common.codes.types import check_digit_valid


def notes(text: str, symbology: str | None = None) -> dict[str, tuple[bool | None, str]]:
    return {field.name: (field.ok, field.note) for field in meaning(text, symbology).fields}


def test_an_element_string_is_read_field_by_field():
    text = f"01{GTIN}17260131" + "10A1\x1d21XYZ"
    meant = meaning(text, "C1")
    assert (meant.kind, meant.verdict, meant.text) == ("gs1", "ok", text)
    assert meant.keys == {"gtin14": GTIN, "expiry": "260131", "lot": "A1", "serial": "XYZ", "issuer": "GS1 China"}


@pytest.mark.parametrize("symbology", ["C1", "e0", "d2", "Q3", "J1", "]C1"])
def test_each_gs1_symbology_is_gs1(symbology: str):
    assert meaning("10ABC", symbology).keys == {"lot": "ABC"}


@pytest.mark.parametrize("text", [f"\x1d01{GTIN}10A\x1d21B", f"01{GTIN}10A\x1d21B\x1d", f"01{GTIN}10A\x1d21B\r\n"])
def test_leading_and_trailing_separators_and_line_ends_are_ignored_and_stay_in_the_text(text: str):
    meant = meaning(text)
    assert (meant.kind, meant.verdict, meant.keys["lot"], meant.keys["serial"]) == ("gs1", "ok", "A", "B")
    assert meant.text == text


def test_each_wrong_field_has_its_own_verdict():
    fields = notes("01" + GTIN[:-1] + "3" + "17260230" + "10" + "L" * 21 + "\x1d21OK", "C1")
    assert fields == {
        "gtin": (False, "check_digit"),
        "expiry": (False, "date"),
        "lot": (False, "format"),
        "serial": (True, ""),
    }


def test_the_end_of_the_month_may_be_day_00_but_only_where_the_field_allows_it():
    assert notes("17260200", "C1") == {"expiry": (True, "")}
    assert notes("70032602001200", "C1") == {"ai_7003": (False, "date")}


@pytest.mark.parametrize("ai", sorted(CHECKED))
def test_every_field_with_a_check_digit_is_checked(ai: str):
    length = CHECKED[ai]
    body = ("0" if ai == "8003" else "6") + "901234567890123456"[: length - 2]
    rest = {"8006": "0102", "8026": "0102", "253": "A"}.get(ai, "")
    right = [digit for digit in "0123456789" if meaning(ai + body + digit + rest, "C1").verdict == "ok"]
    assert len(right) == 1 and check_digit_valid(body + right[0])


def test_a_plain_gtin_with_its_identifier_is_gs1_without_being_declared():
    assert meaning("01" + GTIN).keys["gtin14"] == GTIN
    assert meaning("01" + GTIN[:-1] + "3").verdict == "wrong"


@pytest.mark.parametrize("text", ["21ABC", "10A1", "hello\x1d", "0112345", "01" + GTIN[:-1] + "3??"])
def test_what_only_might_be_gs1_is_unknown(text: str):
    assert meaning(text).kind == "unknown"


def test_an_unknown_identifier_leaves_the_verdict_open():
    meant = meaning(f"01{GTIN}05123", "C1")
    assert (meant.verdict, meant.fields[-1].note, meant.fields[-1].value) == ("unknown", "not_understood", "05123")


def test_a_lot_that_contains_a_date_because_the_gun_sent_no_separator_is_not_called_right():
    joined = f"01{GTIN}10ABC17260131"
    assert meaning(joined, "C1").verdict == "unknown"
    assert "lot" not in meaning(joined, "C1").keys
    assert meaning(f"01{GTIN}10ABC\x1d17260131", "C1").keys["lot"] == "ABC"


def test_the_form_with_brackets_is_read_only_where_it_is_unambiguous():
    meant = meaning(f"(01){GTIN} (10)A1(17)260131")
    assert (meant.kind, meant.verdict, meant.keys["lot"]) == ("gs1", "ok", "A1")
    assert meaning(f"(01){GTIN[:-1]}3(10)A1").verdict == "wrong"
    assert meaning(f"(01){GTIN}(10)A(B)").kind == "unknown"
    assert meaning("(05)123").kind == "unknown"
    assert meaning(f"x(01){GTIN}").kind == "unknown"
