"""A character's number as it is typed: Alt with decimals, Alt with + and hex digits, or Ctrl+Shift+U and hex digits.

Decimals mean Unicode, GBK or a byte, which only the whole scan tells (`altcodes`); hex digits are Unicode and nothing else. Alt
ends both of its kinds by going up. Ctrl+Shift+U (ISO/IEC 14755, as Linux input methods have it) ends by letting go of Ctrl or
Shift where the digits were typed under both, else by the next Enter or space, which is then no part of the scan.
"""

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["", "decimal", "alt_hex", "unicode"]

MAX_DIGITS = 10
_HEX = frozenset("0123456789abcdef")


class CodeEntry:
    """At most one number at a time. Pure; told of the keys, says which of them it takes."""

    def __init__(self) -> None:
        self.kind: Kind = ""
        self._digits = ""
        self._under_both = False  # the last digit was typed with Ctrl and Shift down

    def clear(self) -> None:
        self.kind, self._digits = "", ""

    def begin_unicode(self) -> None:
        """Ctrl+Shift+U went down."""
        self.kind, self._digits, self._under_both = "unicode", "", False

    def under_alt(self, character: str, *, keypad_plus: bool) -> bool:
        """A key with Alt down; False where it is no part of a number."""
        if keypad_plus and not self.kind:
            self.kind = "alt_hex"
            return True
        if not self.kind and character.isdigit():
            self.kind = "decimal"
        accepted = character in _HEX if self.kind == "alt_hex" else character.isdigit()
        return accepted and self._add(character)

    def after_u(self, character: str, *, under_both: bool) -> bool:
        """A key after Ctrl+Shift+U; False where it is no hex digit."""
        self._under_both = under_both
        return character in _HEX and self._add(character)

    @property
    def ends_on_release(self) -> bool:
        """Of Ctrl or Shift."""
        return self.kind == "unicode" and self._under_both and bool(self._digits)

    def finish(self) -> str | int | None:
        """What was typed: a character, or the decimal of an Alt code from 128 up; None where it is no character's number."""
        kind, digits = self.kind, self._digits
        self.clear()
        if not digits:
            return None
        if kind == "decimal":
            number = int(digits)
            return chr(number) if number < 0x80 else number
        number = int(digits, 16)
        return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else None

    def _add(self, digit: str) -> bool:
        self._digits += digit
        return len(self._digits) <= MAX_DIGITS
