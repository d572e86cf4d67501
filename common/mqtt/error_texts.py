"""The state of the link in words: what is wrong, and what to do, in Chinese and English.

The words lie in `common/mqtt/error_texts.toml`, in the format of the drivers' catalogues. Status, systemd's line and the county's
side read the same. Pure.
"""

import tomllib
from functools import cache
from pathlib import Path

from common.mqtt.errors import LinkProblem
from drivers.catalogue import Lang, Sentence


def link_sentence(problem: LinkProblem, lang: Lang = "zh") -> Sentence:
    """A code that this version does not know is shown as it is, never an error."""
    entry = _catalogue().get(problem.code, {}).get(lang)
    if entry is None:
        return Sentence(str(problem), "")
    return Sentence(entry["says"].replace("{detail}", _in_language(problem.detail, lang)), entry.get("do", ""))


def _in_language(detail: str, lang: Lang) -> str:
    """Of what is said in both languages ("中文 / English", `agent.uplink.tls`) the one that is asked for."""
    zh, between, en = detail.partition(" / ")
    return detail if zh.isascii() or not between else zh if lang == "zh" else en


def link_line(problem: LinkProblem) -> str:
    """For systemd's status line: Chinese, and English behind it."""
    return f"{link_sentence(problem, 'zh').says} / {link_sentence(problem, 'en').says}"


def link_codes() -> frozenset[str]:
    """All codes that have words."""
    return frozenset(_catalogue())


@cache
def _catalogue() -> dict[str, dict[str, dict[str, str]]]:
    return tomllib.loads((Path(__file__).parent / "error_texts.toml").read_text("utf-8"))
