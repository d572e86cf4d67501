"""Does a host answer, and how fast: an unprivileged ping, or the time of a TCP connect.

A refused connection is an answer: the host is alive. A probe never raises: an error is an outcome.
"""

import asyncio
import errno
import os
import re
import secrets
import socket
from pathlib import Path
from typing import NamedTuple

from drivers.broadband.names import resolve
from drivers.reading import Evidence

_TARGET = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z._-]+))(?::([0-9]{1,5}))?")
_PORTS = (80, 53)  # a home router accepts or refuses these: both are an answer
_ECHO, _ECHO_REPLY = 8, 0  # RFC 792


class Target(NamedTuple):
    """A host, and a port if one was given."""

    host: str
    port: int | None

    @classmethod
    def parse(cls, words: str) -> "Target":
        """From `host`, `host:port`, `[v6]` or `[v6]:port`. Raises ValueError."""
        match = _TARGET.fullmatch(words)
        port = int(match[3]) if match and match[3] else None
        if not match or (port is not None and not 1 <= port <= 65535):
            raise ValueError(
                f"应写明主机和端口，如 223.5.5.5:53 / host:port expected, as in 223.5.5.5:53, not {words!r}"
            )
        return cls(match[1] or match[2], port)


class Answer(NamedTuple):
    """The result of a probe; `rtt_ms` is None if the host was silent."""

    target: str
    method: str  # "icmp echo", "tcp connect"
    rtt_ms: float | None
    outcome: str  # "answered", "refused", "timed out", the errno's name, "name not resolved"
    dns_ms: float | None = None

    @property
    def alive(self) -> bool:
        return self.rtt_ms is not None

    @property
    def evidence(self) -> Evidence:
        raw: dict[str, str | float | None] = {"rtt_ms": self.rtt_ms, "outcome": self.outcome}
        if self.dns_ms is not None:
            raw["dns_ms"] = self.dns_ms
        return Evidence(self.method, self.target, raw)


async def probe(words: str, root: Path, timeout_s: float) -> Answer:
    """One probe of `host:port` (TCP connect to that port) or `host` (ping if permitted, else TCP connect)."""
    target = Target.parse(words)
    found = await resolve(target.host, root, timeout_s)
    if found is None:
        return Answer(words, "dns", None, "name not resolved")
    if target.port is not None:
        answer = await _connect(words, found.address, target.port, timeout_s)
    else:
        answer = await _reach(words, found.address, timeout_s)
    return answer._replace(dns_ms=found.dns_ms)


async def _reach(words: str, address: str, timeout_s: float) -> Answer:
    answer = await _ping(words, address, timeout_s / 2) if ":" not in address else None
    if answer and answer.alive:
        return answer
    left_s = timeout_s / 2 if answer else timeout_s
    for port in _PORTS:
        answer = await _connect(words, address, port, left_s / len(_PORTS))
        if answer.alive:
            return answer
    return answer or Answer(words, "tcp connect", None, "timed out")


async def _connect(words: str, address: str, port: int, timeout_s: float) -> Answer:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    outcome = "answered"
    with socket.socket(family, socket.SOCK_STREAM) as tcp:
        tcp.setblocking(False)
        started = loop.time()
        try:
            async with asyncio.timeout(timeout_s):
                await loop.sock_connect(tcp, (address, port))
        except ConnectionRefusedError:
            outcome = "refused"
        except TimeoutError:
            return Answer(words, "tcp connect", None, "timed out")
        except OSError as error:
            return Answer(words, "tcp connect", None, errno.errorcode.get(error.errno or 0, "failed"))
        return Answer(words, "tcp connect", round((loop.time() - started) * 1000, 2), outcome)


async def _ping(words: str, address: str, timeout_s: float) -> Answer | None:
    """ICMP echo on a datagram socket; None if net.ipv4.ping_group_range does not permit it (icmp(7))."""
    loop = asyncio.get_running_loop()
    try:
        icmp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    except OSError:
        return None
    cookie = secrets.token_bytes(16)
    with icmp:
        icmp.setblocking(False)
        started = loop.time()
        try:
            icmp.connect((address, 0))
            async with asyncio.timeout(timeout_s):
                await loop.sock_sendall(icmp, bytes((_ECHO, 0, 0, 0, 0, 0, 0, 1)) + cookie)
                while True:
                    received = await loop.sock_recv(icmp, 256)
                    if received[:1] == bytes((_ECHO_REPLY,)) and received[8:] == cookie:
                        return Answer(words, "icmp echo", round((loop.time() - started) * 1000, 2), "answered")
        except TimeoutError:
            return Answer(words, "icmp echo", None, "timed out")
        except OSError as error:
            return Answer(words, "icmp echo", None, os.strerror(error.errno or 0))
