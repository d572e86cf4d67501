"""Characters typed as their numbers in hex: Alt and +, or Ctrl+Shift+U; and numbers that are never completed."""

import pytest
from evdev import ecodes as e
from hypothesis import given
from hypothesis import strategies as st

from drivers.scan_gun.replay.replay import replay
from tests.drivers.scan_gun.conftest import Typist

HEX = {"a": e.KEY_A, "b": e.KEY_B, "c": e.KEY_C, "d": e.KEY_D, "e": e.KEY_E, "f": e.KEY_F}
HEX |= {"0": e.KEY_0} | {str(n): e.KEY_1 + n - 1 for n in range(1, 10)}


def alt_hex(gun: Typist, digits: str) -> Typist:
    gun.edge(e.KEY_LEFTALT, 1).key(e.KEY_KPPLUS)
    for digit in digits:
        gun.key(HEX[digit])
    return gun.edge(e.KEY_LEFTALT, 0)


def by_u_then_enter(gun: Typist, digits: str) -> Typist:
    gun.edge(e.KEY_LEFTCTRL, 1).edge(e.KEY_LEFTSHIFT, 1).key(e.KEY_U)
    gun.edge(e.KEY_LEFTSHIFT, 0).edge(e.KEY_LEFTCTRL, 0)
    for digit in digits:
        gun.key(HEX[digit])
    return gun.key(e.KEY_ENTER)


def by_u_then_space(gun: Typist, digits: str) -> Typist:
    by_u_then_enter(gun, digits)
    gun.events = [(t, k, e.KEY_SPACE if code == e.KEY_ENTER else code, v) for t, k, code, v in gun.events]
    return gun


def by_u_held(gun: Typist, digits: str) -> Typist:
    gun.edge(e.KEY_RIGHTCTRL, 1).edge(e.KEY_LEFTSHIFT, 1).key(e.KEY_U)
    for digit in digits:
        gun.key(HEX[digit])
    return gun.edge(e.KEY_LEFTSHIFT, 0).edge(e.KEY_RIGHTCTRL, 0)


WAYS = pytest.mark.parametrize("way", [alt_hex, by_u_then_enter, by_u_then_space, by_u_held])


@WAYS
def test_notebook_in_chinese_by_hex_numbers(way, typist, typed):
    gun = typist().type("A1")
    for character in "笔记本":
        way(gun, f"{ord(character):x}")
    (capture,) = typed(gun.key(e.KEY_ENTER).wait(0.1))
    assert (capture.text, capture.damage) == ("A1笔记本", None)
    assert (capture.charset, capture.charset_because) == ("unicode", "unicode_hex")


@WAYS
@pytest.mark.parametrize("digits", ["", "d83d", "110000", "7b147b147b1"])
def test_a_hex_number_of_no_character_is_damage_not_text(way, digits, typist, typed):
    if way is alt_hex and not digits:
        return  # Alt and + alone are keys like any other: the next test
    captures = typed(way(typist().type("12"), digits).key(e.KEY_ENTER))
    assert [(c.text, c.damaged) for c in captures if c.raw.startswith("0+1 ")] == [("", True)]


def test_a_rare_hanzi_has_five_hex_digits(typist, typed):
    assert [c.text for c in typed(by_u_held(typist(), "2000b").type("\n"))] == ["𠀋"]


def test_gs_as_a_hex_number(typist, typed):
    assert [c.text for c in typed(alt_hex(typist().type("1"), "1d").type("2\n"))] == ["1\x1d2"]


@pytest.mark.parametrize("broken", [lambda g: g.type("7b1x4\n"), lambda g: g.wait(3).type("34\n"), lambda g: g])
def test_a_number_after_ctrl_shift_u_that_does_not_end_is_damage(broken, typist, typed):
    gun = typist().type("12").edge(e.KEY_LEFTCTRL, 1).edge(e.KEY_LEFTSHIFT, 1).key(e.KEY_U)
    broken(gun.edge(e.KEY_LEFTSHIFT, 0).edge(e.KEY_LEFTCTRL, 0))
    captures = typed(gun)
    assert [c.damage for c in captures][:1] == ["undecodable"]
    assert all(c.text in ("", "34") for c in captures)


def test_an_alt_code_in_whose_middle_the_gun_falls_silent_is_damage(typist, typed):
    """Without the number the rest would be a plausible wrong code."""
    gun = typist().type("12").edge(e.KEY_LEFTALT, 1).key(e.KEY_KP0).key(e.KEY_KP2).key(e.KEY_KP9)
    captures = typed(gun.wait(8).edge(e.KEY_LEFTALT, 0).wait(3))
    assert [(c.text, c.damage) for c in captures] == [("", "undecodable")]


def test_ctrl_u_alone_is_a_control_character(typist, typed):
    assert [c.text for c in typed(typist().key(e.KEY_U, e.KEY_LEFTCTRL).type("7b14\n"))] == ["\x157b14"]


@given(st.lists(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), min_size=1, max_size=8), st.data())
def test_any_character_comes_out_exact_by_any_of_its_numbers(text: list[str], data: st.DataObject):
    ways = [alt_hex, by_u_then_enter, by_u_then_space, by_u_held]
    gun = Typist()
    for character in text:
        one = data.draw(st.sampled_from(ways))(Typist(gun.t), f"{ord(character):x}")
        gun.events += one.events
        gun.t = one.t + 0.004
    assert [c.text for c in replay(gun.key(e.KEY_ENTER).lines(), "evdev")] == ["".join(text)]
