"""Reason codes to sentences: what is wrong, what to do and who does it, in Chinese and English.

The texts are next to the code that returns the reasons, in `drivers/<class>/reasons.toml`; reasons that any driver may return
(timed out, not polled yet) are in `drivers/reasons.toml`, and a class may have a better text for them. Officer, operator and
center read the same texts. Only data is read here: no driver is imported.

    [paper_out]
    who = "officer"
    zh = { says = "打印机没有纸了", do = "请在纸盒里放入 A4 纸" }
    en = { says = "The printer is out of paper", do = "Load A4 paper into the tray" }

Who may be told what: an officer power, cable, paper, replugging, waiting, a call; an operator the configuration, registration,
certificates and addresses; the county its server, permissions and receipts. A remedy without one is an error of the catalogue.
"""

import errno
import os
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from drivers.reading import Reason

Lang: TypeAlias = Literal["zh", "en"]
Who: TypeAlias = Literal["officer", "operator", "county"]

PASSED_ON = "{remedy}"  # a remedy that is another catalogue's; so is its `who`

_HERE = Path(__file__).parent
_CAUSES = ("error", "cause", "detail")  # parameters that hold the text of a kernel or a library


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One language of a reason."""

    says: str  # what is wrong
    do: str = ""  # what to do; empty if nothing is to be done


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reason of a catalogue. Errors: ValueError for a remedy that nobody does, or that one language lacks."""

    zh: Words
    en: Words
    who: Who | None = None

    def __post_init__(self) -> None:
        if bool(self.zh.do) != bool(self.en.do):
            raise ValueError("`do` stands in both languages or in none")
        own = self.zh.do not in ("", PASSED_ON)
        if own and self.who is None:
            raise ValueError("a remedy needs `who`: officer, operator or county")
        if self.who is not None and not own:
            raise ValueError("`who` stands only where there is a remedy of its own")

    def words(self, lang: Lang) -> Words:
        return self.zh if lang == "zh" else self.en


class Sentence(NamedTuple):
    """A reason as text."""

    says: str  # what is wrong
    remedy: str  # what to do; empty if no action is needed
    who: Who | None = None  # who acts; None if no action is needed


def read_catalogue(file: Path) -> dict[str, Entry]:
    """The entries of a catalogue by their codes. Errors: msgspec.ValidationError (a ValueError) names the entry."""
    return msgspec.convert(tomllib.loads(file.read_text("utf-8")), dict[str, Entry])


@cache
def _catalogue(device_class: str) -> dict[str, Entry]:
    words = read_catalogue(_HERE / "reasons.toml")
    own = _HERE / device_class / "reasons.toml"
    if device_class.isidentifier() and own.is_file():
        words |= read_catalogue(own)
    return words


def reason_codes(device_class: str) -> frozenset[str]:
    """All codes that a reading of this class may have."""
    return frozenset(_catalogue(device_class))


def sentence(device_class: str, reason: Reason, lang: Lang = "zh") -> Sentence:
    """The reason as text; an unknown code (from a newer agent) is shown unchanged and is never an error."""
    entry = _catalogue(device_class).get(reason.code)
    if entry is None:
        shown = ", ".join(f"{k}={v}" for k, v in reason.params.items())
        return Sentence(f"{reason.code} {shown}".rstrip(), "")
    words = entry.words(lang)
    return Sentence(filled(words.says, reason.params, lang), filled(words.do, reason.params, lang), entry.who)


def filled(text: str, params: Mapping[str, str | int | float], lang: Lang) -> str:
    """The text with its parameters in it; a cause without words of its own takes its brackets or its colon with it."""
    for name, value in params.items():
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        if name in _CAUSES:
            shown = cause(shown, lang)
        elif lang == "zh" and shown.startswith("/"):
            shown = PurePath(shown).name  # an officer is shown no path
        hole = "{" + name + "}"
        if not shown:
            text = text.replace(f"\uff08{hole}\uff09", "").replace(f"\uff1a{hole}", "")
        text = text.replace(hole, shown)
    return text


def cause(raw: str, lang: Lang) -> str:
    """The text of a cause: its half in that language; in Chinese an errno by its name, and "" for other foreign text."""
    if (spoken := half(raw, lang)) != raw:
        return spoken
    if lang == "en" or not raw.isascii() or re.fullmatch("[0-9a-f]*", raw):  # a count, an id
        return raw
    return next((words for sign, words in _causes().items() if sign in raw), "")


def half(text: str, lang: Lang) -> str:
    """Of "中文 / English" the half that is asked for; any other text as it is."""
    zh, between, en = text.partition(" / ")
    return text if zh.isascii() or not between else zh if lang == "zh" else en


def refused_by_system(error: OSError, lang: Lang = "zh") -> str:
    """Why the system did not do what was asked, in words; its number if there are none."""
    return cause(error.strerror or str(error), lang) or f"系统错误 {error.errno}"


@cache
def _causes() -> dict[str, str]:
    """By the text that is searched for: the errno's name, its usual text, or a part of a message."""
    named = tomllib.loads((_HERE / "causes.toml").read_text("utf-8"))
    texts = {os.strerror(getattr(errno, sign)): words for sign, words in named.items() if hasattr(errno, sign)}
    return named | texts
