"""Options learned from three scans: recordings as guns of several makes and settings would produce them."""

import json
from typing import Any

import pytest
from evdev import ecodes as e

from drivers.scan_gun.replay.learning import CODES, learn, typed_by
from drivers.scan_gun.replay.replay import replay
from tests.drivers.scan_gun.decoding.test_code_entry import alt_hex, by_u_held, by_u_then_enter

END = {"enter": "\n", "tab": "\t", "none": ""}


class Wedge:
    """A keyboard gun with settings; returns the recording of its three scans."""

    def __init__(self, typist: Any, **set: Any) -> None:
        self._typist, self.set = typist, set

    def scan(self, text: str, aim: str = "", lit: bool = False) -> list[dict[str, Any]]:
        gun = self._typist(100.0, step_s=self.set.get("step_s", 0.004))
        if "inverts" in self.set or lit:
            gun.event(e.EV_LED, e.LED_CAPSL, int(lit))
        for c in self.set.get("prefix", "") + (f"]{aim}" if self.set.get("aim") else "") + text:
            self._character(gun, c.swapcase() if lit and self.set.get("inverts") else c)
        gun.type(self.set.get("tail", "\n"))
        return [json.loads(line) for line in gun.lines()]

    def _character(self, gun: Any, c: str) -> None:
        case = self.set.get("case", str)
        if c.isascii():
            gun.type(case(c))
        elif self.set.get("chinese") == "gbk":
            gun.alt(str(int.from_bytes(c.encode("gbk"), "big")))
        elif self.set.get("chinese") == "bytes":
            for byte in c.encode("gbk"):
                gun.alt(f"0{byte}")
        elif self.set.get("chinese") in (alt_hex, by_u_then_enter, by_u_held):
            self.set["chinese"](gun, f"{ord(c):x}")
        elif self.set.get("chinese", "unicode") == "unicode":
            gun.alt(str(ord(c)))

    def three(self) -> list[list[dict[str, Any]]]:
        return [
            self.scan(CODES.ascii, "Q1"),
            self.scan(CODES.chinese, "Q1", lit=self.set.get("lamp", True)),
            self.scan(CODES.ean[: self.set.get("digits", 13)], "E0"),
        ]


def chunks(*codes: bytes, before: bytes = b"", after: bytes = b"\r\n") -> list[list[dict[str, Any]]]:
    return [[{"t": 5.0 + i, "hex": (before + code + after).hex()}] for i, code in enumerate(codes)]


def sent(chinese: bytes, **around: bytes) -> list[list[dict[str, Any]]]:
    return chunks(CODES.ascii.encode(), chinese, CODES.ean.encode(), **around)


def english(notes) -> str:
    return "; ".join(en for _, en in notes)


def read_with(source, scans, options) -> list[str]:
    lines = [json.dumps({"config": options}), *(json.dumps(entry) for entries in scans for entry in entries)]
    return [c.text for c in replay(lines, source)]


@pytest.mark.parametrize(
    ("set", "options", "note"),
    [
        ({}, {"suffix": "enter"}, "ends with Enter; speed: a character in about"),
        ({"tail": "\t"}, {"suffix": "tab"}, "ends with Tab"),
        ({"tail": ""}, {"suffix": "none"}, "nothing (silence ends a scan)"),
        ({"tail": "#\n"}, {"suffix": "#\n"}, "'#\\n'"),
        ({"aim": True}, {"suffix": "enter", "aim": True}, "sends AIM identifiers"),
        ({"prefix": "~", "aim": True}, {"suffix": "enter", "prefix": "~", "aim": True}, "prefix '~'"),
        ({"chinese": "gbk"}, {"suffix": "enter"}, "Alt codes, GBK, read right"),
        ({"chinese": "bytes"}, {"suffix": "enter"}, "Alt codes, byte by byte"),
        ({"chinese": "unicode"}, {"suffix": "enter"}, "Alt codes, Unicode"),
        ({"chinese": alt_hex}, {"suffix": "enter"}, "Unicode numbers in hex, read right"),
        ({"chinese": by_u_then_enter}, {"suffix": "enter"}, "Unicode numbers in hex, read right"),
        ({"chinese": by_u_held, "inverts": True}, {"suffix": "enter", "caps": "host"}, "Unicode numbers in hex, read right"),
        ({"chinese": None}, {"suffix": "enter"}, "Chinese: lost. Switch the gun to CDC"),
        ({"inverts": True}, {"suffix": "enter", "caps": "host"}, "letters are inverted"),
        ({"inverts": False}, {"suffix": "enter"}, "CapsLock: no effect"),
        ({"lamp": False}, {"suffix": "enter"}, "CapsLock: not tried"),
        ({"tail": "", "step_s": 0.3}, {"suffix": "none", "silence_ms": 1216}, "speed"),
    ],
)  # fmt: skip
def test_a_keyboard_gun_is_learned_as_it_is_set(typist, set, options, note):
    learned = learn("evdev", Wedge(typist, **set).three())
    assert learned.ok
    assert {k: v for k, v in learned.options.items() if k != "silence_ms"} == {
        k: v for k, v in options.items() if k != "silence_ms"
    }
    assert ("silence_ms" in learned.options) == ("silence_ms" in options)
    assert note in english(learned.notes)


