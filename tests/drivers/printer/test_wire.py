"""HTTP as printers speak it: any split of the bytes, any end, nothing without bounds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.printer.wire import Address, Assembler, BadHttp, HttpAnswer, NoAnswer

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/ipp\r\n"
ANSWERS = {
    "a length": _HEAD + b"Content-Length: 5\r\n\r\nhello",
    "chunks": _HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    "a go-on first": b"HTTP/1.1 100 Continue\r\n\r\n" + _HEAD + b"Content-Length: 5\r\n\r\nhello",
}


def _assembled(pieces: list[bytes], max_body: int = 100) -> HttpAnswer:
    answer = Assembler(max_body)
    for piece in pieces:
        if done := answer.feed(piece):
            return done
    return answer.close()


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_comes_out_the_same_however_it_is_split(kind: str) -> None:
    whole = ANSWERS[kind]
    for cut in range(1, len(whole)):
        assert _assembled([whole[:cut], whole[cut:]]) == HttpAnswer(200, b"hello"), cut
    assert _assembled([bytes((byte,)) for byte in whole]) == HttpAnswer(200, b"hello")


def test_without_a_length_the_close_is_the_end() -> None:
    assert _assembled([_HEAD + b"\r\nhel", b"lo"]) == HttpAnswer(200, b"hello")


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_incomplete_answer_is_never_accepted(kind: str) -> None:
    whole = ANSWERS[kind]
    end = len(whole) - (4 if kind == "chunks" else 0)  # the last chunk's size ends the body; no trailer is waited for
    for cut in range(1, end):
        with pytest.raises((BadHttp, NoAnswer)):
            _assembled([whole[:cut]])


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH\r\n", b"\x16\x03\x01\x02", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1" + b"x" * 20000,
        _HEAD + b"Content-Length: -1\r\n\r\n", _HEAD + b"Content-Length: 99999999999\r\n\r\n",
        _HEAD + b"Content-Length: 101\r\n\r\n", _HEAD + b"\r\n" + bytes(70000),
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", _HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 30 + b"0\r\n\r\n",
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
    ],
)  # fmt: skip
def test_what_is_no_http_or_too_large_is_refused(raw: bytes) -> None:
    with pytest.raises(BadHttp):
        _assembled([raw])


def test_a_promise_of_too_much_is_refused_before_it_comes() -> None:
    with pytest.raises(BadHttp, match="101 bytes are more than 100"):
        Assembler(100).feed(_HEAD + b"Content-Length: 101\r\n\r\n")


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=8), st.sampled_from([b"", _HEAD, *ANSWERS.values()]))
def test_random_bytes_give_an_answer_or_our_errors(pieces: list[bytes], start: bytes) -> None:
    try:
        _assembled([start, *pieces])
    except (BadHttp, NoAnswer):
        pass


def test_addresses_have_the_defaults_of_ipp() -> None:
    assert Address.parse("ipp://192.168.1.50") == Address("192.168.1.50", 631, "/ipp/print", False)
    assert Address.parse("ipps://printer.lan:8631/x").uri == "ipps://printer.lan:8631/x"
    assert Address.parse("ipp://[fe80::1]/ipp").uri == "ipp://[fe80::1]:631/ipp"


@pytest.mark.parametrize(
    "text", ["", "socket://h", "ipp://", "ipp://h:99999", "ipp://h:x/", "ipp://h/a b", "ipp://h/\r\nX: y"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Address.parse(text)
