"""The identity of a station: its number, the number's ASCII form, and the name of a terminal.

`桂BRS0001B` = province's character, licence-plate letter of the prefecture, initials of the county's pinyin, four digits,
type letter. The ASCII form replaces the character by the province's two letters (ISO 3166-2:CN), reversibly. The
number is not unique in a region, so the key is division code (GB/T 2260) + number.
"""

import re
from enum import StrEnum
from typing import NamedTuple

from drivers.reading import YinongError

PROVINCES = {
    "京": "BJ", "津": "TJ", "冀": "HE", "晋": "SX", "蒙": "NM", "辽": "LN", "吉": "JL", "黑": "HL", "沪": "SH", "苏": "JS",
    "浙": "ZJ", "皖": "AH", "闽": "FJ", "赣": "JX", "鲁": "SD", "豫": "HA", "鄂": "HB", "湘": "HN", "粤": "GD", "桂": "GX",
    "琼": "HI", "渝": "CQ", "川": "SC", "贵": "GZ", "云": "YN", "藏": "XZ", "陕": "SN", "甘": "GS", "青": "QH", "宁": "NX",
    "新": "XJ",
}  # fmt: skip
_CHARACTERS = {letters: character for character, letters in PROVINCES.items()}

_NUMBER = re.compile(rf"([{''.join(PROVINCES)}])([A-Z])([A-Z]{{2,6}})([0-9]{{4}})([BZJ])")
_ASCII = re.compile(r"([A-Z]{2})([A-Z])([A-Z]{2,6})([0-9]{4})([BZJ])")
_NAME = re.compile(r"([1-9][0-9]{5})-([A-Z0-9]+)-([a-z0-9]{1,8})")


class BadStation(YinongError):  # noqa: N818
    """A station number, division code, terminal id or name with an invalid form."""


class StationType(StrEnum):
    STANDARD = "B"  # 标准站
    PROFESSIONAL = "Z"  # 专业站
    SIMPLE = "J"  # 简易站


TYPE_NAMES = {
    StationType.STANDARD: ("标准站", "standard station"),
    StationType.PROFESSIONAL: ("专业站", "professional station"),
    StationType.SIMPLE: ("简易站", "simple station"),
}


class StationNumber(NamedTuple):
    """A station number in its parts."""

    province: str  # 桂
    plate: str  # B, the prefecture's licence-plate letter
    county: str  # RS, initials of the county's pinyin, two or more letters
    serial: str  # 0001
    type: StationType

    @classmethod
    def parse(cls, text: str) -> "StationNumber":
        """Parse either form, `桂BRS0001B` or `GXBRS0001B`. Raises BadStation, in Chinese and English."""
        if match := _NUMBER.fullmatch(text):
            return cls(match[1], match[2], match[3], match[4], StationType(match[5]))
        if (match := _ASCII.fullmatch(text)) and match[1] in _CHARACTERS:
            return cls(_CHARACTERS[match[1]], match[2], match[3], match[4], StationType(match[5]))
        raise BadStation(
            f"站点编号应如 桂BRS0001B（省简称 + 车牌字母 + 县拼音首字母 + 四位数字 + B/Z/J），而不是 {text!r} / "
            f"a station number looks like 桂BRS0001B or GXBRS0001B, not {text!r}"
        )

    def __str__(self) -> str:
        return f"{self.province}{self.plate}{self.county}{self.serial}{self.type.value}"

    @property
    def ascii(self) -> str:
        """For topics, client ids, files and certificates."""
        return f"{PROVINCES[self.province]}{self.plate}{self.county}{self.serial}{self.type.value}"


class Terminal(NamedTuple):
    """One terminal of a station; its name is the same everywhere."""

    division: str  # 450225, GB/T 2260
    number: StationNumber
    terminal: str  # "1"; a station has at least one

    @classmethod
    def of(cls, division: str, number: str, terminal: str = "1") -> "Terminal":
        """From parts, checked. Raises BadStation."""
        return cls.parse(f"{division}-{StationNumber.parse(number).ascii}-{terminal}")

    @classmethod
    def parse(cls, name: str) -> "Terminal":
        """Parse `450225-GXBRS0001B-1`. Raises BadStation."""
        match = _NAME.fullmatch(name)
        if not match:
            raise BadStation(
                f"本机全名应如 450225-GXBRS0001B-1（六位行政区划代码-站点编号-电脑序号），而不是 {name!r} / "
                f"a terminal's name looks like 450225-GXBRS0001B-1, not {name!r}"
            )
        return cls(match[1], StationNumber.parse(match[2]), match[3])

    @property
    def key(self) -> str:
        """The station's key: `450225/GXBRS0001B`."""
        return f"{self.division}/{self.number.ascii}"

    @property
    def name(self) -> str:
        """Branch of topics, MQTT user name, common name of the certificate, prefix of the client id."""
        return f"{self.division}-{self.number.ascii}-{self.terminal}"
