"""What a scan means: each kind of code right and wrong, and nothing wrong ever called right."""

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.scans.meaning import inspect_scan, meaning, split_symbology
from agent.scans.meaning_checks import check_digit_right, is_day, is_short_day
from agent.scans.meaning_gs1 import CHECKED
from drivers.catalogue import reason_codes, sentence
from drivers.reading import Condition

GTIN = "06901234567892"
PESTICIDE = "1123456" + "1" + "001" + "123456789012345678901"
VET = "20250131" + "01234" + "00000000017"
SEED = "登海605\n某某种业有限公司\n45022500100000000017\nhttp://seed.example.cn/q"


def notes(text: str, symbology: str | None = None) -> dict[str, tuple[bool | None, str]]:
    return {field.name: (field.ok, field.note) for field in meaning(text, symbology).fields}


# --- goods ---


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
def test_a_code_of_goods_with_a_right_check_digit_is_ok_and_says_who_gave_its_prefix(text: str, kind: str, issuer: str):
    meant = meaning(text)
    assert (meant.kind, meant.verdict) == (kind, "ok")
    assert meant.keys == {"gtin14": text.zfill(14), "code": text, "issuer": issuer}


@pytest.mark.parametrize("digit", "013456789")
def test_a_wrong_check_digit_is_wrong_and_gives_no_gtin(digit: str):
    meant = meaning("690123456789" + digit)
    assert (meant.kind, meant.verdict, meant.keys) == ("ean13", "wrong", {})
    assert meant.fields[0].note == "check_digit"


def test_thirteen_digits_that_begin_with_21_are_goods_not_a_serial_number():
    assert meaning("2101234567891").kind == "ean13"


def test_a_date_of_eight_digits_is_not_taken_for_an_ean_8_unless_the_gun_says_so():
    assert check_digit_right("20250102")
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


def test_zeros_are_no_number_though_their_check_digit_is_right():
    assert meaning("0000000000000").verdict == "wrong"


def test_full_width_digits_are_no_digits():
    assert meaning("".join(chr(0xFEE0 + ord(digit)) for digit in "6901234567892")).kind == "unknown"


# --- GS1 ---


def test_an_element_string_is_read_field_by_field():
    text = f"01{GTIN}17260131" + "10A1\x1d21XYZ"
    meant = meaning(text, "C1")
    assert (meant.kind, meant.verdict, meant.text) == ("gs1", "ok", text)
    assert meant.keys == {
        "gtin14": GTIN, "expiry": "260131", "lot": "A1", "serial": "XYZ", "issuer": "GS1 China"
    }  # fmt: skip


@pytest.mark.parametrize("symbology", ["C1", "e0", "d2", "Q3", "J1", "]C1"])
def test_each_gs1_symbology_is_gs1(symbology: str):
    assert meaning("10ABC", symbology).keys == {"lot": "ABC"}


@pytest.mark.parametrize("text", [f"\x1d01{GTIN}10A\x1d21B", f"01{GTIN}10A\x1d21B\x1d", f"01{GTIN}10A\x1d21B\r\n"])
def test_leading_and_trailing_separators_and_line_ends_do_no_harm_and_stay_in_the_text(text: str):
    meant = meaning(text)
    assert (meant.kind, meant.verdict, meant.keys["lot"], meant.keys["serial"]) == ("gs1", "ok", "A", "B")
    assert meant.text == text


def test_each_wrong_field_has_its_own_verdict():
    fields = notes("01" + GTIN[:-1] + "3" + "17260230" + "10" + "L" * 21 + "\x1d21OK", "C1")
    assert fields == {
        "gtin": (False, "check_digit"), "expiry": (False, "date"), "lot": (False, "format"), "serial": (True, "")
    }  # fmt: skip


def test_the_end_of_the_month_may_be_day_00_but_only_where_the_field_allows_it():
    assert notes("17260200", "C1") == {"expiry": (True, "")}
    assert notes("70032602001200", "C1") == {"ai_7003": (False, "date")}


@pytest.mark.parametrize("ai", sorted(CHECKED))
def test_every_field_with_a_check_digit_is_checked(ai: str):
    length = CHECKED[ai]
    body = ("0" if ai == "8003" else "6") + "901234567890123456"[: length - 2]
    rest = {"8006": "0102", "8026": "0102", "253": "A"}.get(ai, "")
    right = [digit for digit in "0123456789" if meaning(ai + body + digit + rest, "C1").verdict == "ok"]
    assert len(right) == 1 and check_digit_right(body + right[0])


def test_a_plain_gtin_with_its_identifier_is_gs1_without_being_declared():
    assert meaning("01" + GTIN).keys["gtin14"] == GTIN
    assert meaning("01" + GTIN[:-1] + "3").verdict == "wrong"


