"""The county's register: the file in config/ and what is refused."""

from pathlib import Path

import pytest

from common.standard.register import BadRegister, load_register
from common.station import StationNumber, StationType

FILE = Path(__file__).parents[3] / "config/counties/450225.toml"


@pytest.fixture(scope="module")
def county():
    return load_register(FILE)


def test_the_plan_has_206_stations_of_each_type_and_23_of_them_are_demonstration_stations(county):
    assert [county.stations(t) for t in StationType] == [206, 206, 206]
    assert (county.all_stations, county.demonstration_stations) == (618, 23)


def test_the_county_has_20_townships_each_with_its_own_code(county):
    codes = sorted(t.code for t in county.township)
    assert len(set(codes)) == 20
    assert (codes[0], codes[-1]) == ("450225100", "450225215")
    assert all(code.startswith("450225") for code in codes)


def test_towns_have_codes_from_100_and_townships_from_201(county):
    for township in county.township:
        assert township.code[6] == ("1" if township.official.endswith("镇") else "2")


def test_the_townships_are_in_the_plans_order(county):
    assert "".join(t.name[:2] for t in county.township) == (
        "融水和睦永乐怀宝三防大浪洞头四荣香粉安陲安太汪洞同练滚贝杆洞良寨大年拱洞红水白云"
    )


def test_only_two_townships_have_another_official_name(county):
    assert {t.name: (t.official, t.code) for t in county.township if t.name != t.official} == {
        "同练乡": ("同练瑶族乡", "450225206"),
        "滚贝乡": ("滚贝侗族乡", "450225207"),
    }


def test_a_township_is_found_by_either_name_and_by_code(county):
    found = [county.find(text) for text in ("同练乡", "同练瑶族乡", "450225206", " 同练乡 ")]
    assert found == [county.find("同练乡")] * 4 and found[0].simple == 6
    assert county.find("柳城县") is None


def test_the_three_types_have_equal_counts_in_every_township(county):
    assert all(t.standard == t.professional == t.simple for t in county.township)


def test_a_number_of_the_county_is_known_by_its_prefix(county):
    assert county.numbers_here(StationNumber.parse("桂BRS0001B"))
    assert not county.numbers_here(StationNumber.parse("桂CYS0001B"))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('code = "450225101"', 'code = "450226101"', "is not of 450225"),
        ('code = "450225101"', 'code = "450225100"', "stands twice"),
        ('name = "和睦镇"', 'name = "融水镇"', "stands twice"),
        ("demonstration = 2", "demonstration = 99", "more demonstration stations"),
        ("standard = 19", "standard = -19", "township"),
        ('province = "桂"', 'province = "台"', "unknown province"),
        ("simple = 19\n", "", "simple"),
        ("simple = 19\n", "simpel = 19\n", "simple|simpel"),
        ("[[township]]", "[[township]", "line"),
    ],
)
def test_a_register_that_contradicts_itself_is_refused(tmp_path, old, new, says):
    text = FILE.read_text("utf-8")
    assert old in text
    (tmp_path / "bad.toml").write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(BadRegister, match=says):
        load_register(tmp_path / "bad.toml")


def test_a_missing_register_is_refused(tmp_path):
    with pytest.raises(BadRegister, match=r"none\.toml"):
        load_register(tmp_path / "none.toml")
