"""Any text, timing, split of reads and interleaving comes out exact or damaged; noise never makes a valid code."""

import itertools
import json
from typing import Any

from evdev import ecodes as e
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.scan_gun.decoding.framing import Framer, Framing
from drivers.scan_gun.decoding.keys import US
from drivers.scan_gun.replay.replay import replay
from drivers.scan_gun.sources.evdev import EVENT, EvdevDecoder
from drivers.scan_gun.sources.serial_port import SerialDecoder
from tests.drivers.scan_gun.conftest import Typist, timed_lines

table = st.text([chr(c) for c in range(32, 127)] + ["\x1d", "\x1e", "\x04"], min_size=1, max_size=30)
hanzi = st.text(st.sampled_from("桂融水苗族自治县益农信息社隆记笔本"), min_size=1, max_size=8)
step_s = st.floats(0, 0.15)
scans = st.lists(table, min_size=1, max_size=5)


def typing(texts: list[str], step_s: float = 0.003) -> Typist:
    gun = Typist(step_s=step_s)
    for text in texts:
        gun.type(text + "\n").wait(0.3)
    return gun


def good(captures: Any) -> list[str]:
    return [c.text for c in captures if not c.damaged]


@settings(deadline=None)
@given(scans, step_s)
def test_any_text_of_the_table_at_any_speed_is_exact(texts: list[str], step_s: float):
    captures = list(replay(typing(texts, step_s).lines(), "evdev"))
    assert [c.text for c in captures] == texts
    assert not any(c.damaged for c in captures)


@settings(deadline=None)
@given(table, st.lists(st.floats(0, 1.4), min_size=40, max_size=40))
def test_any_gaps_between_the_keys_leave_it_exact_or_damaged(text: str, gaps: list[float]):
    gun = Typist()
    for c, gap in zip(text + "\n", gaps, strict=False):
        gun.type(c).wait(gap)
    assert good(replay(gun.lines(), "evdev")) in ([text], [])


sizes = st.lists(st.integers(1, 400), min_size=1, max_size=8)


@settings(deadline=None)
@given(scans, sizes)
def test_any_split_of_reads_of_a_wedge_is_exact(texts: list[str], sizes: list[int]):
    raw = typing(texts).raw()
    decoder = EvdevDecoder(Framer("g", "i", "evdev", Framing()), "ignore")
    captures, at = [], 0
    for size in itertools.cycle(sizes):
        captures += decoder.feed(raw[at : at + size], 0)
        at += size
        if at >= len(raw):
            break
    assert [c.text for c in captures] == texts


@settings(deadline=None)
@given(st.lists(st.one_of(table, hanzi), min_size=1, max_size=5), st.sampled_from(["utf-8", "gbk"]), sizes)
def test_any_split_of_reads_of_a_serial_gun_is_exact(texts: list[str], charset: str, sizes: list[int]):
    sent = b"".join(text.encode(charset) + b"\r\n" for text in texts)
    decoder = SerialDecoder(Framer("g", "i", "serial", Framing()))
    captures, at = [], 0
    for size in itertools.cycle(sizes):
        captures += decoder.feed(sent[at : at + size], at + 10 * (size % 10))
        at += size
        if at >= len(sent):
            break
    assert [c.text for c in captures] == texts


@settings(deadline=None)
@given(scans, scans, st.floats(0, 0.02), st.floats(0, 0.02))
def test_any_interleaving_of_two_guns_is_exact(left: list[str], right: list[str], a: float, b: float):
    lines = sorted(
        timed_lines(typing(left, a).events, "left") + timed_lines(typing(right, b).events, "right"), key=lambda x: x[0]
    )
    captures = list(replay([line for _, line in lines], "evdev"))
    assert [c.text for c in captures if c.gun == "left"] == left
    assert [c.text for c in captures if c.gun == "right"] == right


@settings(deadline=None)
@given(scans, st.data())
def test_events_lost_with_the_kernels_mark_never_give_a_wrong_good_scan(texts: list[str], data: st.DataObject):
    events = typing(texts).events
    first = data.draw(st.integers(0, len(events) - 1))
    last = data.draw(st.integers(first, min(len(events) - 1, first + 120)))
    events[first : last + 1] = [(events[last][0], e.EV_SYN, e.SYN_DROPPED, 0)]
    captures = list(replay([line for _, line in timed_lines(events)], "evdev"))
    left = iter(texts)
    # a subsequence: nothing invented, none twice
    assert all(any(text == one for one in left) for text in good(captures))
    assert any(c.damaged for c in captures)


