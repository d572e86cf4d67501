"""Codes of pesticides, veterinary drugs and seed."""

import pytest
from support.codes import PESTICIDE, SEED, VET

from common.codes.meaning import meaning


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


def test_a_veterinary_drug_code_starts_with_a_date():
    assert meaning(VET).keys == {"code": VET, "date": "20250131", "company": "01234"}
    wrong = meaning("20250231" + VET[8:])
    assert (wrong.kind, wrong.verdict, wrong.keys) == ("vet_drug", "wrong", {})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_seed_label_has_four_lines(end: str):
    meant = meaning(SEED.replace("\n", end) + end)
    assert (meant.kind, meant.verdict) == ("seed_label", "ok")
    assert meant.keys == {
        "variety": "登海605",
        "producer": "某某种业有限公司",
        "code": "45022500100000000017",
        "host": "seed.example.cn",
    }


@pytest.mark.parametrize(
    "sign", ["\uff1a", ":", "\uff1a\u3000", ": "], ids=["full width", "ASCII", "wide blank", "blank"]
)
def test_a_seed_label_may_name_its_lines(sign: str):
    lines = (
        ("品种名称", "登海605"),
        ("生产经营者名称", "某某种业"),
        ("单元识别代码", "A17"),
        ("追溯网址", "www.seed.example.cn"),
    )
    meant = meaning("\n".join(f"{label}{sign}{value}" for label, value in lines))
    assert (meant.kind, meant.verdict) == ("seed_label", "ok")
    assert meant.keys == {"variety": "登海605", "producer": "某某种业", "code": "A17", "host": "www.seed.example.cn"}


@pytest.mark.parametrize("sign", ["\uff0c", "\uff1b", "\u3001", ",", ";"])
def test_an_address_ends_before_a_sign_of_either_width(sign: str):
    meant = meaning(f"http://t.example.cn/q{sign}{PESTICIDE}")
    assert (meant.kind, meant.keys["host"]) == ("pesticide", "t.example.cn")
    assert meant.fields[-1].value == "http://t.example.cn/q"
    wrong = PESTICIDE[:7] + "7" + PESTICIDE[8:]
    assert meaning(f"http://t.example.cn{sign}{wrong}").verdict == "wrong"


def test_a_seed_label_with_a_code_too_long_or_a_line_missing_is_not_right():
    lines = SEED.split("\n")
    assert meaning("\n".join([*lines[:2], "X" * 21, lines[3]])).verdict == "wrong"
    assert meaning("\n".join(["", *lines[1:]])).verdict == "wrong"
    assert meaning("\n".join(lines[1:])).kind == "unknown"
