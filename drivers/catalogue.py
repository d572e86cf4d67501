"""Reason codes to sentences: what is wrong and what to do, in Chinese and English.

The texts are next to the code that returns the reasons, in `drivers/<class>/reasons.toml`; reasons that any driver may return
(timed out, not polled yet) are in `drivers/reasons.toml`. Officer, operator and center read the same texts. Only data
is read here: no driver is imported.

    [paper_out]
    zh = { says = "打印机缺纸({tray})", do = "请在纸盒里放入 A4 纸" }
    en = { says = "The printer is out of paper ({tray})", do = "Load A4 paper into the tray" }
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from drivers.reading import Reason

Lang: TypeAlias = Literal["zh", "en"]

_HERE = Path(__file__).parent


class Sentence(NamedTuple):
    """A reason as text."""

    says: str  # what is wrong
    remedy: str  # what to do; empty if no action is needed


@cache
def _catalogue(device_class: str) -> dict[str, dict[str, dict[str, str]]]:
    words = tomllib.loads((_HERE / "reasons.toml").read_text("utf-8"))
    own = _HERE / device_class / "reasons.toml"
    if device_class.isidentifier() and own.is_file():
        words |= tomllib.loads(own.read_text("utf-8"))
    return words


def reason_codes(device_class: str) -> frozenset[str]:
    """All codes that a reading of this class may have."""
    return frozenset(_catalogue(device_class))


def sentence(device_class: str, reason: Reason, lang: Lang = "zh") -> Sentence:
    """The reason as text; an unknown code (from a newer agent) is shown unchanged and is never an error."""
    entry = _catalogue(device_class).get(reason.code, {}).get(lang)
    if entry is None:
        shown = ", ".join(f"{k}={v}" for k, v in reason.params.items())
        return Sentence(f"{reason.code} {shown}".rstrip(), "")
    return Sentence(_filled(entry["says"], reason), _filled(entry.get("do", ""), reason))


def _filled(text: str, reason: Reason) -> str:
    for name, value in reason.params.items():
        text = text.replace("{" + name + "}", f"{value:g}" if isinstance(value, float) else str(value))
    return text
