"""The part of HTTP/1.1 that a printer needs: one request, one answer, one connection (RFC 9112).

`Assembler` uses no socket: bytes in, answer out, so the daemon (asyncio streams), the command line (a blocking socket) and
the tests (any split of the bytes) use the same bounded code.
"""

import asyncio
import contextlib
import re
import socket
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from drivers.reading import YinongError

MAX_HEAD = 16 * 1024
_PORTS = {"ipp": 631, "ipps": 631, "http": 80, "https": 443}


class NoAnswer(YinongError):  # noqa: N818
    """No answer; `code` is the kind: refused, timeout, name, no_route, closed."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code


class BadHttp(YinongError):  # noqa: N818
    """The answer is not HTTP, or incomplete."""


class Address(NamedTuple):
    """Address of an IPP object or a scanner."""

    host: str
    port: int
    path: str
    tls: bool
    unix: str = ""  # path of a unix socket: then host and port are not used

    @classmethod
    def parse(cls, text: str, path: str = "/ipp/print") -> "Address":
        """From `ipp://192.168.1.50/ipp/print`; ports 631 (ipp, ipps), 80 (http), 443 (https). Raises ValueError."""
        parts = urlsplit(text)
        if parts.scheme not in _PORTS or not parts.hostname or re.search(r"[\x00-\x20\x7f]", text):
            raise ValueError(
                f"应如 ipp://192.168.1.50/ipp/print，而不是 {text!r} / "
                f"should look like ipp://192.168.1.50/ipp/print, not {text!r}"
            )
        port = parts.port or _PORTS[parts.scheme]  # a port that is no number raises ValueError too
        return cls(parts.hostname, port, parts.path if parts.path not in ("", "/") else path, parts.scheme[-1] == "s")

    @property
    def uri(self) -> str:
        """The printer-uri of a request."""
        if self.unix:
            return f"ipp://localhost{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ipps' if self.tls else 'ipp'}://{host}:{self.port}{self.path}"


class HttpAnswer(NamedTuple):
    """A complete answer."""

    status: int
    body: bytes


class Assembler:
    """Puts one HTTP answer together from pieces of any size. Raises BadHttp."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._head: tuple[int, dict[str, str]] | None = None
        self._raw = bytearray()  # of the head while it comes, then of the body as it is on the wire

    def feed(self, piece: bytes) -> HttpAnswer | None:
        """The answer once it is complete; None while more must come."""
        self._raw += piece
        while self._head is None:
            if not self._parse_head():
                return None
        status, fields = self._head
        if len(self._raw) > 2 * self._max_body + MAX_HEAD:  # chunks cost some bytes each
            raise BadHttp(f"more than {self._max_body} bytes")
        if "chunked" in fields.get("transfer-encoding", "").lower():
            body = _unchunked(bytes(self._raw))
        elif "content-length" in fields:
            length = self._bounded(_number(fields["content-length"], 10))
            body = bytes(self._raw[:length]) if len(self._raw) >= length else None
        else:  # without a length the body ends when the other side closes
            body = b"" if status in (204, 304) else None
        if body is None:
            return None
        self._bounded(len(body))
        return HttpAnswer(status, body)

    def close(self) -> HttpAnswer:
        """The other side has closed: valid only if it announced neither a length nor chunks."""
        if self._head is None:
            raise BadHttp("closed before the end of the header") if self._raw else NoAnswer("closed")
        status, fields = self._head
        if "content-length" in fields or "transfer-encoding" in fields:
            raise BadHttp("closed before the end of the body")
        return HttpAnswer(status, bytes(self._raw))

    def _parse_head(self) -> bool:
        end = self._raw.find(b"\r\n\r\n")
        if end < 0:
            if len(self._raw) > MAX_HEAD or (self._raw and not b"HTTP/1.".startswith(self._raw[:7])):
                raise BadHttp(f"no HTTP answer: {bytes(self._raw[:20])!r}")
            return False
        lines = bytes(self._raw[:end]).decode("latin-1").split("\r\n")
        del self._raw[: end + 4]
        status = re.match(r"HTTP/1\.[01] (\d{3})(?: |$)", lines[0])
        if status is None:
            raise BadHttp(f"no HTTP answer: {lines[0][:40]!r}")
        if status[1] == "100":  # "go on": the answer follows
            return bool(self._raw)
        fields = (line.partition(":") for line in lines[1:])
        self._head = int(status[1]), {name.strip().lower(): value.strip() for name, _, value in fields}
        return True

    def _bounded(self, length: int) -> int:
        if length > self._max_body:
            raise BadHttp(f"{length} bytes are more than {self._max_body}")
        return length


