"""What guns in keyboard mode were seen to do, each case by its name: typed on a real HID device, read back at the county."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from lab.counter import Counter, counter_in
from lab.guns import KeyboardGun
from lab.keys import CAPS_LOCK, NOTHING, NUM_LOCK, alt_code, report, typed
from lab.machine import Frozen
from lab.places import say
from lab.usb import HONEYWELL_KEYBOARD, SYMBOL_KEYBOARD, Identity

from common.messages import Capture

EAN, OTHER_EAN = "6901234567892", "4006381333931"
PRINTABLE = "".join(map(chr, range(32, 127)))
SEED_LABEL = ["Y两优1998", "广西融水种业", "450225-0001-2026", "http://seed.example/c?q=1"]
LONGER_THAN_A_PULLING_MS = 8000  # the emulated machine may take longer to see a gun unplugged than a real gun is silent


# Guns plugged in for one test, because the kernel has room for four HID gadgets: their affixes and tables.
_AROUND = {"bare": ("", ""), "tab": ("", "\t"), "wrapped": ("]E0B", "C\n")}
_TABLES: dict[str, dict[str, Any]] = {
    "lines": {"multi_line": True},
    "bare": {},
    "tab": {"suffix": "tab"},
    "wrapped": {"prefix": "B", "suffix": "C\r", "aim": True},
    "inverting": {"caps": "host", "grab": "shared"},
}


@pytest.fixture(scope="module")
def counter(frozen: Frozen, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with counter_in(frozen, tmp_path_factory.mktemp("county")) as counter:
        counter.has(KeyboardGun(counter.station, "plain"))
        counter.has(KeyboardGun(counter.station, "symbol", SYMBOL_KEYBOARD), silence_ms=LONGER_THAN_A_PULLING_MS)
        for name, options in _TABLES.items():
            counter.expects(name, _identity(name), **options)
        counter.opens()
        yield counter


def _identity(name: str) -> Identity:
    return HONEYWELL_KEYBOARD._replace(serialnumber=f"19123B-{name}")


@contextmanager
def _brought(counter: Counter, name: str) -> Generator[KeyboardGun]:
    start, end = _AROUND.get(name, ("", "\n"))
    with counter.brought(KeyboardGun(counter.station, name, _identity(name), start=start, end=end)) as gun:
        yield gun


def _typed(counter: Counter, reports: list[bytes], *, gun: str = "plain", pace_ms: float = 4) -> list[Capture]:
    return counter.read(gun, lambda: counter.gun(gun).send(reports, pace_ms=pace_ms))


def _texts(captures: list[Capture]) -> list[str]:
    return [capture.text for capture in captures]


# letters, digits, signs


@pytest.mark.parametrize("shift", ["each", "held"])
def test_every_printable_character_with_shift_for_each_key_and_held_over_several(
    counter: Counter, shift: Literal["each", "held"]
) -> None:
    assert _texts(_typed(counter, typed(PRINTABLE + "\n", shift=shift), pace_ms=8)) == [PRINTABLE]


@pytest.mark.parametrize("pace_ms", [1.5, 50.0])
def test_the_fastest_and_the_slowest_gun(counter: Counter, pace_ms: float) -> None:
    assert _texts(_typed(counter, typed(f"{EAN}\n"), pace_ms=pace_ms)) == [EAN]


def test_numlock_is_tapped_before_digits_of_the_keypad(counter: Counter) -> None:
    tap = [report(NUM_LOCK), NOTHING]
    assert _texts(_typed(counter, [*tap, *typed(f"{EAN}\n", keypad=True), *tap])) == [EAN]


# CapsLock: the gun watches the LED of its own node and inverts its letters while it is lit


def _press_capslock(counter: Counter, watching: KeyboardGun, *, lit: bool) -> None:
    """Press it at the terminal's keyboard; the kernel sets the LED on every keyboard that it may."""
    counter.station.press("caps_lock")
    counter.county.waits_for("the lamp", lambda: watching.lights() == ("02" if lit else "00"))


