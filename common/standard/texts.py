"""Texts of verdicts: why an item of the standard has its verdict, and what to do, in Chinese and English.

The texts are in `common/standard/texts.toml`, in the format of the drivers' catalogues; `{reason}` and `{remedy}` in them are
the texts of the device (`drivers.catalogue`). Officer, operator and center read the same texts.
"""

import re
import tomllib
from functools import cache
from pathlib import Path

from common.messages import Item
from common.standard.annex2 import BY_CODE
from drivers.catalogue import Lang, Sentence, sentence
from drivers.reading import Reason

VERDICT_NAMES: dict[str, tuple[str, str]] = {
    "met": ("达标", "met"),
    "not_met": ("不达标", "not met"),
    "waived": ("免配", "waived"),
    "attested": ("已登记", "attested"),
    "not_required": ("不要求", "not required"),
    "unproven": ("待证实", "unproven"),
}


def item_name(item: str, lang: Lang = "zh") -> str:
    """`LED屏幕`; an item that this version does not know is shown as it is."""
    line = BY_CODE.get(item)
    if line is None:
        return item
    return line.zh if lang == "zh" else line.en


def verdict_name(verdict: str, lang: Lang = "zh") -> str:
    return VERDICT_NAMES.get(verdict, (verdict, verdict))[lang == "en"]


def item_sentence(item: Item, lang: Lang = "zh") -> Sentence:
    """Why the item has its verdict, and what to do; an unknown code is shown as it is, never an error."""
    entry = _catalogue().get(item.because, {}).get(lang)
    if entry is None:
        return Sentence(item.because, "")
    device = _device_sentence(item, lang)
    words = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in item.params.items()}
    words |= {"item": item_name(item.item, lang), "reason": device.says, "remedy": device.remedy, "note": _note(item)}
    return Sentence(_filled(entry["says"], words), _filled(entry.get("do", ""), words))


def because_codes() -> frozenset[str]:
    """All codes that have texts."""
    return frozenset(_catalogue())


@cache
def _catalogue() -> dict[str, dict[str, dict[str, str]]]:
    return tomllib.loads((Path(__file__).parent / "texts.toml").read_text("utf-8"))


def _device_sentence(item: Item, lang: Lang) -> Sentence:
    """The text of the driver whose reading decided, or that there is no such device."""
    device_class, code = str(item.params.get("class", item.item)), item.params.get("reason")
    if not isinstance(code, str):
        none = _catalogue()["no_device_configured"][lang]
        name = {"item": item_name(device_class, lang)}
        return Sentence(_filled(none["says"], name), _filled(none["do"], name))
    params = {name.removeprefix("reason."): v for name, v in item.params.items() if name.startswith("reason.")}
    return sentence(device_class, Reason(code, params), lang)


def _note(item: Item) -> str:
    note = item.params.get("note", "")
    return f"({note})" if note else ""


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub(r"\{([a-z0-9_]+)\}", lambda hole: words.get(hole[1], hole[0]), text).strip()
