"""The choice of the language, and a label for every condition and class."""

import pytest

from common.labels import CLASSES, CONDITIONS, chosen_lang, label, without_lang
from drivers.reading import Condition
from drivers.table import CLASSES as TABLE


@pytest.mark.parametrize(
    ("arguments", "environment", "lang"),
    [
        ([], {}, "zh"),
        ([], {"LANG": "C"}, "zh"),
        ([], {"LANG": "C.UTF-8"}, "zh"),
        ([], {"LANG": "POSIX"}, "zh"),
        ([], {"LANG": "de_DE.UTF-8"}, "zh"),
        ([], {"LANG": "zh_CN.UTF-8"}, "zh"),
        ([], {"LANG": "en_US.UTF-8"}, "en"),
        ([], {"LANG": "en_US.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, "zh"),
        ([], {"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_GB"}, "en"),
        ([], {"LC_ALL": "", "LANG": "en"}, "en"),
        (["--lang", "en"], {"LANG": "zh_CN.UTF-8"}, "en"),
        (["check", "--lang", "zh"], {"LANG": "en_US"}, "zh"),
        (["check", "--lang=en", "--json"], {}, "en"),
        (["check", "--lang"], {"LANG": "en"}, "en"),
        (["--lang", "xx"], {"LANG": "en"}, "zh"),
    ],
)
def test_the_language_is_chinese_unless_english_is_chosen(
    arguments: list[str], environment: dict[str, str], lang: str
) -> None:
    assert chosen_lang(arguments, environment) == lang


def test_the_language_option_may_stand_anywhere_and_is_removed() -> None:
    assert without_lang(["--lang", "en", "check", "--json"]) == ["check", "--json"]
    assert without_lang(["check", "--lang=en", "printer"]) == ["check", "printer"]
    assert without_lang(["check", "--lang"]) == ["check"]


def test_every_condition_and_every_class_has_both_labels() -> None:
    assert set(CONDITIONS) == set(Condition)
    assert set(CLASSES) == set(TABLE)
    for zh, en in (*CONDITIONS.values(), *CLASSES.values()):
        assert any("\u4e00" <= character <= "\u9fff" for character in zh)
        assert en.isascii()


def test_a_code_of_a_newer_agent_is_shown_as_it_is() -> None:
    assert label(CLASSES.get("drone"), "zh", "drone") == "drone"