def _unchunked(raw: bytes) -> bytes | None:
    """The body of all chunks (RFC 9112 section 7.1), None while some are missing; trailers are not waited for."""
    body, at = bytearray(), 0
    while (end := raw.find(b"\r\n", at)) >= 0:
        length = _number(raw[at:end].decode("latin-1").partition(";")[0].strip(), 16)
        if length == 0:
            return bytes(body)
        if len(raw) < end + 2 + length + 2:
            return None
        if raw[end + 2 + length : end + 4 + length] != b"\r\n":
            raise BadHttp("a chunk is longer than it says")
        body += raw[end + 2 : end + 2 + length]
        at = end + 4 + length
    if len(raw) - at > 1024:
        raise BadHttp("a chunk without its length")
    return None


def _number(text: str, base: int) -> int:
    if not re.fullmatch(r"[0-9A-Fa-f]{1,8}", text) or (base == 10 and not text.isdecimal()):
        raise BadHttp(f"no length: {text[:20]!r}")
    return int(text, base)


def _encode_request(method: str, address: Address, body: bytes) -> bytes:
    host = f"[{address.host}]" if ":" in address.host else address.host
    head = f"{method} {address.path} HTTP/1.1\r\nHost: {host}:{address.port}\r\nConnection: close\r\n"
    head += "User-Agent: yinong-agent\r\n"
    if method == "POST":
        head += f"Content-Type: application/ipp\r\nContent-Length: {len(body)}\r\n"
    return head.encode("ascii", "replace") + b"\r\n" + body


async def request(method: str, address: Address, body: bytes, *, budget_s: float, max_body: int) -> HttpAnswer:
    """One request over asyncio streams. Raises NoAnswer, BadHttp; ends after `budget_s`."""
    writer: asyncio.StreamWriter | None = None
    answer = Assembler(max_body)
    try:
        async with asyncio.timeout(budget_s):
            reader, writer = await _connect(address)
            writer.write(_encode_request(method, address, body))
            while piece := await reader.read(65536):
                if done := answer.feed(piece):
                    return done
            return answer.close()
    except OSError as error:  # TimeoutError, gaierror and ssl.SSLError are OSErrors too
        raise _no_answer(error) from None
    finally:
        if writer is not None:
            writer.transport.abort()  # an orderly close would wait for a printer that hangs


async def _connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.unix:
        return await asyncio.open_unix_connection(address.unix)
    return await asyncio.open_connection(address.host, address.port, ssl=_context() if address.tls else None)


def _context() -> object:
    """TLS without verification: printers sign their own certificates, and no secret is sent."""
    import ssl  # expensive, and needed only for ipps

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def request_unix_blocking(path: Path, request_path: str, body: bytes, *, budget_s: float, max_body: int) -> HttpAnswer:
    """One POST over a unix socket, blocking, for the command line's `devices`. Raises NoAnswer, BadHttp."""
    answer = Assembler(max_body)
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as link:
            link.settimeout(budget_s)
            link.connect(str(path))
            link.sendall(_encode_request("POST", Address("localhost", 631, request_path, False), body))
            while piece := link.recv(65536):
                if done := answer.feed(piece):
                    return done
            return answer.close()
    except OSError as error:
        raise _no_answer(error) from None


def _no_answer(error: OSError) -> NoAnswer:
    if isinstance(error, TimeoutError):
        return NoAnswer("timeout")
    if isinstance(error, ConnectionRefusedError):
        return NoAnswer("refused")
    if isinstance(error, socket.gaierror):
        return NoAnswer("name", str(error))
    if isinstance(error, ConnectionError):
        return NoAnswer("closed", str(error))
    return NoAnswer("tls" if type(error).__module__ == "ssl" else "no_route", str(error))
