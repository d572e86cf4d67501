"""Bytes and Alt codes to text, by the fixed rule."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.scan_gun.decoding.alt_codes import decode_items
from drivers.scan_gun.decoding.charset import Undecodable, decode


def gb2312_hanzi() -> list[str]:
    pairs = (bytes((high, low)) for high in range(0xB0, 0xF8) for low in range(0xA1, 0xFF))
    return [text for text in (p.decode("gb2312", "ignore") for p in pairs) if text]


def test_gbk_bytes_of_a_plate_are_read_as_gb18030():
    text, charset, because = decode("桂AB1234".encode("gbk"))
    assert (text, charset, because) == ("桂AB1234", "gb18030", "not_utf8")


def test_longlong_in_gbk_is_valid_utf8_and_still_read_as_gb18030():
    data = "隆隆".encode("gbk")
    assert data.decode("utf-8")  # which is the trap
    assert decode(data)[:2] == ("隆隆", "gb18030")


def test_every_gb2312_hanzi_comes_out_right_from_gbk_and_from_utf8():
    hanzi = gb2312_hanzi()
    assert len(hanzi) == 6763
    for character in hanzi:
        assert decode(character.encode("gbk")).text == character
        assert decode(character.encode("utf-8")).text == character


def test_ascii_is_utf8():
    assert decode(b"6901234567892") == ("6901234567892", "utf-8", "ascii")


@pytest.mark.parametrize(("eci", "charset"), [(b"\\000026", "utf-8"), (b"\\000029", "gb18030")])
def test_a_literal_eci_prefix_decides_and_is_not_text(eci: bytes, charset: str):
    text, name, because = decode(eci + "隆隆1".encode(charset))
    assert (text, name, because) == ("隆隆1", charset, f"eci_{eci[1:].decode()}")


def test_a_declared_eci_wins_over_the_configured_character_set():
    assert decode(b"\\000026" + "桂".encode(), "gb18030").text == "桂"


def test_a_doubled_backslash_behind_an_eci_is_one():
    assert decode(b"\\000026C:\\\\x").text == "C:\\x"
    assert decode(b"C:\\\\x").text == "C:\\\\x"  # nothing declares them as doubled
    assert decode(b"C:\\\\x", eci_mode=True).text == "C:\\x"


def test_the_second_byte_of_a_hanzi_may_be_a_doubled_backslash():
    data = "乗".encode("gbk")  # 81 5C
    assert data[1:] == b"\\"
    assert decode(b"\\000029" + data.replace(b"\\", b"\\\\") + b"1").text == "乗1"


def test_an_unknown_eci_is_left_in_the_text():
    assert decode(b"\\000999abc").text == "\\000999abc"


def test_an_eci_may_change_in_the_middle():
    data = b"\\000026" + "桂".encode() + b"\\000029" + "桂".encode("gbk")
    assert decode(data) == ("桂桂", "utf-8+gb18030", "eci_000026+eci_000029")


def test_bytes_without_a_meaning_are_refused():
    for data in (b"\xff\xff", b"\\000026\xff", b"caf\xe9"):
        with pytest.raises(Undecodable):
            decode(data)


def test_a_configured_character_set_is_applied_strictly():
    assert decode(b"caf\xe9", "iso-8859-1") == ("café", "iso-8859-1", "configured")


def test_notebook_typed_as_unicode_decimals():
    assert decode_items([ord(c) for c in "笔记本"]) == ("笔记本", "unicode", "alt_unicode")


def test_every_gb2312_hanzi_comes_out_right_from_both_kinds_of_decimals():
    for character in gb2312_hanzi():
        assert decode_items([ord(character)]).text == character
        assert decode_items([int.from_bytes(character.encode("gbk"), "big")]) == (character, "gb18030", "alt_gbk")
        assert decode_items(list(character.encode("gbk"))) == (character, "gb18030", "alt_bytes")
        assert decode_items(list(character.encode("utf-8"))).text == character


def test_two_gbk_hanzi_are_never_joined_to_a_rare_one():
    text = "伢镡"  # some of the level-2 rows D8 to DF
    rows = [c for c in gb2312_hanzi() if 0xD8 <= c.encode("gbk")[0] <= 0xDF][:200] + list(text)
    for first, second in zip(rows, reversed(rows), strict=True):
        codes = [int.from_bytes(c.encode("gbk"), "big") for c in (first, second)]
        assert decode_items(codes).text == first + second


def test_a_rare_hanzi_typed_as_two_utf16_halves():
    assert decode_items([0xD840, 0xDC0B]).text == "\U0002000b"


def test_a_rare_gbk_hanzi_is_known_by_its_neighbours():
    codes = [int.from_bytes(c.encode("gbk"), "big") for c in "陶喆"]
    assert decode_items(codes).text == "陶喆"
    assert decode_items([codes[1]]).text != "喆"  # alone it looks like Unicode, as the rule has it
    assert decode_items([codes[1]], alt="gbk").text == "喆"


def test_decimals_of_two_kinds_in_one_scan_are_refused():
    only_unicode, only_gbk = 0x7B14, int.from_bytes("隆".encode("gbk"), "big")
    with pytest.raises(Undecodable):
        decode_items([only_unicode, only_gbk])


@settings(deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_hostile_bytes_give_text_or_undecodable(data: bytes, eci_mode: bool):
    try:
        assert isinstance(decode(data, eci_mode=eci_mode).text, str)
    except Undecodable:
        pass


@settings(deadline=None)
@given(st.lists(st.one_of(st.characters(max_codepoint=127), st.integers(128, 10**10)), max_size=40))
def test_hostile_alt_codes_give_text_or_undecodable(strokes: list[str | int]):
    try:
        decode_items(strokes).text.encode("utf-8")
    except Undecodable:
        pass
