"""No bytes of a server and no address crash the reader: an answer, or our own error."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.catalogue import reason_codes
from drivers.reading import YinongError
from drivers.web_page.driver import reading_of
from drivers.web_page.fetch import MAX_BODY, Answer, BadAnswerError, NoAnswerError, read_answer
from drivers.web_page.page import contains, text_of, title_of
from drivers.web_page.url import parse_url, redirect_target

PIECES = [b"HTTP/1.1 200 OK\r\n",
          b"HTTP/1.0 302 \r\n", b"HTTP/1.1 100 \r\n", b"Transfer-Encoding: chunked\r\n",
          b"Content-Length: 5\r\n", b"Content-Encoding: gzip\r\n",
          b"Content-Type: text/html; charset=gbk\r\n", b"\r\n",
          b"5\r\nabcde\r\n", b"0\r\n", b"ffffffffffff\r\n", b"<title>", b"</title>", b"<meta charset=utf-16>",
          b"&#99999999;", b"\x1f\x8b"]  # fmt: skip
STREAM = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=20)), max_size=12).map(b"".join)
HEADED = STREAM.map(lambda rest: PIECES[0] + rest)


async def _read(data: bytes) -> Answer:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await read_answer(reader)


@settings(max_examples=300, deadline=None)
@given(st.one_of(STREAM, HEADED))
def test_any_bytes_are_an_answer_or_our_error(data: bytes) -> None:
    try:
        answer = asyncio.run(_read(data))
    except (BadAnswerError, NoAnswerError) as error:
        assert isinstance(error, YinongError)
        return
    assert len(answer.body) <= MAX_BODY
    reading = reading_of(parse_url("http://a.cn/"), answer, "培科村", ["http://a.cn/"], 1.0)
    assert reading.reason.code in reason_codes("web_page")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.text(max_size=40), st.booleans())
def test_any_page_has_a_text(body: bytes, content_type: str, whole: bool) -> None:
    text, _ = text_of(body, content_type, whole)
    title = title_of(text)
    assert title is None or (title.isprintable() and len(title) <= 80)
    contains(text, "培科村")


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(max_size=60), st.text(alphabet="htps:/[]@.%?#-x1\\ 村", max_size=40).map(lambda t: "http://" + t))
)
def test_any_address_is_accepted_or_refused_with_a_value_error(address: str) -> None:
    for ask in (lambda: parse_url(address), lambda: redirect_target(parse_url("http://a.cn/b"), address)):
        try:
            url = ask()
        except ValueError:
            continue
        line = f"GET {url.target} HTTP/1.1\r\nHost: {url.host_header}"
        assert line.isascii()
        assert line.count("\r\n") == 1
        assert " " not in url.target + url.host_header


@pytest.mark.parametrize(
    "body", [b"<title" * 40_000, b"&" * 260_000, b"charset=" * 30_000, b"<title>" + b"&#38;" * 50_000]
)
def test_long_pages_of_nothing_but_beginnings_take_no_time(body: bytes) -> None:
    async def timed() -> float:
        loop = asyncio.get_running_loop()
        before = loop.time()
        text, _ = text_of(body, "text/html", True)
        title_of(text)
        contains(text, "培科村")
        return loop.time() - before

    assert asyncio.run(timed()) < 2  # a second pass for every beginning would take minutes
