"""One HTTP/1.1 GET (RFC 9112) over a connection of its own: no proxy, no cookie, all sizes limited.

The other side may be anything: a captive portal, a broken server, an attacker. An invalid answer becomes BadAnswerError,
and no more than `MAX_BODY` and `MAX_HEAD` bytes are stored. The caller limits the time.
"""

import asyncio
import re
from typing import NamedTuple

from drivers.reading import YinongError
from drivers.web_page.url import Url

MAX_BODY = 256 * 1024
MAX_HEAD = 32 * 1024
_MAX_CHUNKS = 10_000  # a page in chunks of one byte is an attack on the processor
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: .*)?", re.DOTALL)


class BadAnswerError(YinongError):
    """The answer is not valid HTTP; the text states what was wrong."""


class NoAnswerError(YinongError):
    """The connection was closed before the first line."""


class BadCertificateError(YinongError):
    """The server's certificate was rejected."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code  # X509_V_ERR_* of OpenSSL


class TlsFailedError(YinongError):
    """The TLS handshake with this server failed."""


class Answer(NamedTuple):
    """A server's answer."""

    status: int
    headers: dict[str, str]  # names in lower case; of repeated ones the last
    body: bytes = b""
    long: bool = False  # there was more than MAX_BODY
    cut: bool = False  # the connection ended before the body did
    rtt_ms: float = 0.0  # from the request to the first line: a round trip and the server's own time


async def get(url: Url) -> Answer:
    """Ask for the page. Errors: OSError (gaierror: no such name) and the four errors above."""
    reader, writer = await _connected(url)
    try:
        asked = asyncio.get_running_loop().time()
        writer.write(
            f"GET {url.target} HTTP/1.1\r\nHost: {url.host_header}\r\nUser-Agent: yinong-agent\r\n"
            "Accept: text/html,*/*;q=0.5\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        return await read_answer(reader, asked)
    finally:
        writer.transport.abort()  # nothing is left to send, and a TLS shutdown can block


async def _connected(url: Url) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if not url.https:
        return await asyncio.open_connection(url.host, url.port, limit=MAX_HEAD, happy_eyeballs_delay=0.25)
    import ssl

    try:
        return await asyncio.open_connection(
            url.host, url.port, limit=MAX_HEAD, happy_eyeballs_delay=0.25, ssl=ssl.create_default_context()
        )
    except ssl.SSLCertVerificationError as error:
        raise BadCertificateError(error.verify_code, error.verify_message) from None
    except ssl.SSLError as error:
        raise TlsFailedError(error.reason or "TLS") from None


async def read_answer(reader: asyncio.StreamReader, asked: float = 0.0) -> Answer:
    """Read one answer off a stream; `asked` is the loop's time of the request. Errors: NoAnswerError, BadAnswerError, OSError."""
    for _ in range(5):  # interim answers (100-199) come before the final one
        status = await _status(reader)
        rtt_ms = round((asyncio.get_running_loop().time() - asked) * 1000, 1)
        headers = await _headers(reader)
        if status >= 200:
            break
    else:
        raise BadAnswerError("interim answers without end")
    if status in (204, 304):
        return Answer(status, headers, rtt_ms=rtt_ms)
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body, long, cut = await _chunked(reader)
    else:
        body, long, cut = await _plain(reader, headers.get("content-length"))
    return Answer(status, headers, _decompressed(body, headers, long or cut), long, cut, rtt_ms)


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        line = await reader.readline()
    except ValueError:  # longer than the reader's limit
        raise BadAnswerError("a line without end") from None
    if not line.endswith(b"\n"):
        raise BadAnswerError("cut short") if line else NoAnswerError("closed")
    return line.rstrip(b"\r\n")


async def _status(reader: asyncio.StreamReader) -> int:
    match = _STATUS.fullmatch(await _line(reader))
    if not match or not 100 <= int(match[1]) <= 599:
        raise BadAnswerError("not an HTTP answer")
    return int(match[1])


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    """Up to the empty line; lines that are not headers are ignored, as in browsers."""
    headers: dict[str, str] = {}
    size = 0
    while True:
        try:
            line = await _line(reader)
        except NoAnswerError:
            raise BadAnswerError("cut short") from None
        if not line:
            return headers
        size += len(line) + 2
        if size > MAX_HEAD:
            raise BadAnswerError("headers without end")
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.decode("latin-1").strip().lower()] = _decoded(value).strip()


def _decoded(value: bytes) -> str:
    """Headers are ASCII; raw UTF-8 that a server puts into a Location is decoded as UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def _plain(reader: asyncio.StreamReader, length: str | None) -> tuple[bytes, bool, bool]:
    """A body of a known length, or up to the end of the connection: (body, longer than MAX_BODY, cut short)."""
    if length is None:
        body = await _read_at_most(reader, MAX_BODY + 1)
        return body[:MAX_BODY], len(body) > MAX_BODY, False
    if not re.fullmatch(r"[0-9]{1,15}", length):
        raise BadAnswerError("a length that is no number")
    wanted = min(int(length), MAX_BODY)
    body = await _read_at_most(reader, wanted)
    return body, int(length) > MAX_BODY, len(body) < wanted


async def _read_at_most(reader: asyncio.StreamReader, size: int) -> bytes:
    body = bytearray()
    while len(body) < size and (piece := await reader.read(size - len(body))):
        body += piece
    return bytes(body)


async def _chunked(reader: asyncio.StreamReader) -> tuple[bytes, bool, bool]:
    """A body in chunks (RFC 9112 section 7.1); extensions and trailers are ignored."""
    body = bytearray()
    try:
        for _ in range(_MAX_CHUNKS):
            word = (await _line(reader)).split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", word):
                raise BadAnswerError("a chunk without a size")
            size, room = int(word, 16), MAX_BODY - len(body)
            if size == 0:
                return bytes(body), False, False
            piece = await _read_at_most(reader, min(size, room))
            body += piece
            if len(piece) < min(size, room):
                return bytes(body), False, True
            if size > room:
                return bytes(body), True, False
            if await _line(reader):
                raise BadAnswerError("a chunk longer than its size")
    except NoAnswerError:
        return bytes(body), False, True
    raise BadAnswerError("chunks without end")


def _decompressed(body: bytes, headers: dict[str, str], part: bool) -> bytes:
    """gzip and deflate although not requested: some servers send nothing else. Limited like the body."""
    coding = headers.get("content-encoding", "").lower()
    if coding in ("", "identity") or not body:
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise BadAnswerError(f"packed as {coding[:20]}, which was not asked for")
    import zlib

    unpacker = zlib.decompressobj(47 if "gzip" in coding else 15)
    try:
        unpacked = unpacker.decompress(body, MAX_BODY)
    except zlib.error:
        raise BadAnswerError(f"not packed as {coding}, as it says") from None
    if not unpacker.eof and not part and len(unpacked) < MAX_BODY:
        raise BadAnswerError("packed, and cut short")
    return unpacked
