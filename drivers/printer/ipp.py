"""IPP bodies: encodes the request, decodes the answer (RFC 8010; operations and attributes: RFC 8011).

Limited: an answer of more than `MAX_BODY` bytes or with collections nested deeper than `MAX_DEPTH` is refused. Hostile bytes
raise `BadIpp`, never another error. A value whose bytes do not match its tag stays `bytes`: one malformed attribute of a
cheap printer does not invalidate the others.
"""

import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from drivers.reading import YinongError

MAX_BODY = 256 * 1024
MAX_DEPTH = 8


class BadIpp(YinongError):  # noqa: N818
    """The bytes are not an IPP answer; the text states at which byte, and why."""


class Operation(IntEnum):
    GET_PRINTER_ATTRIBUTES = 0x000B
    CUPS_GET_PRINTERS = 0x4002


class Group(IntEnum):
    """Delimiter tags (RFC 8010 section 3.5.1)."""

    OPERATION = 0x01
    JOB = 0x02
    END = 0x03
    PRINTER = 0x04
    UNSUPPORTED = 0x05


class Tag(IntEnum):
    """Value tags (RFC 8010 section 3.5.2)."""

    INTEGER = 0x21
    BOOLEAN = 0x22
    ENUM = 0x23
    OCTET_STRING = 0x30
    DATE_TIME = 0x31
    RESOLUTION = 0x32
    RANGE = 0x33
    BEGIN_COLLECTION = 0x34
    TEXT_WITH_LANGUAGE = 0x35
    NAME_WITH_LANGUAGE = 0x36
    END_COLLECTION = 0x37
    TEXT = 0x41
    NAME = 0x42
    KEYWORD = 0x44
    URI = 0x45
    URI_SCHEME = 0x46
    CHARSET = 0x47
    LANGUAGE = 0x48
    MIME_TYPE = 0x49
    MEMBER_NAME = 0x4A


class Range(NamedTuple):
    """rangeOfInteger."""

    low: int
    high: int


class Resolution(NamedTuple):
    """resolution; units 3 = dots an inch, 4 = dots a centimetre."""

    cross_feed: int
    feed: int
    units: int


Value: TypeAlias = "int | bool | str | bytes | Range | Resolution | dict[str, list[Value]] | None"
Attributes: TypeAlias = dict[str, list[Value]]


class Answer(NamedTuple):
    """A decoded answer: its status (RFC 8011 section 13.1; below 0x0100 is success) and its groups in their order."""

    version: str  # "1.1"
    status: int
    request_id: int
    groups: tuple[tuple[int, Attributes], ...]

    def printers(self) -> list[Attributes]:
        """The printer attributes groups: one in a Get-Printer-Attributes answer, one a queue in CUPS-Get-Printers."""
        return [attributes for tag, attributes in self.groups if tag == Group.PRINTER]


def encode(
    operation: Operation, uri: str | None, wanted: Iterable[str], request_id: int = 1, version: bytes = b"\x01\x01"
) -> bytes:
    """A request for `wanted` attributes of the printer at `uri`; IPP/1.1, which every IPP printer must speak."""
    body = version + struct.pack(">hiB", operation, request_id, Group.OPERATION)
    body += _attribute(Tag.CHARSET, "attributes-charset", ["utf-8"])
    body += _attribute(Tag.LANGUAGE, "attributes-natural-language", ["en"])
    if uri is not None:
        body += _attribute(Tag.URI, "printer-uri", [uri])
    return body + _attribute(Tag.KEYWORD, "requested-attributes", wanted) + bytes((Group.END,))


def decode(body: bytes) -> Answer:
    """The answer in these bytes. Raises BadIpp."""
    if len(body) > MAX_BODY:
        raise BadIpp(f"{len(body)} bytes are more than {MAX_BODY}")
    if len(body) < 9:
        raise BadIpp(f"{len(body)} bytes are too few for an IPP header")
    major, minor, status, request_id = struct.unpack_from(">BBHi", body)
    if major not in (1, 2):
        raise BadIpp(f"version {major}.{minor} is none of IPP's")
    return Answer(f"{major}.{minor}", status, request_id, tuple(_Cursor(body, 8).groups()))