@pytest.mark.parametrize("text", ["21ABC", "10A1", "hello\x1d", "0112345", "01" + GTIN[:-1] + "3??"])
def test_what_only_might_be_gs1_is_unknown(text: str):
    assert meaning(text).kind == "unknown"


def test_an_unknown_identifier_leaves_the_verdict_open():
    meant = meaning(f"01{GTIN}05123", "C1")
    assert (meant.verdict, meant.fields[-1].note, meant.fields[-1].value) == ("unknown", "not_understood", "05123")


def test_a_lot_that_swallowed_a_date_because_the_gun_sent_no_separator_is_not_called_right():
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


# --- addresses ---


def test_a_digital_link_is_read_like_an_element_string():
    meant = meaning(f"https://id.gs1.org/01/{GTIN}/10/A%2F1?17=260131&linkType=all", "Q1")
    assert (meant.kind, meant.verdict) == ("digital_link", "ok")
    assert meant.keys == {
        "host": "id.gs1.org", "gtin14": GTIN, "lot": "A/1", "expiry": "260131", "issuer": "GS1 China"
    }  # fmt: skip
    assert meaning("HTTPS://EXAMPLE.CN/x/gtin/6901234567892/ser/7").keys["serial"] == "7"
    assert meaning(f"https://example.cn/01/{GTIN[:-1]}3").verdict == "wrong"
    assert meaning("https://id.gs1.org/01/123").verdict == "wrong"


@pytest.mark.parametrize("path", ["2024/01/15", "news/01/20240115", "8004/how-to-grow-rice", "01/ABC"])
def test_an_ordinary_path_is_no_digital_link(path: str):
    assert meaning(f"https://example.cn/{path}").kind == "url"


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("http://q.example.cn/t?code=AB12", "AB12"),
        ("http://q.example.cn/t?AB12", "AB12"),
        ("http://q.example.cn/t/AB12", "AB12"),
        ("http://q.example.cn/#/t?code=AB12", "AB12"),
        ("http://q.example.cn/t?from=gun&id=AB12", "AB12"),
        ("www.q.example.cn/AB12", "AB12"),
        ("http://q.example.cn", None),
    ],
)
def test_of_any_other_address_host_and_code_are_told_and_nothing_is_called_right(address: str, code: str | None):
    meant = meaning(address)
    assert (meant.kind, meant.verdict, meant.keys.get("code")) == ("url", "unknown", code)
    assert meant.keys["host"].endswith("q.example.cn")


@pytest.mark.parametrize(
    "text", ["http://[1/", "http://", "http://a b.cn", "http://x", "ftp://example.cn/a", "http://a.cn:x/"]
)
def test_a_broken_address_is_no_address_or_at_least_no_crash(text: str):
    assert meaning(text).kind in ("unknown", "url")


# --- farm inputs ---


@pytest.mark.parametrize(
    "text",
    [PESTICIDE, f"http://t.example.cn/?c={PESTICIDE}", f"http://t.example.cn,{PESTICIDE}", f"http://t.example.cn {PESTICIDE}",
     f"某农药\n某公司\n{PESTICIDE}\nhttp://t.example.cn"],
)  # fmt: skip
def test_a_pesticide_code_is_found_alone_and_with_its_address(text: str):
    meant = meaning(text)
    assert (meant.kind, meant.verdict, meant.keys["code"]) == ("pesticide", "ok", PESTICIDE)
    assert meant.keys["registration"] == "123456"
    assert [len(field.value) for field in meant.fields[:5]] == [1, 6, 1, 3, 21]


def test_a_pesticide_code_of_an_unknown_way_of_production_is_wrong():
    wrong = PESTICIDE[:7] + "7" + PESTICIDE[8:]
    assert meaning(wrong).verdict == meaning(f"http://t.example.cn,{wrong}").verdict == "wrong"
    assert meaning(f"http://t.example.cn/{wrong}").kind == "url"  # may be any number of that site


def test_a_veterinary_drug_code_begins_with_a_date():
    assert meaning(VET).keys == {"code": VET, "date": "20250131", "company": "01234"}
    wrong = meaning("20250231" + VET[8:])
    assert (wrong.kind, wrong.verdict, wrong.keys) == ("vet_drug", "wrong", {})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_seed_label_has_four_lines(end: str):
    meant = meaning(SEED.replace("\n", end) + end)
    assert (meant.kind, meant.verdict) == ("seed_label", "ok")
    assert meant.keys == {
        "variety": "登海605", "producer": "某某种业有限公司", "code": "45022500100000000017", "host": "seed.example.cn"
    }  # fmt: skip


def test_a_seed_label_may_name_its_lines():
    text = "品种名称:登海605\n生产经营者名称:某某种业\n单元识别代码:A17\n追溯网址:www.seed.example.cn"
    assert meaning(text).keys["variety"] == "登海605"
    assert meaning(text).keys["code"] == "A17"


