"""What guns on a serial line (CDC-ACM, FTDI) and in HID POS mode were seen to do, each case by its name; a gun in all modes."""

import json
from collections.abc import Iterator

import pytest
from lab.counter import Counter, counter_in
from lab.guns import AnyGun, CdcGun, FtdiGun, KeyboardGun, PosGun, pos_reports
from lab.machine import Frozen
from lab.usb import NEWLAND_CDC

from common.messages import Capture

EAN = "6901234567892"
SEED_LABEL = ["Y两优1998", "广西融水种业", "450225-0001-2026", "http://seed.example/c?q=1"]
LONGER_THAN_A_PULLING_MS = 8000  # the emulated machine may take longer to see a gun unplugged than a real gun is silent

on_a_serial_line = pytest.mark.parametrize("gun", ["cdc", "ftdi"])


@pytest.fixture(scope="module")
def counter(frozen: Frozen, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with counter_in(frozen, tmp_path_factory.mktemp("county")) as counter:
        station = counter.station
        ftdi = FtdiGun(station)
        counter.has(CdcGun(station), silence_ms=LONGER_THAN_A_PULLING_MS)
        counter.has(ftdi, silence_ms=LONGER_THAN_A_PULLING_MS)
        counter.has(CdcGun(station, "lines", NEWLAND_CDC._replace(serialnumber="HR22-lines")), multi_line=True)
        counter.has(PosGun(station), silence_ms=LONGER_THAN_A_PULLING_MS)
        counter.has(KeyboardGun(station, "changing", _MODES[0]))
        counter.opens()
        yield counter
        ftdi.close()


def _sent(counter: Counter, gun: str, *writes: bytes) -> list[Capture]:
    def send() -> None:
        for data in writes:
            counter.gun(gun).send(data)

    return counter.read(gun, send)


def _texts(captures: list[Capture]) -> list[str]:
    return [capture.text for capture in captures]


# serial lines


@on_a_serial_line
def test_crlf_split_over_two_writes_is_one_end(counter: Counter, gun: str) -> None:
    counter.gun(gun).send(f"{EAN}\r".encode())
    assert _texts(counter.comes(gun)) == [EAN]  # the end is at the county before its second half is sent
    assert _texts(_sent(counter, gun, b"\n", f"{EAN[::-1]}\r\n".encode())) == [EAN[::-1]]


@on_a_serial_line
@pytest.mark.parametrize(
    ("text", "charset", "because"),
    [
        ("桂B12345 融水", "utf-8", "utf8_with_chinese"),
        ("桂B12345 融水", "gb18030", "not_utf8"),
        ("隆隆", "gb18030", "utf8_without_chinese"),  # valid UTF-8 too, of no Chinese character
    ],
    ids=["UTF-8", "GB18030", "GB18030 that is valid UTF-8"],
)
def test_chinese_bytes_cut_in_mid_character(counter: Counter, gun: str, text: str, charset: str, because: str) -> None:
    data = f"{text}\r\n".encode(charset)
    (capture,) = _sent(counter, gun, data[:1], data[1:-3], data[-3:])
    assert (capture.text, capture.charset, capture.charset_because) == (text, charset, because)


@on_a_serial_line
def test_gs_in_the_middle_at_the_beginning_and_at_the_end(counter: Counter, gun: str) -> None:
    text = f"\x1d01{EAN}\x1d10AB\x1d"
    assert _texts(_sent(counter, gun, f"{text}\r\n".encode())) == [text]


@on_a_serial_line
@pytest.mark.parametrize(("eci", "charset"), [("000026", "utf-8"), ("000029", "gb18030")])
def test_an_eci_prefix_as_it_stands(counter: Counter, gun: str, eci: str, charset: str) -> None:
    (capture,) = _sent(counter, gun, f"\\{eci}桂B融水\\\\1\r\n".encode(charset))
    assert (capture.text, capture.charset, capture.charset_because) == ("桂B融水\\1", charset, f"eci_{eci}")


@on_a_serial_line
def test_two_scans_in_one_write_and_the_same_again(counter: Counter, gun: str) -> None:
    captures = _sent(counter, gun, f"A1\r\n{EAN}\r\n{EAN}\r\n".encode())
    assert [(c.text, c.flags) for c in captures] == [("A1", ()), (EAN, ()), (EAN, ("repeated",))]


@on_a_serial_line
def test_half_a_code_on_a_serial_line_and_the_gun_is_pulled(counter: Counter, gun: str) -> None:
    device = counter.gun(gun)

    def half() -> None:
        device.send(f"A1\r\n{EAN[:7]}".encode())
        assert _texts(counter.comes(gun)) == ["A1"]  # so the half behind it has been read as well
        device.unplug()
        device.plug()
        counter.agent.opens(device.device_file)

    (damaged,) = counter.read(gun, half)
    assert (damaged.text, damaged.seen, damaged.damage) == ("", EAN[:7], "unplugged")


def test_a_seed_label_of_four_lines_stays_one_capture_on_a_serial_line(counter: Counter) -> None:
    counter.gun("lines").send("".join(f"{line}\r\n" for line in SEED_LABEL).encode("gb18030"))
    assert _texts(counter.comes("lines")) == ["\r\n".join(SEED_LABEL)]


# HID POS


def _scanned(counter: Counter, *scans: tuple[bytes, str]) -> list[Capture]:
    def scan() -> None:
        for data, aim in scans:
            counter.gun("pos").scan(data, aim=aim)

    return counter.read("pos", scan)


def test_the_aim_identifier_of_a_pos_gun_is_named(counter: Counter) -> None:
    captures = _scanned(counter, (EAN.encode(), "E0"), (b"\x1d0106901234567892\x1d10AB\x1d", "C1"), (b"A\r\nB", "Q1"))
    assert [(c.text, c.symbology) for c in captures] == [
        (EAN, "E0"),
        ("\x1d0106901234567892\x1d10AB\x1d", "C1"),
        ("A\r\nB", "Q1"),
    ]


@pytest.mark.parametrize("length", [56, 57, 168, 1000])
def test_a_code_of_several_reports_is_one_capture(counter: Counter, length: int) -> None:
    code = "".join(chr(33 + n % 90) for n in range(length))
    assert _texts(_scanned(counter, (code.encode(), "d1"))) == [code]


@pytest.mark.parametrize("charset", ["utf-8", "gb18030"])
def test_chinese_bytes_over_several_reports(counter: Counter, charset: str) -> None:
    text = "A" + "广西融水种业" * 12  # a report ends in mid-character
    (capture,) = _scanned(counter, (text.encode(charset), "Q1"))
    assert (capture.text, capture.charset) == (text, charset)


def test_half_a_code_of_several_reports_and_the_gun_is_pulled(counter: Counter) -> None:
    gun: PosGun = counter.gun("pos")

    def half() -> None:
        gun.send([*pos_reports(b"A1", "d1"), *pos_reports(b"x" * 100, "d1")[:-1]])
        assert _texts(counter.comes("pos")) == ["A1"]
        gun.unplug()
        gun.plug()
        counter.agent.opens(gun.device_file)

    (damaged,) = counter.read("pos", half)
    assert (damaged.text, damaged.seen, damaged.damage) == ("", "x" * 56, "unplugged")


# another mode


_MODES = [
    NEWLAND_CDC._replace(idProduct=product, product=f"NLS-HR22 {mode}", serialnumber="HR22-0009")
    for product, mode in (("0x1a03", "HID KBW"), ("0x1a06", "CDC"), ("0x1a10", "HID POS"))
]


def test_a_gun_that_changes_its_mode_is_found_again_and_the_lossless_modes_are_named(
    counter: Counter,
) -> None:
    station = counter.station
    note = {
        found["identity"]: found["note"] for found in json.loads(station.run("yinong-agent devices --json"))["devices"]
    }
    assert "switch this gun to CDC or HID POS for lossless Chinese" in note["usb:1eab:HR22-0009"]
    as_keyboard: KeyboardGun = counter.gun("changing")
    _in_mode(counter, as_keyboard, "1 typed", "ready_keyboard", "evdev")
    _in_mode(counter, CdcGun(station, "as-cdc", _MODES[1]), "融水 as-cdc", "ready", "serial")
    _in_mode(counter, PosGun(station, "as-pos", _MODES[2]), "融水 as-pos", "ready", "hidpos")
    captures = counter.comes("changing", 3)
    assert [(c.number, c.source, c.text) for c in captures] == [
        (1, "evdev", "1 typed"),
        (2, "serial", "融水 as-cdc"),
        (3, "hidpos", "融水 as-pos"),
    ]
    assert {c.identity for c in captures} == {"usb:1eab:HR22-0009"}


def _in_mode(counter: Counter, gun: AnyGun, text: str, reason: str, source: str) -> None:
    """A scan in this mode, the mode reported to the county, and the gun unplugged."""
    counter.agent.opens(gun.device_file)
    gun.scan_plain(text)

    def reported() -> tuple[str, str]:
        last = [m for m in counter.county.messages("device") if m["id"] == "changing"][-1]
        return last["reason"], last["params"].get("source", "")

    counter.county.waits_for(f"the mode {source}", lambda: reported() == (reason, source))
    gun.unplug()
