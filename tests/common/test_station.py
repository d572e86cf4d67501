"""Station numbers and the name of a terminal."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.station import PROVINCES, BadStation, StationNumber, StationType, Terminal

UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
numbers = st.builds(
    StationNumber,
    st.sampled_from(sorted(PROVINCES)),
    st.sampled_from(UPPER),
    st.text(UPPER, min_size=2, max_size=6),
    st.from_regex(r"[0-9]{4}", fullmatch=True).filter(str.isascii),
    st.sampled_from(StationType),
)
divisions = st.from_regex(r"[1-9][0-9]{5}", fullmatch=True).filter(str.isascii)
terminals = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)


def test_there_are_31_provinces_and_no_two_share_their_letters():
    assert len(PROVINCES) == len(set(PROVINCES.values())) == 31


@pytest.mark.parametrize("character", PROVINCES)
def test_the_number_of_every_province_goes_to_ascii_and_back(character):
    text = f"{character}BRS0001B"
    number = StationNumber.parse(text)
    assert number.ascii == f"{PROVINCES[character]}BRS0001B"
    assert number.ascii.isascii()
    assert str(StationNumber.parse(number.ascii)) == text


@given(numbers)
def test_both_forms_of_any_number_give_the_same_station(number):
    assert StationNumber.parse(str(number)) == StationNumber.parse(number.ascii) == number


@given(numbers, numbers)
def test_two_numbers_never_share_an_ascii_form(one, other):
    assert (one == other) == (one.ascii == other.ascii)


def test_the_three_types_of_rongshui():
    types = [StationNumber.parse(f"桂BRS0001{letter}").type for letter in "BZJ"]
    assert types == [StationType.STANDARD, StationType.PROFESSIONAL, StationType.SIMPLE]


@given(divisions, numbers, terminals)
def test_the_name_of_any_terminal_holds_everything(division, number, terminal):
    whole = Terminal.of(division, str(number), terminal)
    assert Terminal.parse(whole.name) == whole == Terminal(division, number, terminal)
    assert whole.key == f"{division}/{number.ascii}"


@given(divisions, numbers, terminals)
def test_a_name_can_stand_in_a_topic_an_acl_pattern_and_a_file_name(division, number, terminal):
    assert re.fullmatch(r"[0-9A-Za-z-]+", Terminal(division, number, terminal).name)


def test_one_name_everywhere():
    terminal = Terminal.of("450225", "桂BRS0001B")
    assert (terminal.name, terminal.key) == ("450225-GXBRS0001B-1", "450225/GXBRS0001B")


def test_two_counties_may_share_a_number_but_not_a_key():
    yanshan, yangshuo = (Terminal.of(division, "桂CYS0001B") for division in ("450311", "450321"))
    assert yanshan.number == yangshuo.number
    assert yanshan.key != yangshuo.key


BAD_NUMBERS = [
    "", "桂BRS0001", "桂BRS0001X", "桂BRS001B", "桂BRS00001B", "桂brs0001b", "BRS0001B", "桂BR0001B", "桂BRSABCDEF0001B",
    "XXBRS0001B", "台BRS0001B", "桂BRS0001B ", " 桂BRS0001B", "桂BRS0001B\n", "GXBRS0001B\n", "桂BRS０００１B", "桂BRS٠٠٠١B",
    "桂桂BRS0001B", "桂-BRS0001B", "桂BRS0001B/", "gxBRS0001B",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_NUMBERS)
def test_a_bad_number_is_refused_in_chinese_and_english(text):
    with pytest.raises(BadStation, match=r"站点编号应如 .* / a station number looks like"):
        StationNumber.parse(text)


BAD_NAMES = [
    "", "450225", "450225-GXBRS0001B", "450225/GXBRS0001B/1", "050225-GXBRS0001B-1", "45022-GXBRS0001B-1",
    "450225-桂BRS0001B-1", "450225-GXBRS0001B-", "450225-GXBRS0001B-A", "450225-GXBRS0001B-123456789",
    "450225-GXBRS0001B-1-2", "450225-GXBRS0001B-1\n", "450225-GXBRS0001B-+", "450225-GXBRS0001B-#", "４５０２２５-GXBRS0001B-1",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_NAMES)
def test_a_bad_name_is_refused(text):
    with pytest.raises(BadStation):
        Terminal.parse(text)


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_refused(text):
    try:
        number = StationNumber.parse(text)
    except BadStation:
        return
    assert text in (str(number), number.ascii)


@given(st.text("0123456789-ABGXZJ桂/+#a", max_size=30))
def test_any_text_is_a_name_or_refused(text):
    try:
        terminal = Terminal.parse(text)
    except BadStation:
        return
    assert terminal.name == text
