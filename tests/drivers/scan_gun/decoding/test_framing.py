"""Where scans begin and end; prefix, suffix, AIM identifiers; several lines."""

import pytest

from drivers.symbology import symbology_name

SEED_LABEL = "桂育9号\n融水种业有限公司\n45022512345678901\nhttps://example.cn/s?c=1"


def texts(captures):
    assert not any(c.damaged for c in captures), captures
    return [c.text for c in captures]


def causes(captures):
    return [c.damage for c in captures]


def test_a_four_line_seed_label_is_one_capture_from_a_serial_gun(sent):
    one = SEED_LABEL.encode("gbk") + b"\r\n"
    assert texts(sent((1, one), (3, one), multi_line=True)) == [SEED_LABEL, SEED_LABEL]


def test_a_four_line_seed_label_is_one_capture_from_a_wedge(typist, typed):
    gun = typist()
    for c in SEED_LABEL + "\n":
        gun.type(c) if c.isascii() else gun.alt(str(ord(c)))
    gun.wait(0.5).type("next\n")
    assert texts(typed(gun, multi_line=True)) == [SEED_LABEL, "next"]


def test_a_slow_gun_keeps_its_lines_together(typist, typed):
    gun = typist(step_s=0.036).type("line one\nline two\n").wait(1).type("x\n")
    assert texts(typed(gun, multi_line=True)) == ["line one\nline two", "x"]


def test_without_multi_line_each_enter_ends_a_scan(sent):
    assert texts(sent(b"a\r\nb\rc\n")) == ["a", "b", "c"]


def test_empty_scans_are_none(sent, typist, typed):
    assert sent(b"\r\n\r\n\r", b"\n") == []
    assert typed(typist().type("\n\n").wait(2)) == []
    assert sent(b"\r\n\r\n", multi_line=True) == []


def test_a_gun_that_sends_enter_before_the_data(typist, typed):
    assert texts(typed(typist().type("\n123").wait(1).type("\n456").wait(1))) == ["123", "456"]


def test_a_gun_without_suffix_ends_by_its_own_silence(typist, typed, sent):
    assert texts(typed(typist().type("123456").wait(0.6).type("7890"))) == ["123456", "7890"]
    assert texts(sent((1.0, b"ab"), (1.002, b"cd"), (1.5, b"ef"))) == ["abcd", "ef"]
    assert texts(sent((1.0, b"ab\ncd"), (1.5, b"ef"), suffix="none")) == ["ab\ncd", "ef"]


def test_a_slow_guns_scan_is_not_cut(typist, typed):
    assert texts(typed(typist(step_s=0.15).type("12345").wait(2).type("678"))) == ["12345", "678"]
    assert texts(typed(typist(step_s=0.6).type("123\n"), silence_ms=1000)) == ["123"]


def test_silence_is_no_end_for_a_gun_that_ends_its_scans_with_enter(typist, typed):
    gun = typist().type("4006381333931\n").wait(1).type("690123").wait(1).type("4567892\n").wait(9).type("1\n")
    assert causes(typed(gun)) == [None, "no_terminator", "follows_a_cut", None]


def test_a_first_scan_cut_by_a_stall_does_not_leave_a_good_second_half(typist, typed):
    gun = typist().type("690123").wait(1).type("4567892\n")
    assert causes(typed(gun)) == ["no_terminator", "follows_a_cut"]


def test_a_terminator_that_comes_late_and_alone_shows_that_the_scan_was_cut(typist, typed):
    assert causes(typed(typist().type("690123").wait(1).type("\n").wait(1).type("1\n"))) == ["no_terminator", None]


@pytest.mark.parametrize("suffix", ["\t", "tab", "auto"])
def test_tab_ends_a_scan(suffix: str, typist, typed, sent):
    assert texts(typed(typist().type("123\t").wait(1).type("456\t"), suffix=suffix)) == ["123", "456"]
    assert texts(sent((1, b"123\t"), (2, b"456\t"), suffix=suffix)) == ["123", "456"]


def test_a_set_suffix_that_does_not_come_is_damage(sent):
    assert causes(sent((1, b"123\r\n"), (2, b"456\r"), suffix="\r\n")) == [None, "no_terminator"]
    assert texts(sent(b"a\nb\r", suffix="cr")) == ["a\nb"]
    assert texts(sent(b"a\x03b\x03", suffix="\x03")) == ["a", "b"]


def test_prefix_and_suffix_around_the_data_are_the_guns_own(typist, typed, sent):
    assert texts(typed(typist().type("B690C\nBCC\n"), prefix="B", suffix="C")) == ["690", "C"]
    assert causes(sent(b"690C\r", b"B690\r", prefix="B", suffix="C")) == ["prefix_missing", "suffix_missing"]
    assert texts(sent(b"\x02690\x03\x02691\x03", prefix="\x02", suffix="\x03")) == ["690", "691"]


def test_an_aim_identifier_is_reported_and_removed(sent, typist, typed):
    (capture,) = sent(b"]C1010690123\x1d10A\r", aim=True)
    assert (capture.text, capture.symbology) == ("010690123\x1d10A", "C1")
    (capture,) = typed(typist().type("]E06901234567892\n"), aim=True)
    assert (capture.text, capture.symbology) == ("6901234567892", "E0")
    (capture,) = sent(b"]h1\\000029" + "融水".encode("gbk") + b"\r", aim=True)
    assert (capture.text, capture.symbology, capture.charset) == ("融水", "h1", "gb18030")


