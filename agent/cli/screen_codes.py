"""Codes on the terminal's screen, for a gun to read: QR and EAN-13 in half blocks, black on white in any colour scheme."""

import re
from collections.abc import Sequence
from typing import TypeAlias

import segno

Modules: TypeAlias = Sequence[Sequence[bool]]  # rows from the top; True is dark

QUIET_QR = 4  # modules on each side, ISO/IEC 18004
QUIET_LEFT, QUIET_RIGHT = 11, 7  # modules, GS1 General Specifications, EAN-13
EAN_LINES = 9

_BLACK_ON_WHITE, _PLAIN = "\x1b[0;30;47;107m", "\x1b[0m"
_LEFT_ODD = (
    "0001101",
    "0011001",
    "0010011",
    "0111101",
    "0100011",
    "0110001",
    "0101111",
    "0111011",
    "0110111",
    "0001011",
)
_RIGHT = tuple(code.translate(str.maketrans("01", "10")) for code in _LEFT_ODD)
_LEFT_EVEN = tuple(code[::-1] for code in _RIGHT)
_PARITY = ("OOOOOO", "OOEOEE", "OOEEOE", "OOEEEO", "OEOOEE", "OEEOOE", "OEEEOO", "OEOEOE", "OEOEEO", "OEEOEO")


def qr(text: str) -> Modules:
    """A QR code with its quiet zone. Text that is not ASCII is encoded as UTF-8 without an ECI, like most codes in the field."""
    encoding = None if text.isascii() else "utf-8"
    code = segno.make_qr(
        text, error="m", mode=None if encoding is None else "byte", encoding=encoding, boost_error=False
    )
    return [[bool(dark) for dark in row] for row in code.matrix_iter(border=QUIET_QR)]


def ean13(digits: str) -> Sequence[bool]:
    """One row of the 95 modules with the quiet zones. `digits` are 13, the last one the check digit (GS1, 7.9)."""
    if not re.fullmatch("[0-9]{13}", digits) or sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(digits)) % 10:
        raise ValueError(f"no EAN-13: {digits}")
    parity = _PARITY[int(digits[0])]
    left = (_LEFT_ODD[int(d)] if p == "O" else _LEFT_EVEN[int(d)] for d, p in zip(digits[1:7], parity, strict=True))
    bars = "".join(("101", *left, "01010", *(_RIGHT[int(d)] for d in digits[7:]), "101"))
    return [False] * QUIET_LEFT + [bar == "1" for bar in bars] + [False] * QUIET_RIGHT


def two_rows_a_line(modules: Modules) -> list[str]:
    """Each character is two modules, one above the other: square in fonts twice as high as wide."""
    rows = [*modules, [False] * len(modules[0])] if len(modules) % 2 else modules
    return [
        _colored("".join(" ▄▀█"[2 * upper + lower] for upper, lower in zip(rows[i], rows[i + 1], strict=True)))
        for i in range(0, len(rows), 2)
    ]


def two_columns_a_character(row: Sequence[bool], lines: int = EAN_LINES) -> list[str]:
    """Each character is two modules side by side; `lines` high, with a white line above and below."""
    even = [*row, False] if len(row) % 2 else row
    bars = "".join(" ▐▌█"[2 * even[i] + even[i + 1]] for i in range(0, len(even), 2))
    return [_colored(" " * len(bars)), *[_colored(bars)] * lines, _colored(" " * len(bars))]


def _colored(line: str) -> str:
    return f"{_BLACK_ON_WHITE}{line}{_PLAIN}"