def _typed_watching_the_lamp(counter: Counter, gun: str, text: str, *, lit: bool) -> list[str]:
    return _texts(_typed(counter, typed((text.swapcase() if lit else text) + "\n"), gun=gun))


def test_capslock_of_the_host_is_put_out_on_the_guns_own_node_and_read_where_a_gun_turns_round_for_it(
    counter: Counter,
) -> None:
    plain: KeyboardGun = counter.gun("plain")
    plain.unplug()
    with _brought(counter, "inverting") as inverting:  # `caps = "host"`, its node is shared with the host
        _press_capslock(counter, inverting, lit=True)
        try:
            plain.plug()
            counter.agent.opens(plain.device_file)
            lit = plain.lights() not in ("", "00")
            assert _typed_watching_the_lamp(counter, "plain", "Lot-aB1", lit=lit) == ["Lot-aB1"]
            assert not lit
            assert _typed_watching_the_lamp(counter, "inverting", "Lot-aB2", lit=True) == ["Lot-aB2"]
        finally:
            _press_capslock(counter, inverting, lit=False)
        assert _typed_watching_the_lamp(counter, "inverting", "Lot-aB3", lit=False) == ["Lot-aB3"]


def test_a_gun_that_taps_capslock_itself_to_type_capitals(counter: Counter) -> None:
    tap = [report(CAPS_LOCK), NOTHING]
    assert _texts(_typed(counter, [*tap, *typed("lot"), *tap, *typed("b1\n")])) == ["LOTb1"]


# characters without a key


def test_gs_by_ctrl_and_bracket(counter: Counter) -> None:
    assert _texts(_typed(counter, typed("\x1d0106901234567892\x1d10AB\x1d\n"))) == ["\x1d0106901234567892\x1d10AB\x1d"]


def test_gs_by_alt_029(counter: Counter) -> None:
    scan = [*typed("10AB"), *alt_code("029"), *typed("21c"), *alt_code("0029"), *typed("\n")]
    assert _texts(_typed(counter, scan)) == ["10AB\x1d21c\x1d"]


def _alt(numbers: list[int], zero: str = "") -> list[bytes]:
    return [each for number in numbers for each in alt_code(f"{zero}{number}")]


@pytest.mark.parametrize(
    ("how", "codes"),
    [
        ("alt_unicode", _alt([ord(c) for c in "融水笔记本"])),
        ("alt_gbk", _alt([int.from_bytes(c.encode("gbk"), "big") for c in "融水笔记本"])),
        ("alt_bytes", _alt(list("融水笔记本".encode("gbk")), zero="0")),
    ],
    ids=["as Unicode decimals", "as GBK decimals", "byte by byte"],
)
def test_chinese_by_alt_codes(counter: Counter, how: str, codes: list[bytes]) -> None:
    (capture,) = _typed(counter, [*typed("A-"), *codes, *typed("-1\n")])
    assert (capture.text, capture.charset_because) == ("A-融水笔记本-1", how)


@pytest.mark.parametrize(("eci", "charset"), [("000026", "utf-8"), ("000029", "gb18030")])
def test_an_eci_prefix_typed_out(counter: Counter, eci: str, charset: str) -> None:
    scan = [*typed(f"\\{eci}"), *_alt(list("桂B融水".encode(charset)), zero="0"), *typed("\\\\1\n")]
    (capture,) = _typed(counter, scan)
    assert (capture.text, capture.charset, capture.charset_because) == ("桂B融水\\1", charset, f"eci_{eci}")


# where a scan begins and ends


def test_a_seed_label_of_four_lines_stays_one_capture(counter: Counter) -> None:
    scan: list[bytes] = []
    for line in SEED_LABEL:
        for c in line:
            scan += typed(c) if c.isascii() else alt_code(str(ord(c)))
        scan += typed("\n")
    with _brought(counter, "lines") as gun:
        gun.send(scan, pace_ms=15)
        assert _texts(counter.comes("lines")) == ["\n".join(SEED_LABEL)]


