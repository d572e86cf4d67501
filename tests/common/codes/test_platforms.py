"""Rules for tracing platforms: from the configuration, exact, claiming nothing beyond them."""

import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.configuration.settings import load
from common.codes.meaning import inspect_scan, meaning
from common.codes.platforms import PART_NAMES, PlatformRule, template_of
from common.standard.register import BadRegister, load_register
from drivers.catalogue import sentence

ROOT = Path(__file__).parents[3]
CODE = "45022520260302000017"
RULE = PlatformRule(name="示例平台", like="https://*.example.org/t/{product}?c={code:d20}&b={batch:w1-12}")


def by(rule: PlatformRule, text: str):
    return meaning(text, None, (rule,))


@pytest.mark.parametrize("text", [
    f"https://a.example.org/t/%E6%B2%83%E6%9F%91?c={CODE}&b=L7",
    f"HTTP://A.EXAMPLE.ORG:8080/t/%E6%B2%83%E6%9F%91/?from=gun&B=L7&C={CODE}",
    f"http://www.a.example.org/#/t/%E6%B2%83%E6%9F%91?b=L7&c={CODE}",
])  # fmt: skip
def test_the_parts_that_a_rule_names_are_reported_and_the_text_is_kept(text: str):
    meant = by(RULE, text)
    assert (meant.kind, meant.verdict, meant.text) == ("platform", "unknown", text)
    assert meant.keys["platform"] == "示例平台"
    assert (meant.keys["code"], meant.keys["lot"], meant.keys["product"]) == (CODE, "L7", "沃柑")
    assert meant.keys["host"].endswith("a.example.org")


@pytest.mark.parametrize("text", [
    f"https://a.example.org.evil.cn/t/x?c={CODE}&b=L7",
    f"https://example.org/t/x?c={CODE}&b=L7",
    f"https://badexample.org/t/x?c={CODE}&b=L7",
    f"https://a.example.org/t/x/y?c={CODE}&b=L7",
    f"https://a.example.org/t?c={CODE}&b=L7",
    f"https://a.example.org/t/x?c={CODE}0&b=L7",
    f"https://a.example.org/t/x?c={CODE[:-1]}٣&b=L7",
    f"https://a.example.org/t/x?c={CODE}",
    f"https://a.example.org/t/x?c={CODE}&b=L-7",
])  # fmt: skip
def test_a_text_that_does_not_fit_as_a_whole_is_any_address(text: str):
    meant = by(RULE, text)
    assert (meant.kind, meant.verdict) == ("url", "unknown")
    assert "platform" not in meant.keys


def test_nothing_is_claimed_beyond_the_rule():
    rule = PlatformRule(name="平台", like="https://t.example.org")
    assert by(rule, f"https://t.example.org/x?code={CODE}").keys == {"host": "t.example.org", "platform": "平台"}


def test_a_text_that_is_no_address_may_have_a_rule_too():
    rule = PlatformRule(name="平台", like="GX{batch:d8}-{code:w12}")
    assert by(rule, "GX20260302-ABC000000017\r\n").keys == {
        "platform": "平台",
        "lot": "20260302",
        "code": "ABC000000017",
    }
    assert by(rule, "xGX20260302-ABC000000017").kind == "unknown"


def test_the_first_rule_that_fits_wins_and_a_digital_link_is_one_on_any_host():
    first = PlatformRule(name="first", like="https://t.example.org/{code:d4}")
    second = PlatformRule(name="second", like="https://t.example.org/{code}")
    assert [meaning(f"https://t.example.org/{c}", None, (first, second)).keys["platform"] for c in ("1234", "123")] == [
        "first",
        "second",
    ]
    assert by(RULE, "https://a.example.org/01/06901234567892").kind == "digital_link"


