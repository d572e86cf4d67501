"""Codes of farm inputs in China: pesticide (32 digits), veterinary drug (24 digits), seed label (four lines).

Layouts: pesticide: Ministry of Agriculture notice 2579 (2017); veterinary drug: rules of the national tracing system;
seed: coding rules of 2016-09-18. Taken from reprints, not from the gazette: what they leave open is not checked here.
"""

import re

from common.codes.links import is_address, link_of
from common.codes.types import Field, Kind, Parsed, is_date, is_digits

_RUN = {digits: re.compile(f"(?<![0-9]){'[0-9]' * digits}(?![0-9])") for digits in (24, 32)}
_ADDRESS = re.compile(r"(?:https?://|www\.)[^\s,;\uff0c\uff1b\u3001]+", re.IGNORECASE)
_UNIT_CODE = re.compile("[0-9A-Za-z]{1,20}")
_LABELLED = re.compile(r"[\u4e00-\u9fff]{2,12}[:\uff1a][ \u3000]*")
_LINE_END = re.compile("\r\n|\n|\r")


def from_farm_code(data: str) -> Parsed | None:
    """Parse a bare code, or the only such code in a trace address or in 'address, unit code'."""
    if is_digits(data):
        return _of_digits(data, None)
    address = _ADDRESS.search(data)
    if address is None:
        return None
    for digits in (32, 24):
        codes = set(_RUN[digits].findall(data))
        if len(codes) == 1:
            code = codes.pop()
            read = _of_digits(code, address.group())
            inside = code in address.group()  # may be any number of that platform: only a valid one is used
            if read is not None and not (inside and any(field.ok is False for field in read.fields)):
                return read
    return None


def from_seed_label(data: str) -> Parsed | None:
    """Parse a seed label: variety, producer or importer, unit code, trace address, each on its own line, in this order."""
    lines = [_unlabelled(line) for line in _LINE_END.split(data)]
    if len(lines) != 4:
        return None
    variety, producer, code, address = lines
    code_right, address_right = _UNIT_CODE.fullmatch(code) is not None, is_address(address)
    if not (address_right or (code_right and address)):
        return None
    fields = (
        _text_field("variety", variety),
        _text_field("producer", producer),
        Field("unit_code", code, code_right, "" if code_right else "format"),
        Field("trace_url", address, address_right, "" if address_right else "format"),
    )
    keys = {"variety": variety, "producer": producer}
    if code_right:
        keys["code"] = code
    if address_right and (host := link_of(address).host):
        keys["host"] = host
    return Parsed("seed_label", fields, {name: value for name, value in keys.items() if value})


def _of_digits(code: str, address: str | None) -> Parsed | None:
    read = _pesticide(code) if len(code) == 32 else _vet_drug(code) if len(code) == 24 else None
    if read is None or address is None:
        return read
    keys = dict(read.keys)
    if host := link_of(address).host:
        keys["host"] = host
    return Parsed(read.kind, (*read.fields, Field("trace_url", address)), keys)


def _pesticide(code: str) -> Parsed:
    made_right = code[7] in "123"  # own production, made by another, repacked by another
    fields = (
        Field("category", code[0]),
        Field("registration", code[1:7]),
        Field("production_type", code[7], made_right, "" if made_right else "format"),
        Field("specification", code[8:11]),
        Field("random", code[11:]),
    )
    return _keyed("pesticide", code, fields, registration=code[1:7])


def _vet_drug(code: str) -> Parsed:
    day_right = is_date(code[:8])
    fields = (
        Field("date", code[:8], day_right, "" if day_right else "date"),  # on which the code was applied for
        Field("company", code[8:13]),
        Field("random", code[13:]),
    )
    return _keyed("vet_drug", code, fields, date=code[:8], company=code[8:13])


def _keyed(kind: Kind, code: str, fields: tuple[Field, ...], **keys: str) -> Parsed:
    wrong = any(field.ok is False for field in fields)
    return Parsed(kind, fields, {} if wrong else {"code": code, **keys})


def _text_field(name: str, value: str) -> Field:
    return Field(name, value, bool(value), "" if value else "empty")


def _unlabelled(line: str) -> str:
    """The line's value: some producers write the name of the line and a colon before it, of either width."""
    label = _LABELLED.match(line)
    return line[label.end() :] if label else line
