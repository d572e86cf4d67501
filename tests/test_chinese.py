"""Chinese as China writes it: the signs of GB/T 15834, the words of the glossary, and what an officer may be told."""

import re

import pytest
from support.chinese import NOT_SAID, ROOT, all_texts, faults, python_texts

from drivers.catalogue import Entry, read_catalogue

CATALOGUES = sorted(
    file
    for room in ("agent", "center", "common", "drivers")
    for file in (ROOT / room).rglob("*.toml")
    if "says = " in file.read_text("utf-8")
)
ENTRIES = [
    (f"{file.relative_to(ROOT)} {code}", entry) for file in CATALOGUES for code, entry in read_catalogue(file).items()
]
FIRST_LINE = 24  # characters

# What a shopkeeper reads on the things themselves: units, cables, lamps, paper.
OFFICER_MAY_READ = {"A4", "GS1", "HDMI", "LED", "LOS", "M", "MB", "U", "USB", "VGA", "Wi-Fi"}
# What says what is wrong is seen by everybody; where only others can act, these names of protocols may stand in it.
OTHERS_MAY_READ = {"HTTP", "IPP", "MQTT", "QoS", "/proc"}
# Parameters whose values are paths, options, system names or a library's text.
NOT_FOR_OFFICERS = {"path", "folder", "device", "file", "library", "step", "units", "state", "gun"}

# A text stands as it is, for a reason.
DATA = {
    "drivers/scan_gun/replay/learning.py": "Mm益农信息社隆喆",  # the content of a code that the screen shows
}


def test_every_chinese_text_has_chinese_signs_and_the_words_of_the_glossary() -> None:
    texts = list(all_texts())
    assert len(texts) > 900, "where are the texts?"
    wrong = [
        f"{one.where}  {fault}"
        for one in texts
        if DATA.get(one.where.rpartition(":")[0]) != one.text
        for fault in faults(one.text)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_exception_is_still_there() -> None:
    for file, text in DATA.items():
        assert text in (ROOT / file).read_text("utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "打印机没有纸了,请加纸", "县中心(服务器)", "还没有检查:稍等", "好吗?", "检查(约 6 分钟)", "请看:\ufffc", "\ufffc:请加纸",
        "看到(\ufffc)", "USB口", "插好 USB线", "3个", "没有 ，纸", "没有， 纸", "没有（ 纸）", "还在做…", "“好”,坏",
        "打不开「网页」", "检查\ufffc,", "共 3 条;好", "请看 USB (键盘)",
        "station (社区), 待核实", "never 待核实, a guess", *(f"请看{word}吧" for word in NOT_SAID),
    ],
)  # fmt: skip
def test_a_fault_is_seen(text: str) -> None:
    assert faults(text), text


@pytest.mark.parametrize(
    "text",
    [
        "打印机没有纸了，请加 A4 纸（80 克）", "实测 19.4M，营业 08:00～18:00", "融政办发〔2019〕14号，附件 1", "正在进行……",
        "village service stations (益农信息社), of a county", "a station number like 桂BRS0001B or GXBRS0001B, not\ufffc",
        "密码不能写在这里：见 \ufffc。No secret here, see \ufffc.", "无法读取 / cannot be read: no such file",
        "应为 08:00-18:00 / a span, like 08:00-18:00",
        "智能终端能视频通话", "终端编号", "公示：\n- 门头", "| 电脑 | ✓ |", "（秒） / 60 to 300 s",
    ],
)  # fmt: skip
def test_a_right_text_is_left_alone(text: str) -> None:
    assert faults(text) == []


@pytest.mark.parametrize(
    "code",
    ['f"{zh}:{value}"', 'f"({action.zh})"', """f"({', '.join(zh for zh, _ in named)})\"""", 'zh = ", ".join(all)'],
)
def test_a_value_that_is_chinese_by_its_name_counts_as_chinese(code: str) -> None:
    assert any(faults(text) for _, text in python_texts(code))


def test_texts_are_found_where_they_stand_in_code() -> None:
    source = (
        '"""人."""\nA = f"第 {n} 行:{\'坏,了\'}"  # 见,此\nB = ("没有" "(纸)")\n'
        'import re\nC = re.compile("[,一]")\nD = f"\\u4e00{A}"\n'
    )
    texts = {text for _, text in python_texts(source)}
    assert texts == {"人.", "第 \ufffc 行:\ufffc", "坏,了", "# 见,此", "没有(纸)", "一\ufffc"}
    assert sum(bool(faults(text)) for text in texts) == 4


@pytest.mark.parametrize(("code", "entry"), ENTRIES, ids=[code for code, _ in ENTRIES])
def test_an_officer_is_shown_no_path_no_option_and_no_english(code: str, entry: Entry) -> None:
    officers = entry.who in (None, "officer")
    shown = f"{entry.zh.says} {entry.zh.do if officers else ''}"
    if officers:
        assert not set(re.findall(r"\{(\w+)\}", shown)) & NOT_FOR_OFFICERS, code
    text = re.sub(r"\{\w+\}", "", shown)
    words = set(re.findall(r"[A-Za-z/\[_][\w/.\[\]-]*", text.replace("/proc", " /proc ")))
    allowed = OFFICER_MAY_READ if officers else OFFICER_MAY_READ | OTHERS_MAY_READ
    assert words <= allowed, (code, words - allowed)
    assert '"' not in entry.zh.says + entry.zh.do


@pytest.mark.parametrize(("code", "entry"), ENTRIES, ids=[code for code, _ in ENTRIES])
def test_the_first_line_is_short(code: str, entry: Entry) -> None:
    first = re.split("[\uff0c\uff1b\uff1a\uff08]", re.sub(r"\{\w+\}", "", entry.zh.says))[0]
    assert len(first) <= FIRST_LINE, (code, first)
