"""Host names to addresses without a thread: `getaddrinfo` blocks, and a dead name server must not block the daemon.

The hosts file, then one query for the A record to each name server of resolv.conf (RFC 1035). Deliberately not supported: search
domains, IPv6, mDNS. Instead of a name that needs those, write an address in agent.toml.
"""

import asyncio
import secrets
import socket
from pathlib import Path
from typing import NamedTuple

from drivers.broadband.nic import text

_A, _IN = 1, 1  # RFC 1035, 3.2.2 and 3.2.4
_POINTER = 0xC0  # RFC 1035, 4.1.4


class Resolved(NamedTuple):
    """An address, and how long the name server took; None if no server was queried."""

    address: str
    dns_ms: float | None = None


async def resolve(host: str, root: Path, timeout_s: float) -> Resolved | None:
    """The first IPv4 address of `host`; None if no name server returns one within `timeout_s`."""
    if is_address(host):
        return Resolved(host)
    if known := _from_hosts(host, root):
        return Resolved(known)
    servers = _servers(root)
    for server in servers:
        if found := await ask_server(host, server, 53, timeout_s / len(servers)):
            return found
    return None


def is_address(host: str) -> bool:
    """Whether `host` is a numeric IPv4 or IPv6 address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False


async def ask_server(host: str, server: str, port: int, timeout_s: float) -> Resolved | None:
    """One A query over UDP; None if no answer with an address comes in time."""
    loop = asyncio.get_running_loop()
    number = secrets.randbelow(1 << 16)
    try:
        question = _question(host, number)
        with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.setblocking(False)
            udp.connect((server, port))
            asked = loop.time()
            async with asyncio.timeout(timeout_s):
                await loop.sock_sendall(udp, question)
                while True:  # an answer to an earlier query, or a forged one, is ignored
                    answer = await loop.sock_recv(udp, 4096)
                    if answer[:2] == question[:2]:
                        break
        address = address_in(answer)
    except (OSError, ValueError):  # a TimeoutError is an OSError
        return None
    return Resolved(address, round((loop.time() - asked) * 1000, 2)) if address else None


def address_in(answer: bytes) -> str | None:
    """The first A record of a DNS answer (RFC 1035, 4.1); None if it contains none. Raises ValueError if it is not an answer."""
    if len(answer) < 12 or not answer[2] & 0x80:
        raise ValueError("not a DNS answer")
    questions, answers = int.from_bytes(answer[4:6], "big"), int.from_bytes(answer[6:8], "big")
    at = 12
    for _ in range(questions):
        at = _after_name(answer, at) + 4
    for _ in range(answers):
        at = _after_name(answer, at)
        if at + 10 > len(answer):
            raise ValueError("DNS answer cut short")
        kind, of_class = int.from_bytes(answer[at : at + 2], "big"), int.from_bytes(answer[at + 2 : at + 4], "big")
        length = int.from_bytes(answer[at + 8 : at + 10], "big")
        at += 10
        if (kind, of_class, length) == (_A, _IN, 4) and at + 4 <= len(answer):
            return socket.inet_ntoa(answer[at : at + 4])
        at += length
    return None


def _after_name(answer: bytes, at: int) -> int:
    while at < len(answer):
        if answer[at] & _POINTER == _POINTER:
            return at + 2
        if answer[at] == 0:
            return at + 1
        at += answer[at] + 1
    raise ValueError("DNS name cut short")


def _question(host: str, number: int) -> bytes:
    labels = [label.encode("idna") for label in host.rstrip(".").split(".")]
    if not all(0 < len(label) < 64 for label in labels):
        raise ValueError("not a host name")
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    flags = b"\x01\x00"  # recursion desired
    return number.to_bytes(2, "big") + flags + b"\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1"


def _from_hosts(host: str, root: Path) -> str | None:
    for line in (text(root / "etc/hosts") or "").splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if host in names and is_address(address):
            return address
    return None


def _servers(root: Path) -> list[str]:
    lines = [line.split() for line in (text(root / "etc/resolv.conf") or "").splitlines()]
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver" and is_address(words[1])][:2]