@settings(deadline=None)
@given(scans, st.data())
def test_an_unplugging_at_any_event_never_gives_half_a_code(texts: list[str], data: st.DataObject):
    events = typing(texts).events
    decoder = EvdevDecoder(Framer("g", "i", "evdev", Framing()), "ignore")
    captures = []
    end = data.draw(st.integers(0, len(events)))
    for t, kind, code, value in events[:end]:
        captures += decoder.event(round(t * 1000), kind, code, value)
    captures += decoder.gone(round(events[end - 1][0] * 1000) + data.draw(st.integers(0, 200)))
    whole = good(captures)
    assert whole == texts[: len(whole)]


noise = st.tuples(
    st.sampled_from([e.EV_KEY] * 6 + [e.EV_SYN, e.EV_MSC, e.EV_LED, e.EV_REL, 31]),
    st.one_of(
        st.sampled_from([*US, e.KEY_LEFTSHIFT, e.KEY_LEFTCTRL, e.KEY_LEFTALT, e.KEY_CAPSLOCK]), st.integers(0, 767)
    ),
    st.sampled_from([0, 0, 1, 1, 2, -1, 7]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(noise, st.integers(-50, 2000)), max_size=80), st.sampled_from(["ignore", "host"]))
def test_noise_never_crashes_and_a_good_capture_was_typed(events: list[Any], caps: Any):
    """An undamaged text must match the key presses: one character at most for each press, in their order.

    A character that was typed as its number costs at least one press of a digit.
    """
    decoder = EvdevDecoder(Framer("g", "i", "evdev", Framing()), caps)
    captures, at_ms, pressed = [], 100_000, []
    for (kind, code, value), gap in events:
        at_ms += gap
        if kind == e.EV_KEY and value == 1:
            pressed.append(code)
        captures += decoder.event(at_ms, kind, code, value)
    captures += decoder.gone(at_ms + 5000)
    keys = iter(pressed)
    numbers = any(code in (e.KEY_LEFTALT, e.KEY_RIGHTALT, e.KEY_U) for code in pressed)
    for capture in captures:
        assert capture.damaged == (capture.damage is not None)
        assert not (capture.damaged and capture.text)
        if not capture.damaged:
            for character in capture.text:
                assert any(could_type(code, character) or (numbers and is_digit(code)) for code in keys)


def is_digit(code: int) -> bool:
    return US.get(code, ("", ""))[0] in set("0123456789abcdef")


def could_type(code: int, character: str) -> bool:
    plain, shifted = US.get(code, ("", ""))
    if character in (plain, shifted) or character.swapcase() in (plain, shifted):
        return bool(plain)
    return bool(plain) and (ord(character) < 32 or character == "\x7f")


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=200), st.integers(0, 2000)), max_size=20), st.booleans(), st.booleans())
def test_hostile_bytes_never_crash(chunks: list[tuple[bytes, int]], marked: bool, multi_line: bool):
    framing = Framing(multi_line=multi_line, aim=marked, prefix="\x02" if marked else "")
    decoder = SerialDecoder(Framer("g", "i", "serial", framing), marked)
    captures, at_ms = [], 0
    for chunk, gap in chunks:
        at_ms += gap
        captures += decoder.feed(chunk, at_ms) + decoder.quiet(at_ms + gap // 2)
    for capture in captures + decoder.gone(at_ms):
        json.dumps({"text": capture.text, "seen": capture.seen}).encode()
        capture.text.encode("utf-8")


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=70), st.integers(0, 2000)), max_size=20))
def test_hostile_reports_never_crash(reports: list[tuple[bytes, int]]):
    from drivers.scan_gun.sources.hidpos import HidposDecoder

    decoder = HidposDecoder(Framer("g", "i", "hidpos", Framing()))
    at_ms = 0
    for report, gap in reports:
        at_ms += gap
        for capture in decoder.feed(b"\2" + report, at_ms):
            capture.text.encode("utf-8")
    decoder.gone(at_ms)


@settings(deadline=None)
@given(st.binary(max_size=500))
def test_hostile_event_bytes_never_crash(data: bytes):
    decoder = EvdevDecoder(Framer("g", "i", "evdev", Framing()), "host", 0)
    decoder.feed(data, 0)
    decoder.feed(EVENT.pack(1, 0, e.EV_KEY, e.KEY_ENTER, 1), 0)
    decoder.gone(1)
