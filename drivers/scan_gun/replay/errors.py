"""Errors of a recording, for the person who made it: which line, what is wrong, and what to do."""

import json
from typing import Any

from drivers.reading import YinongError
from drivers.scan_gun.capture import Source

_FORMS: dict[Source, str] = {
    "evdev": '{"t": 1.5, "type": "EV_KEY", "code": "KEY_A", "value": 1}',
    "serial": '{"t": 1.5, "hex": "3639300d"}',
    "hidpos": '{"t": 1.5, "hex": "02…"}',
}
_SHOWN = 60


class BadRecording(YinongError):  # noqa: N818
    """A line of the recording is not of the documented form."""

    def __init__(self, number: int, zh: str, en: str) -> None:
        super().__init__(f"line {number}: {en}")
        self.number, self.en = number, str(self)
        self.zh = f"第 {number} 行：{zh}"


def not_json(number: int, error: Exception) -> BadRecording:
    why = str(error).removesuffix(": line 1 column 1 (char 0)").replace("line 1 column", "column")
    return BadRecording(
        number,
        "不是 JSON。每行应是一个完整的 JSON 对象；没有写完的最后一行请删掉",
        f"is no JSON ({why}). Each line is one whole JSON object; delete a last line that was cut off",
    )


def wrong_option(number: int, why: str) -> BadRecording:
    return BadRecording(
        number,
        "config 有错。这里只能写 agent.toml 中扫码枪表的选项",
        f"its config is wrong ({why}). It holds options of the gun's table in agent.toml, and nothing else",
    )


def bad_form(number: int, entry: Any, error: Exception, source: Source) -> BadRecording:
    """Also names the case that the line would be valid for another source, or as the first line."""
    why, form = str(error), _FORMS.get(source, "")
    if isinstance(entry, dict) and "config" in entry:
        return BadRecording(
            number, "config 只能写在第一行，请移到最前面", "config stands in the first line only: move it there"
        )
    other = "evdev" if source != "evdev" else "serial / hidpos"
    if isinstance(entry, dict) and ("hex" in entry) == (source == "evdev") and ("hex" in entry or "type" in entry):
        return BadRecording(
            number,
            f"不是 {source} 的录制，像是 {other} 的：请改用 --source {other}",
            f"is no recording of {source}; it looks like one of {other}: use --source {other}",
        )
    shown = json.dumps(entry, ensure_ascii=False)[:_SHOWN]
    return BadRecording(number, f"格式不对：{shown}。应如 {form}", f"{why}: {shown}. A line is like {form}")