@pytest.mark.parametrize(("like", "check_digit", "text", "verdict"), [
    ("https://t.example.org/{gtin}/{batch}", "", "https://t.example.org/6901234567892/L1", "ok"),
    ("https://t.example.org/{gtin}/{batch}", "", "https://t.example.org/6901234567893/L1", "wrong"),
    ("https://t.example.org/{gtin}/{batch}", "", "https://t.example.org/690123456789/L1", "wrong"),
    ("https://t.example.org/{date:8}", "", "https://t.example.org/20260229", "wrong"),
    ("https://t.example.org/{date:8}", "", "https://t.example.org/20260228", "ok"),
    ("https://t.example.org/{batch}", "batch", "https://t.example.org/6901234567892", "ok"),
    ("https://t.example.org/{batch}", "batch", "https://t.example.org/6901234567893", "wrong"),
    ("https://t.example.org/{batch}", "batch", "https://t.example.org/x", "wrong"),
])  # fmt: skip
def test_what_can_be_checked_is_and_what_is_wrong_becomes_no_key(like: str, check_digit, text: str, verdict: str):
    meant = by(PlatformRule(name="平台", like=like, check_digit=check_digit), text)
    assert meant.verdict == verdict
    wrong = {field.name for field in meant.fields if field.ok is False}
    assert bool(wrong) == (verdict == "wrong")
    assert not wrong & {{"gtin14": "gtin", "lot": "batch"}.get(key, key) for key in meant.keys}


@pytest.mark.parametrize("sign", ["\uff0c", "\uff1b", "\u3001", ",", ";"])
def test_a_part_ends_before_a_sign_of_either_width_as_labels_have_them(sign: str):
    rule = PlatformRule(name="平台", like=f"产品\uff1a{{product}}{sign}批次\uff1a{{batch}}")
    assert by(rule, f"产品\uff1a沃柑{sign}批次\uff1a2026-03").keys == {
        "platform": "平台",
        "product": "沃柑",
        "lot": "2026-03",
    }


@pytest.mark.parametrize(("like", "error"), [
    ("nothing", "at least one part"),
    ("{code:d20", "not written as"),
    ("}{code}", "not written as"),
    ("{Code}", "not written as"),
    ("{code:x20}", "not written as"),
    ("{price:d20}", "there is no part price"),
    ("{code:d0}", "the length of {code}"),
    ("{code:d9-3}", "the length of {code}"),
    ("{code:d1-99}", "the length of {code}"),
    ("{code:d4} {code:d4}", "stands twice"),
    ("{code}{batch}", "no fixed length"),
    ("{code:w1-20}L{batch}", "no fixed length"),
    ("https://{code}.example.org/", "the host is"),
    ("https://*/x/{code}", "the host is"),
    ("https:///{code}", "the host is"),
    ("https://[/{code}", "is no address"),
    ("{code}\n", "control characters"),
    ("(a+)+{code:d2}", None),
])  # fmt: skip
def test_an_ambiguous_rule_is_refused_with_what_to_do(like: str, error: str | None):
    if error is None:  # signs of regular expressions are characters like any other
        assert by(PlatformRule(name="x", like=like), "(a+)+12").keys["code"] == "12"
        return
    with pytest.raises(ValueError, match=re.escape(error)):
        PlatformRule(name="x", like=like)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "x", "like": like}, PlatformRule)


def test_no_rule_can_be_written_whose_match_takes_long():
    """The largest number of open parts, and texts that fail at their last character: hardly any backtracking."""
    like = "-".join(f"{{{name}:w1-64}}" for name in PART_NAMES) + "!"
    text = "-".join(["a" * 64] * 7) + "?"
    rule = PlatformRule(name="x", like=like)
    for _ in range(200):
        assert by(rule, text).kind == "unknown"  # with backtracking it would not return within the test's limit


pieces = st.sampled_from(
    ["{code}", "{batch:d8}", "{product:w1-9}", "-", "/", "A", "?", "=", "https://a.example.org/", "&"]
)


@given(st.lists(pieces, max_size=8).map("".join), st.text(max_size=30))
def test_any_rule_is_refused_or_reads_any_text(like: str, text: str):
    try:
        rule = PlatformRule(name="x", like=like)
    except ValueError:
        return
    for scanned in (
        text,
        like,
        like.replace("{code}", "7").replace("{batch:d8}", "20260302").replace("{product:w1-9}", "p"),
    ):
        meant = by(rule, scanned)
        assert meant.text == scanned
        if meant.kind == "platform":
            assert ("code" in meant.keys) == ("code" in template_of(like).parts)


