"""Arithmetic of headers, and a text for every reason."""

import re
import tomllib
from pathlib import Path

import pytest

from drivers.broadband.line import wire_per_payload

HERE = Path(__file__).parents[3] / "drivers/broadband"


@pytest.mark.parametrize(("access", "goodput"), [("ip", 7.72), ("ethernet", 7.65), ("pppoe", 7.57), ("adsl", 6.79)])
def test_a_line_of_exactly_8m_is_8m_whatever_its_headers(access: str, goodput: float) -> None:
    assert goodput * wire_per_payload(access, 1500) == pytest.approx(8.0, abs=0.01)  # type: ignore[arg-type]


def test_an_interface_with_a_smaller_mtu_carries_more_headers_and_a_jumbo_one_no_fewer() -> None:
    assert wire_per_payload("ethernet", 1400) > wire_per_payload("ethernet", 1500)
    assert wire_per_payload("ethernet", 65536) == wire_per_payload("ethernet", None)


def test_every_reason_of_the_code_is_in_the_catalogue_in_both_languages_and_none_besides() -> None:
    catalogue = tomllib.loads((HERE / "reasons.toml").read_text("utf-8"))
    source = "".join(path.read_text("utf-8") for path in HERE.glob("*.py"))
    used = set(re.findall(r'Reason\(\s*"(\w+)"', source)) | set(re.findall(r'CannotLook\("(\w+)"', source))
    used |= set(re.findall(r'"(lan_down|no_carrier|no_interface|interface_missing)"', source))
    assert used - {"driver_failed"} == set(catalogue)
    for code, words in catalogue.items():
        for lang in ("zh", "en"):
            assert words[lang]["says"], code
        chinese, english = (set(re.findall(r"{(\w+)}", words[lang]["says"])) for lang in ("zh", "en"))
        assert chinese <= english, code  # a file's name and a byte count are nothing for an officer
