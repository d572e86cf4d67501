"""Labels for people: conditions and device classes in Chinese and English, and the choice of the language.

Each driver has a catalogue of its own reasons (`drivers.catalogue`), items of the standard in `common.standard.texts`.
"""

import os
from collections.abc import Mapping, Sequence

from drivers.catalogue import Lang
from drivers.reading import Condition

CONDITIONS: Mapping[Condition, tuple[str, str]] = {
    Condition.WORKING: ("正常", "working"),
    Condition.ATTENTION: ("需留意", "needs attention"),
    Condition.FAULTY: ("故障", "faulty"),
    Condition.IN_USE: ("使用中", "in use"),
    Condition.UNREACHABLE: ("无回应", "unreachable"),
    Condition.ABSENT: ("未检测到", "absent"),
    Condition.UNKNOWN: ("未知", "unknown"),
}

CLASSES: Mapping[str, tuple[str, str]] = {
    "terminal": ("电脑或智能终端", "terminal"),
    "broadband": ("宽带", "broadband"),
    "led_screen": ("LED 屏幕", "LED screen"),
    "printer": ("打印复印一体机", "printer-copier"),
    "scan_gun": ("扫码枪", "scan gun"),
    "video": ("视频设备", "video device"),
    "web_page": ("本村网页", "village web page"),
}


def chosen_lang(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Lang:
    """Chinese, unless `--lang en` or an English locale is set (`C` and `POSIX` choose nothing)."""
    for at, argument in enumerate(arguments):
        if argument == "--lang" and at + 1 < len(arguments):
            return "en" if arguments[at + 1].startswith("en") else "zh"
        if argument.startswith("--lang="):
            return "en" if argument.removeprefix("--lang=").startswith("en") else "zh"
    locale = environment.get("LC_ALL") or environment.get("LC_MESSAGES") or environment.get("LANG") or ""
    return "en" if locale.startswith("en") else "zh"


def without_lang(arguments: Sequence[str]) -> list[str]:
    """The arguments without `--lang`, which may stand anywhere."""
    left: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--lang":
            next(rest, None)
        elif not argument.startswith("--lang="):
            left.append(argument)
    return left


def label(pair: tuple[str, str] | None, lang: Lang, default: str = "") -> str:
    """The label in this language; `default` if there is none (a newer agent's code)."""
    return default if pair is None else pair[0 if lang == "zh" else 1]
