"""A gun's recording replays to the same captures, for every source."""

import json
from typing import Any

import msgspec
import pytest
from evdev import ecodes as e

from drivers.scan_gun.capture import RawCapture
from drivers.scan_gun.decoding.framing import Framer
from drivers.scan_gun.driver import ScanGun
from drivers.scan_gun.recording import Entry, first_line, line
from drivers.scan_gun.replay.replay import replay
from drivers.scan_gun.sources.evdev import EvdevDecoder
from drivers.scan_gun.sources.hidpos import HidposDecoder
from drivers.scan_gun.sources.serial_port import SerialDecoder


class Live:
    """A gun read live, with a recording at the same time."""

    def __init__(self, source: Any, decoder: Any = None, **options: Any) -> None:
        self.table = ScanGun(id="g1", source=source, **options)
        self.source = source
        self.framer = Framer("g1", "recording", source, self.table.framing, stamped=source == "evdev")
        self.decoder = decoder(self.framer, self.table)
        self.entries: list[Entry] = []
        self.captures: list[RawCapture] = []

    def record(self) -> "Live":
        self.decoder.record(self.entries.append)
        return self

    def feed(self, data: bytes, at_ms: int = 0) -> None:
        self.captures += self.decoder.feed(data, at_ms)

    def quiet(self, at_ms: int) -> None:
        self.captures += self.decoder.quiet(at_ms)

    def gone(self, at_ms: int, cause: Any = "stopped") -> None:
        self.captures += self.decoder.gone(at_ms, cause)

    @property
    def replayed(self) -> list[RawCapture]:
        lines = [first_line(self.table), *(line(entry) for entry in self.entries)]
        return list(replay(lines, self.source))


def wedge(**options: Any) -> Live:
    return Live("evdev", lambda framer, table: EvdevDecoder(framer, table.caps, 10_000), **options)


def serial(**options: Any) -> Live:
    return Live("serial", lambda framer, table: SerialDecoder(framer, marked=True), **options)


def hidpos(**options: Any) -> Live:
    return Live("hidpos", lambda framer, table: HidposDecoder(framer), **options)


def test_a_keyboard_guns_recording_gives_the_same_captures(typist):
    gun = wedge(prefix="B").record()
    typed = typist(10.2).type("B69\x1d01\n").alt("31508").type("\n").event(e.EV_SYN, e.SYN_DROPPED, 0).type("12\nB7")
    raw = typed.raw()
    for at in range(0, len(raw), 100):
        gun.feed(raw[at : at + 100])
    gun.gone(20_000)
    assert [c.damage for c in gun.captures] == [None, "prefix_missing", "events_dropped", "no_terminator"]
    assert gun.replayed == gun.captures


def test_a_first_scan_that_may_lack_its_front_does_so_in_the_replay_too(typist):
    gun = wedge().record()
    gun.feed(typist(10.02).type("4567892\n").raw())
    assert [c.damage for c in gun.captures] == ["opened_mid_scan"]
    assert gun.replayed == gun.captures


def test_the_lamps_as_they_were_at_the_opening_are_recorded(typist):
    gun = wedge(caps="host")
    gun.decoder.event(0, e.EV_LED, e.LED_CAPSL, 1)
    gun.record().feed(typist(10.2).type("aBc\n").raw())
    assert [c.text for c in gun.captures] == ["AbC"]
    assert gun.replayed == gun.captures


def test_a_serial_guns_recording_gives_the_same_captures():
    gun = serial(charset="gb18030").record()
    gun.feed("桂AB1234\r\n".encode("gbk"), 10_000)
    gun.feed(b"\xff", 10_300)  # FF 00 before a byte: it came broken
    gun.feed(b"\x00X9\r\x8a\xff\xff\r", 10_301)
    gun.feed(b"690", 11_000)
    gun.gone(11_010, "unplugged")
    assert [c.damage for c in gun.captures] == [None, "line_error", "undecodable", "unplugged"]
    assert gun.replayed == gun.captures


@pytest.mark.parametrize("quiet", [False, True])
def test_bytes_that_were_read_late_are_no_silence_in_the_replay_either(quiet):
    gun = serial(suffix="none").record()
    gun.feed(b"690123", 10_000)
    if quiet:
        gun.quiet(10_255)
    gun.feed(b"456", 10_400)
    gun.quiet(19_000)
    gun.gone(20_000)
    assert [c.text for c in gun.captures] == (["690123", "456"] if quiet else ["690123456"])
    assert gun.replayed == gun.captures


def test_a_hid_pos_guns_recording_gives_the_same_captures():
    gun = hidpos().record()
    data = "融水苗族自治县".encode() * 4
    head = bytes((2, 56)) + b"]Q1" + data[:56] + b"\0\0\1"
    tail = (bytes((2, len(data) - 56)) + b"]Q1" + data[56:]).ljust(64, b"\0")
    gun.feed(head, 10_000)
    gun.feed(tail, 10_002)
    gun.feed(head, 12_000)
    gun.quiet(19_000)
    gun.gone(20_000)
    assert [c.damage for c in gun.captures] == [None, "bad_report"]
    assert gun.replayed == gun.captures


@pytest.mark.parametrize(("away_s", "damage"), [(0.2, "unplugged"), (1, "no_terminator")])
def test_a_gun_pulled_in_mid_scan_has_no_second_half_and_its_next_scan_is_good(typist, away_s, damage):
    """It was silent a moment before it went, or was gone at once; it is back within seconds, with no power kept."""
    gun = wedge().record()
    gun.feed(typist(10.2).type("6901234567892\n690").edge(e.KEY_1, 1).raw())
    gun.gone(10_300 + round(away_s * 1000), "unplugged")
    gun.decoder = EvdevDecoder(gun.framer, "ignore", 12_000)
    gun.record().feed(typist(12.5).type("4006381333931\n").raw())
    assert [c.damage for c in gun.captures] == [None, damage, None]
    assert [c.text for c in gun.captures] == ["6901234567892", "", "4006381333931"]
    assert gun.replayed == gun.captures


def test_the_first_line_holds_the_options_that_are_set():
    first = json.loads(first_line(ScanGun(id="g1", usb="0c2e:0b6a", suffix="\r\n", multi_line=True)))
    assert first == {"config": {"id": "g1", "usb": "0c2e:0b6a", "suffix": "\r\n", "multi_line": True}}
    assert msgspec.convert(first["config"], ScanGun).suffix == "\r\n"
