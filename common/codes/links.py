"""Web addresses on labels: a GS1 Digital Link with its identifiers, any other with host and code.

GS1 Digital Link: URI Syntax 1.x, uncompressed. The address is parsed, never fetched.
"""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from common.codes.gs1 import CHECKED, Identifier, element, identifier, keys_of
from common.codes.types import Field, Parsed, check_digit_valid, is_digits

PRIMARY = frozenset(
    (
        "00",
        "01",
        "253",
        "255",
        "401",
        "402",
        "414",
        "415",
        "417",
        "8003",
        "8004",
        "8006",
        "8010",
        "8013",
        "8017",
        "8018",
    )
)
AI_ALIASES = {
    "gtin": "01",
    "lot": "10",
    "ser": "21",
    "cpv": "22",
    "sscc": "00",
    "gln": "414",
}  # names of the first edition
CODE_NAMES = ("code", "c", "id", "sn", "no", "num", "tracecode", "trace_code", "qrcode", "barcode", "k", "t", "s")

_ADDRESS = re.compile(r"(?:https?://|www\.)[^\x00-\x20\x7f-\xa0]+", re.IGNORECASE)
_HOST = re.compile(r"(?:[\w-]+\.)+[\w-]{2,}|localhost")


class Link(NamedTuple):
    """The parts of an address; all empty if the text is not an address."""

    host: str
    path: tuple[str, ...]  # still percent-encoded
    query: str


def link_of(text: str) -> Link:
    """The parts; if a page has its own address after `#` (`/#/trace?code=1`), the parts of that one."""
    if _ADDRESS.fullmatch(text) is None:
        return Link("", (), "")
    try:
        parts = urlsplit(text if "://" in text[:8] else f"http://{text}")
        host = parts.hostname or ""
    except ValueError:  # brackets that are not an IPv6 address
        return Link("", (), "")
    if _HOST.fullmatch(host) is None:
        return Link("", (), "")
    path, query = parts.path, parts.query
    if parts.fragment.startswith(("/", "!/")) and not query:
        path, _, query = parts.fragment.removeprefix("!").partition("?")
    return Link(host, tuple(part for part in path.split("/") if part), query)


def is_address(text: str) -> bool:
    return bool(link_of(text).host)


def from_link(data: str) -> Parsed | None:
    """Parse an address: as a Digital Link if its path is one, else host and code; None if it is not an address."""
    link = link_of(data)
    if not link.host:
        return None
    return _digital_link(link) or _plain(link)


def _plain(link: Link) -> Parsed:
    fields, keys = [Field("host", link.host)], {"host": link.host}
    code = _code(link)
    if code:
        fields.append(Field("code", code))
        keys["code"] = code
    return Parsed("url", tuple(fields), keys)


def _code(link: Link) -> str:
    """The only parameter, or the one named like a code, or the last part of the path."""
    pairs = [(name.lower(), value) for name, value in parse_qsl(link.query, keep_blank_values=True)]
    if len(pairs) == 1:
        name, value = pairs[0]
        return value or name if "=" in link.query else unquote(link.query)
    for known in CODE_NAMES:
        for name, value in pairs:
            if name == known and value:
                return value
    return unquote(link.path[-1]) if link.path else ""


def _digital_link(link: Link) -> Parsed | None:
    """None unless the path ends in pairs of identifier and value, the first of which is plausible."""
    for at in range(len(link.path) - 1):
        key, value = AI_ALIASES.get(link.path[at], link.path[at]), unquote(link.path[at + 1])
        if key in PRIMARY and _plausible(key, value, link.host) and (known := identifier(key)) is not None:
            fields = [
                element(known, _as_gtin14(key, value)),
                *_qualifiers(link.path[at + 2 :]),
                *_attributes(link.query),
            ]
            return Parsed("digital_link", (Field("host", link.host), *fields), {"host": link.host} | keys_of(fields))
    return None


def _plausible(key: str, value: str, host: str) -> bool:
    """`/2024/01/15` is a date, not a GTIN: a number must have its length, a short one its check digit too."""
    if host.startswith("id.gs1."):
        return True
    if key == "01":
        return is_digits(value) and (len(value) in (13, 14) or (len(value) in (8, 12) and check_digit_valid(value)))
    known = identifier(key)
    return known is not None and key in CHECKED and known.pattern.fullmatch(key + value) is not None


def _as_gtin14(key: str, value: str) -> str:
    return value.zfill(14) if key == "01" and is_digits(value) and len(value) in (8, 12, 13) else value


def _qualifiers(parts: tuple[str, ...]) -> list[Field]:
    fields = [
        _component(AI_ALIASES.get(name, name), value) for name, value in zip(parts[::2], parts[1::2], strict=False)
    ]
    if len(parts) % 2:
        fields.append(Field("rest", unquote(parts[-1]), None, "not_understood"))
    return fields


def _attributes(query: str) -> list[Field]:
    pairs = (pair.partition("=") for pair in re.split("[&;]", query))
    # other parameters belong to the site
    return [_component(name, value) for name, _, value in pairs if is_digits(name)]


def _component(ai: str, value: str) -> Field:
    known: Identifier | None = identifier(ai)
    if known is None or known.ai != ai:
        return Field("rest", unquote(f"{ai}/{value}"), None, "not_understood")
    return element(known, unquote(value))
