"""What a scan's text means: the types, and checks of digits and dates. Pure; the text itself is always kept.

Checks accept ASCII digits only (`str.isdigit` accepts ², Python's \\d accepts full-width ones).
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal[
    "gs1",
    "digital_link",
    "ean13",
    "ean8",
    "upca",
    "itf14",
    "pesticide",
    "vet_drug",
    "seed_label",
    "platform",
    "url",
    "unknown",
]
Verdict: TypeAlias = Literal["ok", "wrong", "unknown"]
Note: TypeAlias = Literal[
    "",
    "check_digit",  # the last digit does not follow from the others
    "date",  # no such day
    "format",  # a character or a length that this field cannot have
    "zero",  # all zeros: not a valid number
    "empty",  # a field without content
    "not_understood",  # no reader understands this part
    "maybe_joined",  # looks like two fields whose separator (GS) the gun did not send
]
UNPROVEN: frozenset[Note] = frozenset(("not_understood", "maybe_joined"))

_DIGITS = re.compile("[0-9]+")


class Field(msgspec.Struct, frozen=True):
    """One part of the text. `ok`: True if checked and right, False if wrong (`note` states how), None if it cannot be checked."""

    name: str
    value: str
    ok: bool | None = None
    note: Note = ""
    ai: str = ""  # GS1 application identifier, of GS1 fields


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """A scan's text, interpreted. `keys` has only what is not wrong: a bad GTIN never becomes a key.

    keys: gtin14, sscc, gln, lot, serial, expiry (YYMMDD), issuer (who issued the prefix), host, code, platform,
    product, company, date, variety, producer, registration. `per_package`: by the platform's rule every package has a
    code of its own.
    """

    text: str  # as scanned, unchanged
    symbology: str | None  # AIM identifier without its bracket
    kind: Kind = "unknown"
    verdict: Verdict = "unknown"
    fields: tuple[Field, ...] = ()
    keys: dict[str, str] = {}
    per_package: bool = False


class Parsed(msgspec.Struct, frozen=True):
    """The result of one reader: the kind of the text, its parts, its keys."""

    kind: Kind
    fields: tuple[Field, ...]
    keys: dict[str, str] = {}
    per_package: bool = False


def verdict_of(fields: Sequence[Field]) -> Verdict:
    """Wrong if a part is wrong, ok if parts were checked and all is understood, else unknown."""
    if any(field.ok is False for field in fields):
        return "wrong"
    if any(field.note in UNPROVEN for field in fields):
        return "unknown"
    return "ok" if any(field.ok for field in fields) else "unknown"


def is_digits(text: str) -> bool:
    return _DIGITS.fullmatch(text) is not None


def check_digit_valid(digits: str) -> bool:
    """Modulo 10 with weights 3, 1 from the right (GS1 General Specifications 7.9.1); the last digit is the check digit."""
    if not is_digits(digits) or len(digits) < 2:
        return False
    weighted = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(reversed(digits)))
    return weighted % 10 == 0


def is_date(digits: str) -> bool:
    """YYYYMMDD, from 1990 to 2099."""
    if not is_digits(digits) or len(digits) != 8 or not 1990 <= int(digits[:4]) <= 2099:
        return False
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


def is_short_date(digits: str, *, zero_day: bool) -> bool:
    """YYMMDD; day 00 is the end of the month if the field allows it (GS1 General Specifications 3.4)."""
    if not is_digits(digits) or len(digits) != 6:
        return False
    if zero_day and digits[4:] == "00":
        digits = digits[:4] + "01"
    return is_date(f"20{digits}")
