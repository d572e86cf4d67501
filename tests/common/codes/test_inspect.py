"""`inspect scan`: what a code means, as a reading."""

import subprocess
import sys

import pytest
from support.codes import GTIN, PESTICIDE, SEED, VET

from common.codes.meaning import inspect_scan, split_symbology
from drivers.catalogue import reason_codes, sentence
from drivers.reading import Condition


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


def test_every_scan_reason_of_the_catalogue_is_used():
    given = {parameters[2] for parameters in _parameters(test_an_inspected_scan_is_a_reading)}
    listed = {code for code in reason_codes("scan_gun") if code.startswith("scan_")}
    assert listed - given == {"scan_platform"}  # by rules of the configuration: test_platforms
    assert given < listed


def test_the_measures_of_an_inspected_scan():
    reading = inspect_scan(f"]C101{GTIN}10A1")
    assert reading.measures == {
        "kind": "gs1",
        "verdict": "ok",
        "gtin": GTIN,
        "code": None,
        "lot": "A1",
        "serial": None,
        "expiry": None,
        "host": None,
        "platform": None,
        "product": None,
        "issuer": "GS1 China",
        "symbology": "C1",
        "characters": 20,
    }
    assert inspect_scan("6901234567893").measures["gtin"] is None


def test_only_a_real_identifier_is_split_off():
    assert split_symbology("]C101") == ("C1", "01")
    assert split_symbology("]?101") == (None, "]?101")
    assert split_symbology("]k001") == (None, "]k001")
    assert split_symbology("C101") == (None, "C101")


def test_biip_is_not_loaded_until_a_code_needs_its_tables():
    script = "import sys, common.codes.meaning as m; m.meaning('http://a.cn/x'); sys.exit('biip' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def _parameters(test: object) -> list[tuple[str, str, str]]:
    marks: list[pytest.Mark] = getattr(test, "pytestmark")  # noqa: B009
    return marks[0].args[1]