def test_a_gun_without_terminator_ends_its_scans_by_silence(counter: Counter) -> None:
    with _brought(counter, "bare") as gun:
        for code in (EAN, OTHER_EAN, EAN):
            gun.type(code, pace_ms=30)
            (capture,) = counter.comes("bare")
            assert (capture.text, capture.damage) == (code, None)


def test_tab_ends_a_scan(counter: Counter) -> None:
    with _brought(counter, "tab") as gun:
        assert _texts(counter.read("tab", lambda: gun.type_all([EAN, "A B"], pace_ms=4))) == [EAN, "A B"]


def test_prefix_suffix_and_aim_identifier_are_the_guns_own(counter: Counter) -> None:
    scans = typed(f"]E0B{EAN}C\n]E0B{EAN}\nB{EAN}C\n")
    with _brought(counter, "wrapped"):
        good, without_suffix, without_aim = _typed(counter, scans, gun="wrapped")
    assert (good.text, good.symbology, good.flags) == (EAN, "E0", ())
    assert (without_suffix.text, without_suffix.damage) == ("", "suffix_missing")
    assert (without_aim.text, without_aim.damage) == ("", "aim_missing")


def test_enter_before_the_data_is_no_scan(counter: Counter) -> None:
    assert _texts(_typed(counter, typed(f"\n\n{EAN}\n\n"))) == [EAN]


def test_the_same_code_twice_at_once_is_two_captures_the_second_flagged(counter: Counter) -> None:
    captures = counter.read("plain", lambda: counter.gun("plain").type_all([OTHER_EAN, OTHER_EAN]))
    assert [(c.text, c.flags) for c in captures] == [(OTHER_EAN, ()), (OTHER_EAN, ("repeated",))]


def test_two_guns_at_once_do_not_mix(counter: Counter) -> None:
    left, right = [f"69{n:011}" for n in range(8)], [f"ABCDEFGHIJK{n}" for n in range(8)]
    both_done = counter.gun("plain").begin(left, pace_ms=8), counter.gun("symbol").begin(right, pace_ms=8)
    for done in both_done:
        done()
    of_left, of_right = (counter.read(name, lambda: None) for name in ("plain", "symbol"))
    assert (_texts(of_left), _texts(of_right)) == (left, right)
    meet = [
        (a, b) for a in of_left for b in of_right if a.start_mono_ms < b.end_mono_ms and b.start_mono_ms < a.end_mono_ms
    ]
    say(f"two guns at once: {len(meet)} pairs of scans overlapped in time")
    assert meet


def test_a_person_at_the_keyboard_is_no_gun(counter: Counter) -> None:
    for key in ("6", "9", "0", "ret"):
        counter.station.press(key)
    assert counter.read("plain", lambda: None) == []
    texts = counter.county.rows("select json_extract(cast(body as text), '$.text') from entry where kind = 'scan'")
    assert ("690",) not in texts


# a pause of the reader; the gun is unplugged


def test_three_scans_that_wait_in_one_batch_are_three_captures(counter: Counter) -> None:
    def while_nobody_reads() -> None:
        with counter.stalled():  # 12 keys: 48 of the 64 events that the kernel keeps
            counter.gun("plain").type_all(["111", "222", "333"])

    assert _texts(counter.read("plain", while_nobody_reads)) == ["111", "222", "333"]


def test_a_code_longer_than_the_kernel_keeps_is_damaged_and_the_next_scan_is_good(counter: Counter) -> None:
    def while_nobody_reads() -> None:
        with counter.stalled():
            counter.gun("plain").type(EAN * 3)

    (damaged,) = counter.read("plain", while_nobody_reads)
    assert (damaged.text, damaged.damage, damaged.flags) == ("", "events_dropped", ("damaged",))


def test_half_a_code_and_the_gun_is_pulled(counter: Counter) -> None:
    gun: KeyboardGun = counter.gun("symbol")

    def half() -> None:
        gun.type_half("6901234")
        gun.unplug()
        gun.plug()
        counter.agent.opens(gun.device_file)

    (damaged,) = counter.read("symbol", half)
    assert (damaged.text, damaged.seen, damaged.damage) == ("", "6901234", "unplugged")
