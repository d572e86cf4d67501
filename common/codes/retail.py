"""EAN and UPC codes of shop goods, and the 14 digits of a case (ITF-14): check digit and who gave the prefix out."""

from common.codes.checks import check_digit_right, is_day, is_digits, issuer
from common.codes.types import Field, Kind, Note, Read

KINDS: dict[int, Kind] = {8: "ean8", 12: "upca", 13: "ean13", 14: "itf14"}
WITH_ADD_ON = {"E3": (15, 18)}  # EAN-13 and two or five digits more


def from_digits(data: str, symbology: str | None) -> Read | None:
    """8, 12, 13 or 14 digits; None where that is not certain.

    A wrong check digit is called wrong where the gun says EAN/UPC or ITF, or does not say. Digits out of another
    symbology may be any number: they are a code of goods only with the right check digit. 8 or 14 digits that begin with
    a date are one unless the gun says otherwise.
    """
    add_on = ""
    if len(data) in WITH_ADD_ON.get(symbology or "", ()):
        data, add_on = data[:13], data[13:]
    kind = KINDS.get(len(data))
    if kind is None or not is_digits(data) or not is_digits(add_on or "0"):
        return None
    note: Note = "" if check_digit_right(data) else "check_digit"
    if not data.replace("0", ""):
        note = "zero"
    if symbology is not None:
        if note and symbology[:1] not in ("E", "I"):
            return None
    elif len(data) in (8, 14) and is_day(data[:8]):
        return None
    fields = [Field(kind, data, not note, note)]
    keys: dict[str, str] = {}
    if not note:
        keys = {"gtin14": data.zfill(14), "code": data}
        given_by = issuer(keys["gtin14"])
        if given_by is not None:
            keys["issuer"] = given_by
            fields.append(Field("issuer", given_by))
    if add_on:
        fields.append(Field("add_on", add_on))
    return Read(kind, tuple(fields), keys)
