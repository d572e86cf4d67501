"""Text to the reports of a boot keyboard (HID 1.11, appendix B), as scan guns type it; and recorded reports.

A report is 8 bytes: modifiers, 0, up to six keys that are down. A gun sends a report with the key and one without.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

CTRL, SHIFT, ALT = 0x01, 0x02, 0x04
CAPS_LOCK, NUM_LOCK, ENTER, TAB = 0x39, 0x53, 0x28, 0x2B
NOTHING = bytes(8)

BOOT_KEYBOARD = bytes.fromhex(
    "05010906a101050719e029e71500250175019508810295017508810395057501050819012905910295017503910395067508150025650507"
    "190029658100c0"
)

_PLAIN = {"\n": ENTER, "\r": ENTER, "\x1b": 0x29, "\b": 0x2A, "\t": TAB} | {
    character: first + place
    for first, row in ((0x04, "abcdefghijklmnopqrstuvwxyz1234567890"), (0x2C, " -=[]\\"), (0x33, ";'`,./"))
    for place, character in enumerate(row)
}
_SHIFTED = {
    character: first + place
    for first, row in ((0x04, "ABCDEFGHIJKLMNOPQRSTUVWXYZ!@#$%^&*()"), (0x2D, "_+{}|"), (0x33, ':"~<>?'))
    for place, character in enumerate(row)
}
_KEYPAD = dict(zip("1234567890", range(0x59, 0x63), strict=True))


def report(key: int, modifiers: int = 0) -> bytes:
    return bytes((modifiers, 0, key, 0, 0, 0, 0, 0))


def typed(text: str, *, shift: Literal["each", "held"] = "each", keypad: bool = False) -> list[bytes]:
    """The reports of a text of US-keyboard characters; GS and the other control characters as Ctrl combinations.

    `shift="held"` keeps the modifier down between keys that share it, as some guns do; `keypad` types digits on the
    keypad. Other characters are not on a US keyboard: see `alt_code`. Errors: ValueError.
    """
    strokes = [_stroke(character, keypad) for character in text]
    reports: list[bytes] = []
    for (key, modifiers), (_, following) in pairwise([*strokes, (0, 0)]):
        stays = modifiers if shift == "held" and modifiers == following else 0
        reports += [report(key, modifiers), report(0, stays)]
    return reports


def alt_code(number: str) -> list[bytes]:
    """Alt held while a decimal number is typed on the keypad: how guns send characters that have no key (`029`, `26691`)."""
    downs = [piece for digit in number for piece in (report(_KEYPAD[digit], ALT), report(0, ALT))]
    return [report(0, ALT), *downs, NOTHING]


def recorded(path: Path) -> list[bytes]:
    """A recording: one report a line in hex, `#` begins a comment."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [bytes.fromhex(line) for line in lines if line]


def evdev_codes(reports: Sequence[bytes]) -> Iterator[int]:
    """The HID usages that go down, in order, without modifiers: evdev must report as many key presses."""
    before: set[int] = set()
    for each in reports:
        now = set(each[2:]) - {0}
        yield from sorted(now - before)
        before = now


def _stroke(character: str, keypad: bool) -> tuple[int, int]:
    if keypad and character in _KEYPAD:
        return _KEYPAD[character], 0
    if character in _PLAIN:
        return _PLAIN[character], 0
    if character in _SHIFTED:
        return _SHIFTED[character], SHIFT
    if "\x01" <= character <= "\x1f":
        return _PLAIN[chr(ord(character) | 0x60).replace("{", "[").replace("|", "\\").replace("}", "]")], CTRL
    raise ValueError(f"no key of a US keyboard gives {character!r}")