def test_inspect_reports_the_platform():
    reading = inspect_scan(f"https://a.example.org/t/x?c={CODE}&b=L7", (RULE,))
    assert (reading.condition.value, reading.reason.code) == ("working", "scan_platform")
    assert (reading.measures["platform"], reading.measures["code"], reading.measures["lot"]) == ("示例平台", CODE, "L7")
    assert "示例平台" in sentence("scan_gun", reading.reason).says


# --- where the rules come from ---


MINIMAL = '[station]\ndivision = "450225"\nnumber = "桂BRS0001B"\n[broker]\nhost = "127.0.0.1"\ntls = false\n'


def test_rules_stand_in_agent_toml_and_a_wrong_one_costs_only_itself(tmp_path: Path):
    file = tmp_path / "agent.toml"
    right = f'[[platform]]\nname = "{RULE.name}"\nlike = "{RULE.like}"\n'
    file.write_text(
        MINIMAL
        + '[[platform]]\nname = "x"\nlike = "{code}{batch}"\n'
        + right
        + '[[platform]]\nlike = "{code}"\nregex = "(a+)+"\n'
    )
    loaded = load(file, environ={})
    assert loaded.settings is not None
    assert loaded.settings.platform == (RULE,)
    assert {mistake.path for mistake in loaded.mistakes} == {"platform[1]", "platform[3].regex", "platform[3].name"}
    assert "长度" in loaded.mistakes[0].text("zh") and "no fixed length" in loaded.mistakes[0].text("en")


def test_the_countys_register_may_contain_them_for_the_center(tmp_path: Path):
    text = (ROOT / "config/counties/450225.toml").read_text()
    file = tmp_path / "450225.toml"
    commented = "\n".join(
        line.removeprefix("# ") for line in text.splitlines() if re.match(r"# (\[\[platform|name =|like =)", line)
    )
    file.write_text(f"{text}\n{commented}\n")
    (rule,) = load_register(file).platform
    assert by(rule, f"https://a.example.org/t/x?c={CODE}&b=L7").keys["code"] == CODE
    file.write_text(text + '\n[[platform]]\nname = "x"\nlike = "{code}{batch}"\n')
    with pytest.raises(BadRegister, match="no fixed length"):
        load_register(file)


def test_the_sample_of_agent_toml_is_a_rule():
    text = (ROOT / "config/agent.toml").read_text()
    like = re.search(r'^# like = "(.+)"$', text, re.MULTILINE)
    assert like and like[1] == RULE.like


# --- in EPCIS ---


@pytest.mark.parametrize(("like", "per_package", "expected"), [
    ("https://t.example.org/{code}", False,
     {"quantityList": [{"epcClass": "urn:yinong:platform:%E5%B9%B3%E5%8F%B0:6901234567892"}]}),
    ("https://t.example.org/{code}", True, {"epcList": ["urn:yinong:platform:%E5%B9%B3%E5%8F%B0:6901234567892"]}),
    ("https://t.example.org/{gtin}", True, {"quantityList": [{"epcClass": "https://id.gs1.org/01/06901234567892"}]}),
    ("https://t.example.org/{product}", True,
     {"quantityList": [{"epcClass": "urn:yinong:code:https%3A%2F%2Ft.example.org%2F6901234567892"}]}),
])  # fmt: skip
def test_epcis_uses_a_rules_code_where_it_gives_an_id(like: str, per_package: bool, expected: dict[str, object]):
    from common.codes.epcis import event
    from tests.common.codes.test_epcis import TERMINAL, capture

    rule = PlatformRule(name="平台", like=like, per_package=per_package)
    made = event(capture("https://t.example.org/6901234567892"), datetime(2026, 3, 2, tzinfo=UTC), TERMINAL, (rule,))
    assert {key: made[key] for key in ("epcList", "quantityList") if key in made} == expected
