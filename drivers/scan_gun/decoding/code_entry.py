"""A character typed as its number: Alt with decimals, Alt with + and hex digits, or Ctrl+Shift+U and hex digits.

A decimal is Unicode, GBK or a byte, which only the whole scan shows (`alt_codes`); hex digits are always Unicode. Releasing
Alt ends both of its kinds. Ctrl+Shift+U (ISO/IEC 14755, as Linux input methods implement it) ends when Ctrl or Shift is released
if the digits were typed with both pressed, else with the next Enter or space, which is then not part of the scan.
"""

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["", "decimal", "alt_hex", "unicode"]

MAX_DIGITS = 10
_HEX = frozenset("0123456789abcdef")


class CodeEntry:
    """At most one number at a time. Pure: receives the keys and returns whether each belongs to a number."""

    def __init__(self) -> None:
        self.kind: Kind = ""
        self._digits = ""
        self._under_both = False  # the last digit was typed with Ctrl and Shift pressed

    def clear(self) -> None:
        self.kind, self._digits = "", ""

    def begin_unicode(self) -> None:
        """Ctrl+Shift+U was pressed."""
        self.kind, self._digits, self._under_both = "unicode", "", False

    def under_alt(self, character: str, *, keypad_plus: bool) -> bool:
        """A key with Alt pressed; False if it is not part of a number."""
        if keypad_plus and not self.kind:
            self.kind = "alt_hex"
            return True
        if not self.kind and character.isdigit():
            self.kind = "decimal"
        accepted = character in _HEX if self.kind == "alt_hex" else character.isdigit()
        return accepted and self._add(character)

    def after_u(self, character: str, *, under_both: bool) -> bool:
        """A key after Ctrl+Shift+U; False if it is not a hex digit."""
        self._under_both = under_both
        return character in _HEX and self._add(character)

    @property
    def ends_on_release(self) -> bool:
        """The number ends when Ctrl or Shift is released."""
        return self.kind == "unicode" and self._under_both and bool(self._digits)

    def finish(self) -> str | int | None:
        """What was typed: a character, or the decimal of an Alt code of 128 or more; None if it is not a character's number."""
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
