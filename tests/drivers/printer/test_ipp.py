"""The IPP decoder: right values, and nothing but BadIpp for hostile bytes."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyipp.parser import parse as pyipp_parse

from drivers.printer.ipp import MAX_BODY, BadIpp, Operation, Range, Resolution, decode, encode

CASES = Path(__file__).parent / "cases"
RECORDED = (CASES / "toner_low" / "answer.ipp").read_bytes()
_HEAD = struct.pack(">BBHi", 1, 1, 0, 1)


def _printer(*fields: bytes) -> bytes:
    return _HEAD + b"\x04" + b"".join(fields) + b"\x03"


def _field(tag: int, name: bytes, value: bytes) -> bytes:
    return struct.pack(">BH", tag, len(name)) + name + struct.pack(">H", len(value)) + value


def test_a_question_is_the_bytes_of_the_rfc() -> None:
    body = encode(Operation.GET_PRINTER_ATTRIBUTES, "ipp://p/ipp/print", ["printer-state", "media-ready"], request_id=7)
    assert body.startswith(b"\x01\x01\x00\x0b\x00\x00\x00\x07\x01\x47\x00\x12attributes-charset\x00\x05utf-8\x48")
    assert body.endswith(
        b"\x45\x00\x0bprinter-uri\x00\x11ipp://p/ipp/print"
        b"\x44\x00\x14requested-attributes\x00\x0dprinter-state\x44\x00\x00\x00\x0bmedia-ready\x03"
    )


def test_values_come_out_by_their_tags() -> None:
    body = _printer(
        _field(0x21, b"i", struct.pack(">i", -2)),
        _field(0x21, b"", struct.pack(">i", 75)),
        _field(0x22, b"b", b"\1"),
        _field(0x23, b"e", struct.pack(">i", 5)),
        _field(0x30, b"o", b"\x00\xff"),
        _field(0x33, b"r", struct.pack(">ii", 1, 999)),
        _field(0x32, b"d", struct.pack(">iib", 600, 600, 3)),
        _field(0x35, b"t", b"\x00\x05zh-cn\x00\x06\xe7\xa9\xba\xe9\x97\xb2"),
        _field(0x44, b"k", b"idle"),
        _field(0x13, b"n", b""),
        _field(0x7F, b"x", b"\x00\x00\x00\x01abc"),
        _field(0x2A, b"u", b"?"),
    )
    assert decode(body).printers() == [
        {
            "i": [-2, 75],
            "b": [True],
            "e": [5],
            "o": [b"\x00\xff"],
            "r": [Range(1, 999)],
            "d": [Resolution(600, 600, 3)],
            "t": ["空闲"],
            "k": ["idle"],
            "n": [None],
            "x": [b"\x00\x00\x00\x01abc"],
            "u": [b"?"],
        }
    ]


def test_collections_keep_their_members_and_what_follows_them() -> None:
    member, end = _field(0x4A, b"", b"x-dimension"), _field(0x37, b"", b"")
    size = _field(0x4A, b"", b"media-size") + _field(0x34, b"", b"") + member + _field(0x21, b"", b"\0\0\x52\x08") + end
    body = _printer(_field(0x34, b"media-col", b""), size, end, _field(0x34, b"", b""), end, _field(0x44, b"k", b"v"))
    assert decode(body).printers() == [{"media-col": [{"media-size": [{"x-dimension": [21000]}]}, {}], "k": ["v"]}]


@pytest.mark.parametrize("tag", [0x21, 0x22, 0x23, 0x32, 0x33, 0x35, 0x36])
def test_a_value_of_the_wrong_length_stays_bytes_and_costs_no_other(tag: int) -> None:
    body = _printer(_field(tag, b"odd", b"\x00\x09\x01"), _field(0x44, b"k", b"v"))
    assert decode(body).printers() == [{"odd": [b"\x00\x09\x01"], "k": ["v"]}]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "too few"),
        (b"<html><body>404</body></html>", "version"),
        (_HEAD, "too few"),
        (_HEAD + b"\x04", "ends at byte"),
        (_HEAD + b"\x04" + _field(0x44, b"k", b"v"), "ends at byte"),
        (_HEAD + b"\x04\x44\xff\xffk", "are promised"),
        (_HEAD + _field(0x44, b"k", b"v") + b"\x03", "before any group"),
        (_printer(_field(0x44, b"", b"v")), "without its attribute"),
        (_printer(_field(0x34, b"c", b""), _field(0x44, b"", b"v")), "inside a collection"),
        (
            _printer(_field(0x34, b"c", b"") + (_field(0x4A, b"", b"m") + _field(0x34, b"", b"")) * 2000),
            "nested deeper",
        ),
        (_HEAD + bytes(MAX_BODY), "more than"),
    ],
)
def test_what_is_no_answer_is_refused_with_a_reason(body: bytes, why: str) -> None:
    with pytest.raises(BadIpp, match=why):
        decode(body)


def test_every_cut_of_an_answer_is_refused() -> None:
    for length in range(len(RECORDED)):
        with pytest.raises(BadIpp):
            decode(RECORDED[:length])


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_give_an_answer_or_our_error(body: bytes) -> None:
    for candidate in (body, _HEAD + b"\x04" + body):
        try:
            decode(candidate)
        except BadIpp:
            pass


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(RECORDED) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_answer_gives_an_answer_or_our_error(damage: list[tuple[int, int]]) -> None:
    body = bytearray(RECORDED)
    for at, byte in damage:
        body[at] = byte
    try:
        decode(bytes(body))
    except BadIpp:
        pass


_NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)
_GROUP = st.dictionaries(
    _NAMES,
    st.one_of(
        st.tuples(st.just(0x21), st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=4)),
        st.tuples(st.just(0x22), st.lists(st.booleans(), min_size=1, max_size=3)),
        st.tuples(st.just(0x41), st.lists(st.text(max_size=20), min_size=1, max_size=4)),
        st.tuples(st.just(0x30), st.lists(st.binary(max_size=20), min_size=1, max_size=4)),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(st.lists(_GROUP, min_size=1, max_size=3))
def test_what_a_printer_encodes_is_what_comes_out(ipp_answer: Callable[..., bytes], groups: list[dict]) -> None:
    decoded = decode(ipp_answer(groups)).printers()
    assert decoded == [{name: values for name, (_, values) in group.items()} for group in groups]


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_pyipp_decodes_the_same_from_recorded_answers(case: str) -> None:
    body = (CASES / case / "answer.ipp").read_bytes()
    theirs, (ours,) = pyipp_parse(body)["printers"][0], decode(body).printers()
    assert set(ours) == set(theirs)
    for name, values in ours.items():
        plain = [value.decode() if isinstance(value, bytes) else value for value in values]
        assert theirs[name] in (plain, plain[0]), name
