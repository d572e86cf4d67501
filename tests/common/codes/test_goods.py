"""Codes of goods: EAN, UPC, ITF, right and wrong."""

import pytest

from common.codes.meaning import meaning
from common.codes.types import check_digit_valid


@pytest.mark.parametrize(
    ("text", "kind", "issuer"),
    [
        ("6901234567892", "ean13", "GS1 China"),
        ("6801234567895", "ean13", "GS1 China"),
        ("4891234567898", "ean13", "GS1 Hong Kong, China"),
        ("9581234567893", "ean13", "GS1 Macau, China"),
        ("012345678905", "upca", "GS1 US"),
        ("16901234567899", "itf14", "GS1 China"),
        ("69012341", "ean8", "GS1 China"),
    ],
)
def test_a_code_of_goods_with_a_right_check_digit_is_ok_and_states_who_issued_its_prefix(
    text: str, kind: str, issuer: str
):
    meant = meaning(text)
    assert (meant.kind, meant.verdict) == (kind, "ok")
    assert meant.keys == {"gtin14": text.zfill(14), "code": text, "issuer": issuer}


@pytest.mark.parametrize("digit", "013456789")
def test_a_wrong_check_digit_is_wrong_and_gives_no_gtin(digit: str):
    meant = meaning("690123456789" + digit)
    assert (meant.kind, meant.verdict, meant.keys) == ("ean13", "wrong", {})
    assert meant.fields[0].note == "check_digit"


def test_thirteen_digits_that_start_with_21_are_goods_not_a_serial_number():
    assert meaning("2101234567891").kind == "ean13"


def test_a_date_of_eight_digits_is_not_an_ean_8_unless_the_gun_states_it():
    assert check_digit_valid("20250102")
    assert meaning("20250102").kind == "unknown"
    assert (meaning("20250102", "E4").kind, meaning("20250102", "E4").verdict) == ("ean8", "ok")


def test_digits_of_another_symbology_with_a_wrong_check_digit_may_be_any_number():
    assert meaning("6901234567893", "A0").kind == "unknown"
    assert meaning("6901234567892", "Q1").kind == "ean13"
    assert meaning("6901234567893", "E0").verdict == "wrong"


def test_an_add_on_is_kept_apart():
    meant = meaning("978030640615712345", "E3")
    assert (meant.kind, meant.verdict, meant.keys["gtin14"]) == ("ean13", "ok", "09780306406157")
    assert meant.fields[-1].value == "12345"


def test_zeros_are_not_a_number_though_their_check_digit_is_right():
    assert meaning("0000000000000").verdict == "wrong"


def test_full_width_digits_are_not_digits():
    assert meaning("".join(chr(0xFEE0 + ord(digit)) for digit in "6901234567892")).kind == "unknown"
