"""Reasons to sentences: who acts stands beside each remedy, and an officer is shown no library's text and no path."""

from pathlib import Path
from typing import get_args

import pytest

from drivers.catalogue import PASSED_ON, Lang, Sentence, Who, cause, read_catalogue, sentence
from drivers.reading import Reason

ROOT = Path(__file__).parents[2]
CATALOGUES = sorted(
    file
    for room in ("agent", "center", "common", "drivers")
    for file in (ROOT / room).rglob("*.toml")
    if "says = " in file.read_text("utf-8")
)


def written(folder: Path, text: str) -> Path:
    file = folder / "reasons.toml"
    file.write_text(text, "utf-8")
    return file


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_remedy_of_every_catalogue_says_who_acts(file: Path) -> None:
    for code, entry in read_catalogue(file).items():
        assert (entry.who in get_args(Who)) is (entry.zh.do not in ("", PASSED_ON)), code


def test_there_are_as_many_catalogues_as_drivers_and_those_of_the_link_and_the_standard() -> None:
    assert len(CATALOGUES) == 7 + 1 + 2, CATALOGUES


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ('zh = { says = "坏了", do = "请修" }\nen = { says = "broken", do = "mend it" }', "needs `who`"),
        ('who = "nobody"\nzh = { says = "坏了", do = "请修" }\nen = { says = "broken", do = "mend it" }', "nobody"),
        ('who = "officer"\nzh = { says = "好" }\nen = { says = "well" }', "only where there is a remedy"),
        ('who = "officer"\nzh = { says = "坏了", do = "请修" }\nen = { says = "broken" }', "in both languages"),
        ('zh = { says = "好" }', "en"),
        ('zh = { say = "好" }\nen = { says = "well" }', "say"),
    ],
)
def test_a_catalogue_whose_remedy_nobody_does_is_not_read(tmp_path: Path, entry: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_catalogue(written(tmp_path, f"[broken]\n{entry}\n"))


def test_who_acts_goes_with_the_remedy() -> None:
    assert sentence("printer", Reason("paper_out")).who == "officer"
    assert sentence("printer", Reason("tls_failed", {"host": "10.0.0.9"})).who == "operator"
    assert sentence("broadband", Reason("county_unreachable")).who == "county"
    assert sentence("printer", Reason("ok")) == Sentence("打印机状态正常", "", None)


def test_a_class_may_say_better_what_any_driver_may_give() -> None:
    timed_out = Reason("timed_out", {"budget_s": 8})
    assert "扫码枪" in sentence("scan_gun", timed_out).remedy
    assert sentence("web_page", timed_out).remedy == "请稍后再检查；还是不行请联系运营服务商"


@pytest.mark.parametrize(
    ("raw", "chinese"),
    [
        ("EIO", "读写出错"),
        ("Input/output error", "读写出错"),
        ("TimeoutError: timed out", "超时"),
        ("[Errno 111] Connection refused", "对方没有开启服务"),
        ('"/dev/uinput" cannot be opened for writing', "没有权限"),
        ("证书已过期 / the certificate has expired", "证书已过期"),
        ("3", "3"),
        ("0a1b2c3d4e5f", "0a1b2c3d4e5f"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", ""),
        ("EXYZ", ""),
        ("", ""),
    ],
)
def test_a_cause_is_said_in_chinese_or_not_at_all(raw: str, chinese: str) -> None:
    assert cause(raw, "zh") == chinese
    assert cause(raw, "en") == ("the certificate has expired" if " / " in raw else raw)


@pytest.mark.parametrize(
    ("lang", "says"), [("zh", "摄像头 C270 读取出错"), ("en", "Reading from camera C270 fails (EXYZ)")]
)
def test_a_cause_without_words_takes_its_brackets_with_it(lang: Lang, says: str) -> None:
    assert sentence("video", Reason("io_error", {"name": "C270", "error": "EXYZ"}), lang).says == says


def test_an_officer_is_shown_no_path() -> None:
    assert sentence("video", Reason("black", {"name": "/dev/video0"})).says == "摄像头 video0 画面全黑"
    assert "/dev/video0" in sentence("video", Reason("black", {"name": "/dev/video0"}), "en").says
