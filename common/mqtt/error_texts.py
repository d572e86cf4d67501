"""Texts of link problems: what is wrong and what to do, in Chinese and English.

The texts are in `common/mqtt/error_texts.toml`, in the format of the drivers' catalogues. Status, systemd's status line and the
county side use the same ones. Pure.
"""

import tomllib
from functools import cache
from pathlib import Path

from common.mqtt.errors import LinkProblem
from drivers.catalogue import Lang, Sentence


def link_sentence(problem: LinkProblem, lang: Lang = "zh") -> Sentence:
    """A code that this version does not know is shown as it is, without an error."""
    entry = _catalogue().get(problem.code, {}).get(lang)
    if entry is None:
        return Sentence(str(problem), "")
    return Sentence(entry["says"].replace("{detail}", _in_language(problem.detail, lang)), entry.get("do", ""))


def _in_language(detail: str, lang: Lang) -> str:
    """The requested language of a text in both ("中文 / English", `agent.uplink.tls`)."""
    zh, between, en = detail.partition(" / ")
    return detail if zh.isascii() or not between else zh if lang == "zh" else en


def link_line(problem: LinkProblem) -> str:
    """For systemd's status line: Chinese, then English."""
    return f"{link_sentence(problem, 'zh').says} / {link_sentence(problem, 'en').says}"


def link_codes() -> frozenset[str]:
    """All codes that have texts."""
    return frozenset(_catalogue())


@cache
def _catalogue() -> dict[str, dict[str, dict[str, str]]]:
    return tomllib.loads((Path(__file__).parent / "error_texts.toml").read_text("utf-8"))