def test_a_seed_label_with_a_code_too_long_or_a_line_missing_is_not_right():
    lines = SEED.split("\n")
    assert meaning("\n".join([*lines[:2], "X" * 21, lines[3]])).verdict == "wrong"
    assert meaning("\n".join(["", *lines[1:]])).verdict == "wrong"
    assert meaning("\n".join(lines[1:])).kind == "unknown"


# --- any text ---

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
            assert check_digit_right(field.value[: CHECKED[field.ai]])
        if field.ok and field.name in ("ean13", "ean8", "upca", "itf14"):
            assert check_digit_right(field.value)
    if "gtin14" in meant.keys:
        assert check_digit_right(meant.keys["gtin14"])


@given(TEXTS)
def test_any_text_can_be_inspected_and_written_as_json(text: str):
    reading = inspect_scan(text)
    assert msgspec.json.encode(reading)
    assert sentence("scan_gun", reading.reason).says


@given(st.integers(0, 10**12 - 1), st.integers(1, 9))
def test_of_ten_check_digits_exactly_one_is_ok(payload: int, by: int):
    body = f"{payload:012}"
    right = [digit for digit in "0123456789" if check_digit_right(body + digit)]
    assert len(right) == 1
    wrong = (int(right[0]) + by) % 10
    for text, symbology in ((f"{body}{wrong}", None), (f"010{body}{wrong}", "C1"), (f"(01)0{body}{wrong}", None)):
        assert meaning(text, symbology).verdict != "ok"


def test_the_check_digit_agrees_with_biip():
    from biip.checksums import gs1_standard_check_digit

    for body in ("690123456789", "6901234", "01234567890", "10614141234567890"):
        assert check_digit_right(f"{body}{gs1_standard_check_digit(body)}")


def test_days_are_days_of_the_calendar():
    assert is_day("20240229") and not is_day("20250229") and not is_day("00000000") and not is_day("2025022")
    assert is_short_day("240229", zero_day=False) and not is_short_day("250229", zero_day=True)


# --- inspect ---


@pytest.mark.parametrize(
    ("text", "condition", "code"),
    [
        ("6901234567892", "working", "scan_goods"),
        ("]E06901234567893", "attention", "scan_check_digit"),
        (f"]C101{GTIN}17260131", "working", "scan_gs1"),
        (f"]C101{GTIN}17261331", "attention", "scan_impossible_date"),
        (f"]C101{GTIN}10" + "L" * 21, "attention", "scan_malformed"),
        (f"]C101{GTIN}10ABC17260131", "unknown", "scan_maybe_joined"),
        (f"]d201{GTIN}05123", "unknown", "scan_not_understood"),
        (PESTICIDE, "working", "scan_pesticide"),
        (VET, "working", "scan_vet_drug"),
        (SEED, "working", "scan_seed_label"),
        ("http://q.example.cn/AB12", "working", "scan_url"),
        ("桂AB1234", "unknown", "scan_unknown_kind"),
        ("]C1\r\n", "unknown", "scan_empty"),
        ("]", "unknown", "scan_unknown_kind"),
    ],
)
def test_an_inspected_scan_is_a_reading(text: str, condition: str, code: str):
    reading = inspect_scan(text)
    assert (reading.condition, reading.reason.code) == (Condition(condition), code)
    assert code in reason_codes("scan_gun")
    assert "{" not in sentence("scan_gun", reading.reason).says
    assert reading.evidence[0].raw == text


def test_every_scan_reason_of_the_catalogue_is_one_that_is_given():
    given = {parameters[2] for parameters in _parameters(test_an_inspected_scan_is_a_reading)}
    listed = {code for code in reason_codes("scan_gun") if code.startswith("scan_")}
    assert listed - given == {"scan_platform"}  # by rules of the configuration: test_platforms
    assert given < listed


def test_the_measures_of_an_inspected_scan():
    reading = inspect_scan(f"]C101{GTIN}10A1")
    assert reading.measures == {
        "kind": "gs1", "verdict": "ok", "gtin": GTIN, "code": None, "lot": "A1", "serial": None, "expiry": None,
        "host": None, "platform": None, "product": None, "issuer": "GS1 China", "symbology": "C1", "characters": 20,
    }  # fmt: skip
    assert inspect_scan("6901234567893").measures["gtin"] is None


def test_only_a_real_identifier_is_split_off():
    assert split_symbology("]C101") == ("C1", "01")
    assert split_symbology("]?101") == (None, "]?101")
    assert split_symbology("]k001") == (None, "]k001")
    assert split_symbology("C101") == (None, "C101")


def test_biip_is_not_loaded_until_a_code_needs_its_tables():
    script = "import sys, agent.scans.meaning as m; m.meaning('http://a.cn/x'); sys.exit('biip' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def _parameters(test: object) -> list[tuple[str, str, str]]:
    marks: list[pytest.Mark] = getattr(test, "pytestmark")  # noqa: B009
    return marks[0].args[1]
