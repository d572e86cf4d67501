"""The codes that `learn` shows: the screen content as pixels is read by a decoder that is not ours."""

import re

import pytest
import zxingcpp

from agent.cli.screen_codes import ean13, qr, two_columns_a_character, two_rows_a_line
from drivers.scan_gun.replay.learning import CODES

QUARTERS = {" ": "0000", "▀": "1100", "▄": "0011", "█": "1111", "▌": "1010", "▐": "0101"}
CELL = 8, 16  # pixels of a character on the screen


def on_screen(lines: list[str]) -> memoryview:
    """The terminal's screen as a grey image, row by row."""
    image = bytearray()
    for line in lines:
        shown = re.fullmatch(r"\x1b\[0;30;47;107m(.*)\x1b\[0m", line)[1]
        for upper in (True, False):
            row = bytearray()
            for c in shown:
                left, right = QUARTERS[c][0 if upper else 2], QUARTERS[c][1 if upper else 3]
                for half in (left, right):
                    row += bytes([0 if half == "1" else 255]) * (CELL[0] // 2)
            image += bytes(row) * (CELL[1] // 2)
    height = len(lines) * CELL[1]
    return memoryview(bytes(image)).cast("B", (height, len(image) // height))


def decoded(lines: list[str]) -> list[tuple[str, str, bytes]]:
    return [(b.format.name, b.text, b.bytes) for b in zxingcpp.read_barcodes(on_screen(lines), try_downscale=False)]


def test_the_qr_codes_are_read_from_the_screen():
    assert [(name, raw) for name, _, raw in decoded(two_rows_a_line(qr(CODES.ascii)))] == [
        ("QRCode", CODES.ascii.encode())
    ]
    assert [raw for _, _, raw in decoded(two_rows_a_line(qr(CODES.chinese)))] == [CODES.chinese.encode()]


def test_they_fit_a_terminal_of_80_by_24_with_room_for_text():
    for text in (CODES.ascii, CODES.chinese):
        lines = two_rows_a_line(qr(text))
        assert len(lines) <= 20 and len(lines[0]) <= 80 + len("\x1b[0;30;47;107m\x1b[0m")


@pytest.mark.parametrize("digits", [CODES.ean, "0012345678905", "4006381333931", "9771234567898", "5901234123457"])
def test_an_ean_13_is_read_from_the_screen(digits):
    assert [(name, text) for name, text, _ in decoded(two_columns_a_character(ean13(digits)))] == [("EAN13", digits)]


def test_an_ean_13_has_the_widths_of_the_standard():
    row = ean13(CODES.ean)
    assert len(row) == 11 + 95 + 7
    assert not any(row[:11]) and not any(row[-7:])
    assert row[11:14] == row[-10:-7] == [True, False, True]


@pytest.mark.parametrize("digits", ["6901234567890", "690123456789", "69012345678921", "69O1234567892"])
def test_a_wrong_check_digit_is_never_drawn(digits):
    with pytest.raises(ValueError, match="no EAN-13"):
        ean13(digits)