def _attribute(tag: Tag, name: str, values: Iterable[str]) -> bytes:
    out = b""
    for value in values:
        raw, text = name.encode(), value.encode()
        out += struct.pack(">BH", tag, len(raw)) + raw + struct.pack(">H", len(text)) + text
        name = ""  # additional values carry no name (RFC 8010 section 3.1.5)
    return out


class _Cursor:
    """Where we are in the bytes."""

    def __init__(self, body: bytes, at: int) -> None:
        self._body = body
        self._at = at

    def groups(self) -> list[tuple[int, Attributes]]:
        found: list[tuple[int, Attributes]] = []
        values: list[Value] | None = None  # of the attribute that additional values belong to
        while (tag := self._byte()) != Group.END:
            if tag < 0x10:
                found.append((tag, {}))
                values = None
                continue
            name, raw = self._text(), self._field()
            if not found:
                raise BadIpp(f"an attribute before any group at byte {self._at}")
            if name:
                values = []
                found[-1][1].setdefault(name, values)  # a name that comes twice: the first counts
            if values is None:
                raise BadIpp(f"an additional value without its attribute at byte {self._at}")
            values.append(self._collection(1) if tag == Tag.BEGIN_COLLECTION else _value(tag, raw))
        return found

    def _collection(self, depth: int) -> dict[str, list[Value]]:
        """Members until endCollection (RFC 8010 section 3.1.6)."""
        if depth > MAX_DEPTH:
            raise BadIpp(f"collections nested deeper than {MAX_DEPTH} at byte {self._at}")
        members: dict[str, list[Value]] = {}
        values: list[Value] | None = None
        while True:
            tag, _, raw = self._byte(), self._text(), self._field()
            if tag == Tag.END_COLLECTION:
                return members
            if tag == Tag.MEMBER_NAME:
                values = []
                members.setdefault(raw.decode("utf-8", "replace"), values)
            elif tag < 0x10 or values is None:
                raise BadIpp(f"tag 0x{tag:02x} inside a collection at byte {self._at}")
            else:
                values.append(self._collection(depth + 1) if tag == Tag.BEGIN_COLLECTION else _value(tag, raw))

    def _byte(self) -> int:
        return self._read(1)[0]

    def _text(self) -> str:
        return self._field().decode("utf-8", "replace")

    def _field(self) -> bytes:
        return self._read(int.from_bytes(self._read(2), "big"))

    def _read(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._body):
            raise BadIpp(f"ends at byte {len(self._body)} where {count} more from byte {self._at} are promised")
        raw = self._body[self._at : end]
        self._at = end
        return raw


def _value(tag: int, raw: bytes) -> Value:
    """One value by its tag; as `bytes` if the tag is unknown or the length is wrong for it."""
    if tag < 0x20:  # out-of-band: unsupported, unknown, no-value
        return None
    if tag in (Tag.INTEGER, Tag.ENUM) and len(raw) == 4:
        return int.from_bytes(raw, "big", signed=True)
    if tag == Tag.BOOLEAN and len(raw) == 1:
        return raw != b"\0"
    if tag == Tag.RANGE and len(raw) == 8:
        return Range(*struct.unpack(">ii", raw))
    if tag == Tag.RESOLUTION and len(raw) == 9:
        return Resolution(*struct.unpack(">iib", raw))
    if tag in (Tag.TEXT_WITH_LANGUAGE, Tag.NAME_WITH_LANGUAGE):
        return _without_language(raw)
    if 0x40 <= tag <= 0x5F:  # character strings
        return raw.decode("utf-8", "replace")
    return raw


def _without_language(raw: bytes) -> Value:
    """length, language, length, text (RFC 8010 section 3.9): the text."""
    start = 2 + int.from_bytes(raw[:2], "big")
    text = raw[start + 2 :]
    if len(raw) < start + 2 or int.from_bytes(raw[start : start + 2], "big") != len(text):
        return raw
    return text.decode("utf-8", "replace")
