"""Texts of verdicts: why an item of the standard has its verdict, and what to do, in Chinese and English.

The texts are in `common/standard/texts.toml`, in the format of the drivers' catalogues; `{reason}` and `{remedy}` in them are
the texts of the device (`drivers.catalogue`). Officer, operator and center read the same texts.
"""

import re
from functools import cache
from pathlib import Path

from common.messages import Item
from common.standard.annex2 import BY_CODE
from drivers.catalogue import Entry, Lang, Sentence, read_catalogue, sentence
from drivers.reading import Reason

VERDICT_NAMES: dict[str, tuple[str, str]] = {
    "met": ("达标", "met"),
    "not_met": ("不达标", "not met"),
    "waived": ("免配", "waived"),
    "attested": ("已登记", "attested"),
    "not_required": ("不作要求", "not required"),
    "unproven": ("待核实", "unproven"),
}


def item_name(item: str, lang: Lang = "zh") -> str:
    """`LED 屏幕`; an item that this version does not know is shown as it is."""
    line = BY_CODE.get(item)
    if line is None:
        return item
    return line.zh if lang == "zh" else line.en


def verdict_name(verdict: str, lang: Lang = "zh") -> str:
    return VERDICT_NAMES.get(verdict, (verdict, verdict))[lang == "en"]


def item_sentence(item: Item, lang: Lang = "zh") -> Sentence:
    """Why the item has its verdict, what to do and who acts; an unknown code is shown as it is, never an error."""
    entry = _catalogue().get(item.because)
    if entry is None:
        return Sentence(item.because, "")
    device, own = _device_sentence(item, lang), entry.words(lang)
    words = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in item.params.items()}
    words |= {
        "item": item_name(item.item, lang),
        "reason": device.says,
        "remedy": device.remedy,
        "note": _note(item, lang),
    }
    remedy = _filled(own.do, words)
    return Sentence(_filled(own.says, words), remedy, (entry.who or device.who) if remedy else None)


def because_codes() -> frozenset[str]:
    """All codes that have texts."""
    return frozenset(_catalogue())


@cache
def _catalogue() -> dict[str, Entry]:
    return read_catalogue(Path(__file__).parent / "texts.toml")


def _device_sentence(item: Item, lang: Lang) -> Sentence:
    """The text of the driver whose reading decided, or that there is no such device."""
    device_class, code = str(item.params.get("class", item.item)), item.params.get("reason")
    if not isinstance(code, str):
        none = _catalogue()["no_device_configured"]
        says, do = none.words(lang).says, none.words(lang).do
        name = {"item": item_name(device_class, lang)}
        return Sentence(_filled(says, name), _filled(do, name), none.who)
    params = {name.removeprefix("reason."): v for name, v in item.params.items() if name.startswith("reason.")}
    return sentence(device_class, Reason(code, params), lang)


def _note(item: Item, lang: Lang) -> str:
    note = item.params.get("note", "")
    if not note:
        return ""
    return f"（{note}）" if lang == "zh" else f"({note})"


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub(r"\{([a-z0-9_]+)\}", lambda hole: words.get(hole[1], hole[0]), text).strip()
