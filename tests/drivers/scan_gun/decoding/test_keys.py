"""Key events of a wedge to scans, through `replay`."""

import json

import pytest
from evdev import ecodes as e

from agent.cli.scan import capture_json
from drivers.scan_gun.replay.errors import BadRecording
from drivers.scan_gun.replay.replay import replay


def texts(captures):
    assert not any(c.damaged for c in captures), captures
    return [c.text for c in captures]


def causes(captures):
    return [c.damage for c in captures]


# as printed on a US keyboard, written down here a second time: the typist takes its keys from the table that is tried
PRINTED = {
    "GRAVE": "`~", "MINUS": "-_", "EQUAL": "=+", "LEFTBRACE": "[{", "RIGHTBRACE": "]}", "BACKSLASH": "\\|", "SEMICOLON": ";:",
    "APOSTROPHE": "'\"", "COMMA": ",<", "DOT": ".>", "SLASH": "/?", "SPACE": "  ", "1": "1!", "2": "2@", "3": "3#", "4": "4$",
    "5": "5%", "6": "6^", "7": "7&", "8": "8*", "9": "9(", "0": "0)",
    "KPSLASH": "//", "KPASTERISK": "**", "KPMINUS": "--", "KPPLUS": "++", "KPDOT": "..",
}  # fmt: skip
PRINTED |= {letter: letter.lower() + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
PRINTED |= {f"KP{n}": f"{n}{n}" for n in range(10)}


def test_every_key_gives_what_is_printed_on_it(typist, typed):
    assert len({pair for pairs in PRINTED.values() for pair in pairs}) == 95
    gun = typist()
    for name in PRINTED:
        code = getattr(e, f"KEY_{name}")
        gun.key(code).key(code, e.KEY_RIGHTSHIFT)
    assert texts(typed(gun.type("\n"))) == ["".join(PRINTED.values())]


def test_every_character_of_the_us_table(typist, typed):
    text = "".join(chr(c) for c in range(32, 127))
    assert texts(typed(typist().type(text + "\n"))) == [text]


def test_three_scans_waiting_in_one_read_are_three_captures(typist, typed):
    gun = typist(step_s=0).type("6901234567892\n4006381333931\nABC-abc\n")
    assert texts(typed(gun)) == ["6901234567892", "4006381333931", "ABC-abc"]


def test_shift_kept_down_over_several_keys_and_pressed_for_each(typist, typed):
    gun = typist().edge(e.KEY_LEFTSHIFT, 1).key(e.KEY_A).key(e.KEY_B).edge(e.KEY_LEFTSHIFT, 0).key(e.KEY_C)
    assert texts(typed(gun.type("DeF\n"))) == ["ABcDeF"]


def test_one_shift_let_go_while_the_other_is_down_still_counts(typist, typed):
    gun = typist().edge(e.KEY_LEFTSHIFT, 1).edge(e.KEY_RIGHTSHIFT, 1).edge(e.KEY_LEFTSHIFT, 0).key(e.KEY_A)
    assert texts(typed(gun.edge(e.KEY_RIGHTSHIFT, 0).type("a\n"))) == ["Aa"]


def test_a_tapped_shift_alone_is_no_scan(typist, typed):
    assert typed(typist().key(e.KEY_LEFTSHIFT).wait(3)) == []


def test_keypad_digits_are_digits_regardless_of_numlock(typist, typed):
    gun = typist().key(e.KEY_NUMLOCK)
    for code in (
        e.KEY_KP6,
        e.KEY_KP9,
        e.KEY_KP0,
        e.KEY_KPDOT,
        e.KEY_KPMINUS,
        e.KEY_KPSLASH,
        e.KEY_KPASTERISK,
        e.KEY_KPENTER,
    ):
        gun.key(code)
    assert texts(typed(gun.event(e.EV_LED, e.LED_NUML, 0))) == ["690.-/*"]


def test_gs_by_ctrl_bracket(typist, typed):
    gun = typist().type("01").key(e.KEY_RIGHTBRACE, e.KEY_LEFTCTRL).type("10AB\n")
    assert texts(typed(gun)) == ["01\x1d10AB"]


def test_gs_by_alt_029_three_or_four_digits(typist, typed):
    assert texts(typed(typist().type("01").alt("029").type("A\n").type("01").alt("0029").type("B\n"))) == [
        "01\x1dA",
        "01\x1dB",
    ]


def test_leading_and_trailing_gs_are_kept(typist, typed):
    assert texts(typed(typist().type("\x1d01\x1d\n"))) == ["\x1d01\x1d"]


def test_the_format_06_envelope_survives(typist, typed):
    gun = typist().type("[)>").key(e.KEY_6, e.KEY_RIGHTCTRL, e.KEY_LEFTSHIFT).type("06\x1d1P\x04\n")
    assert texts(typed(gun)) == ["[)>\x1e06\x1d1P\x04"]


def test_notebook_in_chinese_by_alt_unicode(typist, typed):
    gun = typist()
    for c in "笔记本":
        gun.alt(str(ord(c)))
    (capture,) = typed(gun.type("X1\n"))
    assert (capture.text, capture.charset, capture.charset_because) == ("笔记本X1", "unicode", "alt_unicode")


def test_a_plate_in_chinese_by_alt_gbk_decimal_and_byte_by_byte(typist, typed):
    high, low = "桂".encode("gbk")
    gun = typist().alt(str(high << 8 | low)).type("B\n").alt(f"0{high}").alt(f"0{low}").type("B\n")
    first, second = typed(gun)
    assert (first.text, first.charset_because) == ("桂B", "alt_gbk")
    assert (second.text, second.charset_because) == ("桂B", "alt_bytes")


def test_a_wedge_types_the_eci_prefix_unchanged(typist, typed):
    gun = typist().type("\\000026")
    for byte in "融水".encode():
        gun.alt(f"0{byte}")
    (capture,) = typed(gun.type("\\\\1\n"))
    assert (capture.text, capture.charset, capture.charset_because) == ("融水\\1", "utf-8", "eci_000026")


def test_a_lone_half_of_a_hanzi_is_damage_not_text(typist, typed):
    (capture,) = typed(typist().type("A").alt("0185").type("\n"))
    assert (capture.text, capture.damage) == ("", "undecodable")
    assert capture.seen.startswith("A")


def test_host_capslock_turns_a_gun_round_that_watches_it(typist, typed):
    gun = typist().event(e.EV_LED, e.LED_CAPSL, 1).type("aBc1!\n")
    assert texts(typed(gun, caps="host")) == ["AbC1!"]
    assert texts(typed(gun, caps="ignore")) == ["aBc1!"]


def test_host_capslock_switched_off_again(typist, typed):
    gun = typist().event(e.EV_LED, e.LED_CAPSL, 1).type("aB\n").event(e.EV_LED, e.LED_CAPSL, 0).type("aB\n")
    assert texts(typed(gun, caps="host")) == ["Ab", "aB"]


def test_a_gun_that_taps_capslock_itself_to_type_capitals(typist, typed):
    gun = typist().key(e.KEY_CAPSLOCK).type("ab1").key(e.KEY_CAPSLOCK).type("c\n")
    assert texts(typed(gun)) == ["AB1c"]


def test_events_dropped_by_the_kernel_make_the_scan_damaged_and_only_this_one(typist, typed):
    gun = typist().type("690123").event(e.EV_SYN, e.SYN_DROPPED, 0).type("92\n").type("4006381333931\n")
    first, second = typed(gun)
    assert (first.text, first.seen, first.damage) == ("", "69012392", "events_dropped")
    assert first.flags == ("damaged",)
    assert (second.text, second.flags) == ("4006381333931", ())


def test_a_gap_that_ends_in_a_drop_is_no_proof_of_silence(typist, typed):
    gun = typist().type("690123").wait(0.5).event(e.EV_SYN, e.SYN_DROPPED, 0).wait(6).type("1\n")
    assert causes(typed(gun)) == ["events_dropped", None]


def test_dropped_events_are_reported_even_if_nothing_was_read(typist, typed):
    (capture,) = typed(typist().event(e.EV_SYN, e.SYN_DROPPED, 0).wait(3))
    assert capture.damaged
    assert capture.seen == ""


def test_a_shift_whose_release_was_dropped_does_not_reach_the_next_scan(typist, typed):
    gun = typist().edge(e.KEY_LEFTSHIFT, 1).key(e.KEY_A).event(e.EV_SYN, e.SYN_DROPPED, 0).type("b\nabc\n")
    assert [c.text for c in typed(gun)] == ["", "abc"]


def test_a_key_without_a_character_damages_its_scan(typist, typed):
    assert causes(typed(typist().type("12").key(e.KEY_F5).type("34\n"))) == ["unknown_key"]
    assert typed(typist().key(e.KEY_F5).key(e.KEY_VOLUMEUP).wait(3)) == []


def test_a_release_without_its_press_means_a_lost_event(typist, typed):
    assert causes(typed(typist().type("12").edge(e.KEY_7, 0).type("34\n"))) == ["inconsistent_keys"]
    assert causes(typed(typist().type("12").edge(e.KEY_7, 1).type("7\n"))) == ["inconsistent_keys"]


def test_autorepeat_adds_nothing(typist, typed):
    gun = typist().edge(e.KEY_1, 1).edge(e.KEY_1, 2).edge(e.KEY_1, 2).edge(e.KEY_1, 0)
    assert texts(typed(gun.type("2\n"))) == ["12"]


def test_two_guns_interleaved_event_by_event(typist):
    a, b = typist(10.0, 0).type("6901111111111\n"), typist(10.0005, 0).type("ABCDEFGHIJKLM\n")
    lines = [
        line
        for pair in zip(a.lines("left") + [""] * 999, b.lines("right") + [""] * 999, strict=False)
        for line in pair
        if line
    ]
    found = {(c.gun, c.text) for c in replay(lines, "evdev")}
    assert found == {("left", "6901111111111"), ("right", "ABCDEFGHIJKLM")}


def test_the_same_code_twice_is_two_captures_the_second_flagged(typist, typed):
    flags = [c.flags for c in typed(typist().type("1\n1\n2\n1\n"))]
    assert flags == [(), ("repeated",), (), ()]


def test_a_capture_has_its_times_and_its_keys(typist, typed):
    (capture,) = typed(typist(10.0, 0.004).type("aB\n"))
    assert (capture.start_mono_ms, capture.end_mono_ms) == (10000, 10014)
    assert capture.raw == "0+A 1-A 5+LEFTSHIFT 1+B 1-B 1-LEFTSHIFT 5+ENTER"
    line = capture_json(capture)
    assert (line["start"], line["end"], line["gun"], line["text"]) == (10.0, 10.014, "gun", "aB")
    assert {"charset", "symbology", "flags", "raw"} <= set(json.loads(json.dumps(line)))


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"t": 1}', '{"t": 1, "type": "EV_KEY", "code": "SYN_NONE_SUCH", "value": 1}',
     '{"t": 1e999, "type": "EV_KEY", "code": "KEY_A", "value": 1}', '{"config": {"baud": 1}}', '{"config": 5}'],
)  # fmt: skip
def test_a_bad_recording_names_the_line(line: str):
    with pytest.raises(BadRecording, match="line 1"):
        list(replay([line], "evdev"))