def test_an_aim_identifier_before_or_behind_the_prefix(sent):
    assert [(c.text, c.symbology) for c in sent(b"P]E0123\r", b"]E0P123\r", aim=True, prefix="P")] == [
        ("123", "E0"),
        ("123", "E0"),
    ]


def test_without_aim_a_bracket_is_text_and_with_it_a_missing_one_is_damage(sent):
    (capture,) = sent(b"]E0123\r")
    assert (capture.text, capture.symbology) == ("]E0123", None)
    assert causes(sent(b"123\r", b"]\r", aim=True)) == ["aim_missing", "aim_missing"]


def test_symbologies_have_names():
    assert symbology_name("Q1") == "QR Code"
    assert symbology_name("h0") == "Han Xin"
    assert symbology_name("J0") == "DotCode"
    assert symbology_name("C1") == "GS1-128"
    assert symbology_name("]") is None
    assert symbology_name(None) is None


def test_raw_bytes_are_kept_with_the_terminator(sent):
    (capture,) = sent(b"\x1d1\x1d\r")
    assert (capture.text, capture.raw, capture.charset) == ("\x1d1\x1d", "1d311d0d", "utf-8")


def test_a_stream_that_never_ends_is_bounded_and_damaged(sent):
    first, second = sent((1, b"x" * 200_000 + b"\r"), (1.001, b"ok\r"))
    assert first.damage == "too_long"
    assert len(first.seen) < 20_000
    assert second.text == "ok"


def test_hidpos_reports_of_both_layouts(sent):
    def honeywell(data: bytes, more: bool, aim: bytes = b"]Q1") -> bytes:
        return (bytes((2, len(data))) + aim + data).ljust(63, b"\0") + bytes((more,))

    def newland(data: bytes, more: bool) -> bytes:
        return (bytes((2, len(data))) + data).ljust(62, b"\0") + b"s" + bytes((more,))

    text = "融水苗族自治县" * 5 + "\n123"
    data = text.encode()
    for report, symbology in ((honeywell, "Q1"), (newland, None)):
        chunks = [(1.0 + i / 1000, report(data[i : i + 56], i + 56 < len(data))) for i in range(0, len(data), 56)]
        (capture,) = sent(*chunks, source="hidpos")
        assert (capture.text, capture.symbology, capture.charset) == (text, symbology, "utf-8")
    (capture,) = sent(newland(b"]E06901234567892", False), source="hidpos", aim=True)
    assert (capture.text, capture.symbology) == ("6901234567892", "E0")
    assert texts(sent(honeywell(b"1\r", False), honeywell(b"1", False), source="hidpos")) == ["1", "1"]


def test_a_hidpos_scan_whose_rest_does_not_come_is_damaged(sent):
    head = bytes((2, 56)) + b"]Q1" + b"a" * 56 + b"s\0\1"
    tail = (bytes((2, 2)) + b"]Q1bb").ljust(64, b"\0")
    assert causes(sent((1, head), (9, tail), source="hidpos")) == ["bad_report", None]
    assert causes(sent((1, head), (4, tail), source="hidpos")) == ["bad_report", "follows_a_cut"]
    assert causes(sent((1, head), source="hidpos")) == ["bad_report"]
    assert causes(sent((1, head[:30]), source="hidpos")) == ["bad_report"]
    assert sent((1, b"\4" + head[1:]), (2, b""), source="hidpos") == []


@pytest.mark.parametrize(
    ("texts", "config"),
    [
        (["B123C", "B456C"], {"prefix": "B", "suffix": "C"}),
        (["12#", "34#"], {"suffix": "#"}),
        (["12", "34"], {"suffix": "none"}),
        (["12", "34"], {}),
        (["12\t", "34\t"], {}),
    ],
)
@pytest.mark.parametrize("pause_s", [0.1, 0.2])
def test_two_scans_without_enter_too_close_together_are_never_one_good_code(texts, config, pause_s, typist, typed):
    gun = typist()
    for text in texts:
        gun.type(text).wait(pause_s)
    (capture,) = typed(gun, **config)
    assert (capture.text, capture.damage) == ("", "joined")


@pytest.mark.parametrize(
    ("texts", "config"),
    [(["B123C", "B456C"], {"prefix": "B", "suffix": "C"}), (["12#", "34#"], {"suffix": "#"}), (["12\t", "34\t"], {})],
)
def test_a_suffix_in_the_middle_of_what_silence_ended_is_no_data(texts, config, typist, typed):
    (capture,) = typed(typist().type("".join(texts)), **config)
    assert (capture.text, capture.damage) == ("", "joined")


def test_two_scans_without_enter_far_enough_apart_are_two(typist, typed):
    gun = typist().type("B1C").wait(0.4).type("B2C").wait(0.4)
    assert [c.text for c in typed(gun, prefix="B", suffix="C")] == ["1", "2"]


def test_a_suffix_that_enter_follows_may_stand_in_the_data(typist, typed):
    assert [c.text for c in typed(typist().type("1#2#\n"), suffix="#\n")] == ["1#2"]


def test_a_hanzi_among_ascii_is_no_pause(typist, typed):
    """Its number takes 12 reports, a digit only two: there are key events all the time."""
    gun = typist(step_s=0.008).type("1234").alt("31508").type("5678").wait(0.5)
    assert [(c.text, c.damage) for c in typed(gun, suffix="none")] == [("1234笔5678", None)]


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
def test_enter_of_a_serial_gun_is_any_line_end(end, sent):
    assert [(c.text, c.damage) for c in sent(b"one" + end, b"two" + end, suffix="enter")] == [
        ("one", None),
        ("two", None),
    ]
