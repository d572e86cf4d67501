"""Addresses in codes: a Digital Link is parsed; of any other address the host and the code are reported."""

import pytest
from support.codes import GTIN

from common.codes.meaning import meaning


def test_a_digital_link_is_parsed_like_an_element_string():
    meant = meaning(f"https://id.gs1.org/01/{GTIN}/10/A%2F1?17=260131&linkType=all", "Q1")
    assert (meant.kind, meant.verdict) == ("digital_link", "ok")
    assert meant.keys == {"host": "id.gs1.org", "gtin14": GTIN, "lot": "A/1", "expiry": "260131", "issuer": "GS1 China"}
    assert meaning("HTTPS://EXAMPLE.CN/x/gtin/6901234567892/ser/7").keys["serial"] == "7"
    assert meaning(f"https://example.cn/01/{GTIN[:-1]}3").verdict == "wrong"
    assert meaning("https://id.gs1.org/01/123").verdict == "wrong"


@pytest.mark.parametrize("path", ["2024/01/15", "news/01/20240115", "8004/how-to-grow-rice", "01/ABC"])
def test_an_ordinary_path_is_not_a_digital_link(path: str):
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
def test_of_any_other_address_host_and_code_are_reported_and_nothing_is_called_right(address: str, code: str | None):
    meant = meaning(address)
    assert (meant.kind, meant.verdict, meant.keys.get("code")) == ("url", "unknown", code)
    assert meant.keys["host"].endswith("q.example.cn")


@pytest.mark.parametrize(
    "text", ["http://[1/", "http://", "http://a b.cn", "http://x", "ftp://example.cn/a", "http://a.cn:x/"]
)
def test_a_broken_address_causes_no_crash(text: str):
    assert meaning(text).kind in ("unknown", "url")
