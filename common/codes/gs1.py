"""GS1 element strings: application identifiers and their values, each with its own verdict; and EAN, UPC and ITF-14 digits.

Only biip's tables of application identifiers and of prefixes are used (imported when first needed: 19 MB): its parsers strip
GS, crash on `]`, and read a plain 13-digit number as AI (21). Rules: GS1 General Specifications chapter 3 (values), 7.8.5
(predefined lengths), 7.9 (check digits).
"""

import re
from functools import lru_cache
from typing import NamedTuple

from common.codes.types import Field, Kind, Note, Parsed, check_digit_valid, is_date, is_digits, is_short_date

GS = "\x1d"

# first two digits of an AI -> length of AI and value, if no separator follows (figure 7.8.5-2)
PREDEFINED = {
    "00": 20, "01": 16, "02": 16, "03": 16, "04": 18, "11": 8, "12": 8, "13": 8, "14": 8, "15": 8, "16": 8, "17": 8,
    "18": 8, "19": 8, "20": 4, "31": 10, "32": 10, "33": 10, "34": 10, "35": 10, "36": 10, "41": 16,
}  # fmt: skip

# AI -> length of the part of the value that ends in its check digit
CHECKED = {
    "00": 18, "01": 14, "02": 14, "03": 14, "253": 13, "255": 13, "402": 17, "8003": 14, "8006": 14, "8017": 18, "8018": 18,
    "8026": 14, **{f"41{n}": 13 for n in range(8)},
}  # fmt: skip

# AI -> may day 00 mean the end of the month; the first six digits are YYMMDD
DATED = {
    "11": True, "12": True, "13": True, "15": True, "16": True, "17": True, "4324": False, "4325": False, "4326": False,
    "7003": False, "7006": False, "7007": False, "7011": False, "8008": False,
}  # fmt: skip

NAMES = {
    "00": "sscc", "01": "gtin", "02": "content", "10": "lot", "11": "production_date", "12": "due_date",
    "13": "packaging_date", "15": "best_before", "16": "sell_by", "17": "expiry", "20": "variant", "21": "serial",
    "22": "consumer_variant", "37": "count", "240": "additional_id", "241": "customer_part", "250": "secondary_serial",
    "400": "order", "410": "ship_to", "414": "gln", "421": "ship_to_post", "422": "country_of_origin", "8200": "url",
}  # fmt: skip

KEYS = {"00": "sscc", "01": "gtin14", "10": "lot", "17": "expiry", "21": "serial", "414": "gln"}

KINDS: dict[int, Kind] = {8: "ean8", 12: "upca", 13: "ean13", 14: "itf14"}
WITH_ADD_ON = {"E3": (15, 18)}  # EAN-13 with an add-on of two or five digits

_BRACKETED = re.compile(r"\(([0-9]{2,4})\) *([^() ]+) *")
_HIDDEN_DATE = re.compile("(?=(?:11|13|15|17)([0-9]{6})(?:$|10|21))")


class Identifier(NamedTuple):
    """A line of biip's table."""

    ai: str
    pattern: re.Pattern[str]  # of AI and value
    separated: bool  # GS follows unless it is the last


@lru_cache(1024)
def identifier(start: str) -> Identifier | None:
    """The AI at the start of a text whose first four characters are `start`."""
    if len(start) < 2 or not is_digits(start[:2]):
        return None
    from biip.gs1_application_identifiers import GS1ApplicationIdentifier

    try:
        known = GS1ApplicationIdentifier.extract(start)
        return Identifier(known.ai, re.compile(known.pattern, re.ASCII), known.ai[:2] not in PREDEFINED)
    except Exception:  # not in the table: biip has no single error for it
        return None


def from_elements(data: str, *, declared: bool) -> Parsed | None:
    """Parse an element string as a gun sends it; None if it is not certain that it is one.

    `declared`: the AIM identifier states that it is GS1. Otherwise it must start with a GTIN or SSCC (00, 01, 02) and be
    complete, or have its separators and only known identifiers.
    """
    body = data[1:] if data.startswith(GS) else data
    body = body.removesuffix(GS)
    if not body:
        return None
    fields = [field for segment in body.split(GS) for field in _segment(segment)]
    if not declared and not _certain(data, fields):
        return None
    if GS not in body:
        fields = [_maybe_joined(field) for field in fields]
    return Parsed("gs1", tuple(fields), keys_of(fields))


def from_brackets(data: str) -> Parsed | None:
    """Parse the human-readable form, `(01)06901234567892(10)A1`; None unless exactly the brackets hold known AIs."""
    pairs = _BRACKETED.findall(data)
    if not pairs or "".join(f"({ai}){value}" for ai, value in pairs) != data.replace(" ", ""):
        return None
    fields: list[Field] = []
    for ai, value in pairs:
        known = identifier(ai)
        if known is None or known.ai != ai:
            return None
        fields.append(element(known, value))
    return Parsed("gs1", tuple(fields), keys_of(fields))


