"""Texts of link problems: what is wrong, what to do and who acts, in Chinese and English.

The texts are in `common/mqtt/error_texts.toml`, in the format of the drivers' catalogues. Status, systemd's status line and the
county side use the same ones. Pure.
"""

import re
from functools import cache
from pathlib import Path

from common.mqtt.errors import LinkProblem
from drivers.catalogue import Entry, Lang, Sentence, filled, read_catalogue

_OF_A_ROW = re.compile(r"([a-z]+)[^ ]*: .*, (0x[0-9A-F]{2})")  # `common.mqtt.errors.from_puback`
_ROWS = {
    "scan": "扫码", "journal": "运行记录", "device": "设备状况", "standard": "建设标准", "about": "站点资料",
    "telemetry": "测量数据", "state": "在线状态", "heartbeat": "心跳", "reply": "命令答复",
}  # fmt: skip


def link_sentence(problem: LinkProblem, lang: Lang = "zh") -> Sentence:
    """A code that this version does not know is shown as it is, without an error."""
    entry = _catalogue().get(problem.code)
    if entry is None:
        return Sentence(str(problem), "")
    words, row = entry.words(lang), _OF_A_ROW.fullmatch(problem.detail)
    detail = f"{_ROWS.get(row[1], row[1])}，{row[2]}" if row and lang == "zh" else problem.detail
    return Sentence(filled(words.says, {"detail": detail}, lang), words.do, entry.who)


def link_line(problem: LinkProblem) -> str:
    """For systemd's status line: Chinese, then English."""
    return f"{link_sentence(problem, 'zh').says} / {link_sentence(problem, 'en').says}"


def link_codes() -> frozenset[str]:
    """All codes that have texts."""
    return frozenset(_catalogue())


@cache
def _catalogue() -> dict[str, Entry]:
    return read_catalogue(Path(__file__).parent / "error_texts.toml")