@pytest.mark.parametrize(
    ("set", "note"),
    [
        ({"case": str.upper}, "case conversion"),
        ({"case": str.swapcase}, "turned round"),
        ({"digits": 12}, "check digit"),
    ],
)
def test_a_fault_that_no_option_corrects_makes_no_table_but_a_note_what_to_change(typist, set, note):
    learned = learn("evdev", Wedge(typist, **set).three())
    assert (learned.ok, learned.options) == (False, {})
    assert note in english(learned.notes)


def test_letters_of_its_own_before_each_kind_of_code_are_no_prefix(typist):
    scans = [Wedge(typist, prefix=p).three()[i] for i, p in enumerate(("Q", "Q", "d"))]
    learned = learn("evdev", scans)
    assert not learned.ok and "switch code ids off" in english(learned.notes)


def test_another_keyboard_layout_is_reported(typist):
    german = str.maketrans("zy/-:#", "yz&ß?'".replace("ß", "="))
    learned = learn("evdev", Wedge(typist, case=lambda c: c.translate(german)).three())
    assert not learned.ok and "US English" in english(learned.notes)


def test_lost_keys_are_no_ground_to_learn_on(typist):
    scans = Wedge(typist).three()
    scans[0].insert(-1, {"t": 100.0, "type": "EV_SYN", "code": "SYN_DROPPED", "value": 0})
    learned = learn("evdev", scans)
    assert not learned.ok and "try again" in english(learned.notes)


@pytest.mark.parametrize(
    ("chinese", "around", "options", "note"),
    [
        ("utf-8", {}, {"suffix": "crlf"}, "UTF-8 bytes"),
        ("gbk", {"after": b"\r"}, {"suffix": "cr", "charset": "gb18030"}, "GBK bytes"),
        ("utf-8", {"after": b""}, {"suffix": "none"}, "silence"),
        ("utf-8", {"before": b"]X0", "after": b"\n"}, {"suffix": "lf", "aim": True}, "AIM"),
        ("utf-8", {"before": b"\x02", "after": b"\x03"}, {"suffix": "\x03", "prefix": "\x02"}, "prefix"),
    ],
)
def test_a_serial_gun_is_learned_as_it_is_set(chinese, around, options, note):
    learned = learn("serial", sent(CODES.chinese.encode(chinese), **around))
    assert (learned.ok, learned.options) == (True, options)
    assert note in english(learned.notes)


def test_a_gun_that_declares_its_encoding_is_believed():
    learned = learn("serial", sent(rb"\000026" + CODES.chinese.encode()))
    assert learned.options == {"suffix": "crlf"} and "declared by ECI" in english(learned.notes)


def test_a_serial_gun_without_chinese_gets_a_note_which_mode_would_help():
    learned = learn("serial", sent(b"Mm????????"))
    assert learned.ok and "Chinese: lost" in english(learned.notes)


@pytest.mark.parametrize("aim", [b"", b"]Q1"])
def test_a_hid_pos_gun_is_learned(aim):
    reports = [(bytes((2, len(d))) + aim + d).ljust(64, b"\0") for d in (c.encode() for c in CODES)]
    learned = learn("hidpos", [[{"t": 5.0, "hex": report.hex()}] for report in reports])
    assert (learned.ok, learned.options) == (True, {"aim": True} if aim else {})


@pytest.mark.parametrize(
    "set", [{}, {"tail": "\t"}, {"prefix": "~", "aim": True}, {"inverts": True}, {"chinese": "gbk"}]
)
def test_what_was_learned_reads_the_same_gun_again(typist, set):
    gun = Wedge(typist, **set)
    learned = learn("evdev", gun.three())
    assert read_with("evdev", [gun.scan("690ABC", "C0")], learned.options) == ["690ABC"]


def test_the_device_is_known_by_what_it_typed(typist):
    person = [json.loads(line) for line in typist(100.0).type("ls -l\n").lines()]
    gun = Wedge(typist, case=str.upper).three()[0]
    serial = sent(b"")[0]
    sources: dict[str, Any] = {"keyboard": "evdev", "gun": "evdev", "port": "serial"}
    assert typed_by({"keyboard": person, "gun": gun, "port": []}, sources) == "gun"
    assert typed_by({"keyboard": person, "gun": [], "port": serial}, sources) == "port"
    assert typed_by({"keyboard": person, "gun": [], "port": []}, sources) is None