def from_digits(data: str, symbology: str | None) -> Parsed | None:
    """Parse an EAN or UPC code of goods, or the 14 digits of a case (ITF-14); None if it is not certain that it is one.

    A wrong check digit is reported as wrong if the gun states EAN/UPC or ITF, or no symbology. Digits of another symbology
    may be any number: they are a code of goods only with the right check digit. 8 or 14 digits that start with a date are
    regarded as a date unless the gun states a symbology.
    """
    add_on = ""
    if len(data) in WITH_ADD_ON.get(symbology or "", ()):
        data, add_on = data[:13], data[13:]
    kind = KINDS.get(len(data))
    if kind is None or not is_digits(data) or not is_digits(add_on or "0"):
        return None
    note: Note = "" if check_digit_valid(data) else "check_digit"
    if not data.replace("0", ""):
        note = "zero"
    if symbology is not None:
        if note and symbology[:1] not in ("E", "I"):
            return None
    elif len(data) in (8, 14) and is_date(data[:8]):
        return None
    fields = [Field(kind, data, not note, note)]
    keys: dict[str, str] = {}
    if not note:
        keys = {"gtin14": data.zfill(14), "code": data}
        issued_by = issuer(keys["gtin14"])
        if issued_by is not None:
            keys["issuer"] = issued_by
            fields.append(Field("issuer", issued_by))
    if add_on:
        fields.append(Field("add_on", add_on))
    return Parsed(kind, tuple(fields), keys)


def element(known: Identifier, value: str) -> Field:
    """The field of one AI and its value, with its verdict."""
    note = _fault(known, value)
    return Field(NAMES.get(known.ai, f"ai_{known.ai}"), value, not note, note, known.ai)


def keys_of(fields: list[Field]) -> dict[str, str]:
    """The keys of the fields that are right; the first of repeated ones counts."""
    keys: dict[str, str] = {}
    for field in fields:
        if field.ok and field.ai in KEYS:
            keys.setdefault(KEYS[field.ai], field.value)
    issued_by = issuer(keys["gtin14"]) if "gtin14" in keys else None
    return keys if issued_by is None else keys | {"issuer": issued_by}


@lru_cache(4096)
def issuer(gtin14: str) -> str | None:
    """Who issued a GTIN's prefix ("GS1 China" for 690-699 and 680-681); None if nobody did, or biip does not know."""
    try:
        from biip.gs1_prefixes import GS1Prefix, GS18Prefix

        short = gtin14.startswith("000000")  # a GTIN-8 has prefixes of its own
        prefix = GS18Prefix.extract(gtin14[6:]) if short else GS1Prefix.extract(gtin14[1:])
    except Exception:  # biip fails on input in many ways; the issuer is not worth a crash
        return None
    return None if prefix is None else prefix.usage


def _segment(segment: str) -> list[Field]:
    """The fields between two separators."""
    if not segment:
        return [Field("separator", "", False, "empty")]
    fields: list[Field] = []
    at = 0
    while at < len(segment):
        known = identifier(segment[at : at + 4])
        if known is None:
            return [*fields, Field("rest", segment[at:], None, "not_understood")]
        end = len(segment) if known.separated else at + PREDEFINED[known.ai[:2]]
        fields.append(element(known, segment[at + len(known.ai) : end]))
        at = end
    return fields


def _fault(known: Identifier, value: str) -> Note:
    if not value:
        return "empty"
    zero_day = DATED.get(known.ai)
    if zero_day is not None and not is_short_date(value[:6], zero_day=zero_day):
        return "date"
    if known.pattern.fullmatch(known.ai + value) is None:
        return "format"
    checked = CHECKED.get(known.ai)
    if checked is not None and not check_digit_valid(value[:checked]):
        return "check_digit"
    if checked is not None and not value[:checked].replace("0", ""):
        return "zero"
    return ""


def _certain(data: str, fields: list[Field]) -> bool:
    """Whether a text that is not declared to be GS1 is certainly GS1."""
    understood = all(field.note != "not_understood" for field in fields)
    if GS in data:
        return understood
    first = fields[0]
    if first.ai not in ("00", "01", "02") or first.note in ("format", "empty"):
        return False
    return first.ok is True or understood


def _maybe_joined(field: Field) -> Field:
    """If the gun sent no GS at all, a value of free length may contain the next field: a date in it is a sign of that."""
    if not field.ok or not field.ai or field.ai[:2] in PREDEFINED or field.ai in DATED:
        return field
    hidden = any(is_short_date(found.group(1), zero_day=True) for found in _HIDDEN_DATE.finditer(field.value, 1))
    return Field(field.name, field.value, None, "maybe_joined", field.ai) if hidden else field
