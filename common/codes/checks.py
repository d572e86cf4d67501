"""Check digits and dates of codes. Pure; ASCII digits only (`str.isdigit` takes ², Python's \\d takes full-width ones)."""

import re
from datetime import date
from functools import lru_cache

_DIGITS = re.compile("[0-9]+")


def is_digits(text: str) -> bool:
    return _DIGITS.fullmatch(text) is not None


def check_digit_right(digits: str) -> bool:
    """Modulo 10 with weights 3, 1 from the right (GS1 General Specifications 7.9.1); the last digit is the check digit."""
    if not is_digits(digits) or len(digits) < 2:
        return False
    weighted = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(reversed(digits)))
    return weighted % 10 == 0


def is_day(digits: str) -> bool:
    """YYYYMMDD of this or the last century's end on."""
    if not is_digits(digits) or len(digits) != 8 or not 1990 <= int(digits[:4]) <= 2099:
        return False
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


def is_short_day(digits: str, *, zero_day: bool) -> bool:
    """YYMMDD; day 00 is the end of the month where the field allows it (GS1 General Specifications 3.4)."""
    if not is_digits(digits) or len(digits) != 6:
        return False
    if zero_day and digits[4:] == "00":
        digits = digits[:4] + "01"
    return is_day(f"20{digits}")


@lru_cache(4096)
def issuer(gtin14: str) -> str | None:
    """Who gave a GTIN's prefix out ("GS1 China" for 690-699 and 680-681); None where nobody did, or biip cannot tell."""
    try:
        from biip.gs1_prefixes import GS1Prefix, GS18Prefix

        short = gtin14.startswith("000000")  # a GTIN-8 has prefixes of its own
        prefix = GS18Prefix.extract(gtin14[6:]) if short else GS1Prefix.extract(gtin14[1:])
    except Exception:  # biip fails on input in many ways; who gave a prefix out is worth no crash
        return None
    return None if prefix is None else prefix.usage
