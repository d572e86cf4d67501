"""Names, routes and kernel files: real name servers on loopback, and invalid bytes."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.broadband.names import address_in, ask_server
from drivers.broadband.nic import default_routes, interfaces, read_nic, uptime_s
from drivers.broadband.probes import Target


@contextlib.asynccontextmanager
async def name_server(*tails: bytes, forged: bytes = b"") -> AsyncIterator[int]:
    """Answers each question with the question's header marked as an answer, its question, and `tail`."""

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            if forged:
                self.transport.sendto(forged, addr)
            for tail in tails:
                self.transport.sendto(data[:2] + b"\x81\x80\0\1\0\2\0\0\0\0" + data[12:] + tail, addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Server, ("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


CNAME = b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\4\1x\xc0\x0c"
ADDRESS = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7"


async def test_a_name_server_is_queried_and_an_alias_followed_to_its_address() -> None:
    async with name_server(CNAME + ADDRESS, forged=b"\0\0 forged") as port:
        found = await ask_server("county.example", "127.0.0.1", port, 2)
    assert found is not None and found.address == "192.0.2.7" and found.dns_ms is not None


@pytest.mark.parametrize("tail", [b"", CNAME, CNAME + ADDRESS[:-1]])
async def test_an_answer_without_address_or_cut_short_is_no_address(tail: bytes) -> None:
    async with name_server(tail) as port:
        assert await ask_server("county.example", "127.0.0.1", port, 2) is None


async def test_a_dead_name_server_is_waited_for_no_longer_than_its_timeout() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        assert await ask_server("county.example", "127.0.0.1", silent.getsockname()[1], 0.05) is None
    for name in ("", "a..b", "x" * 64 + ".cn", "\ud800"):
        assert await ask_server(name, "127.0.0.1", 9, 0.05) is None


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"\0\1\x81\x80\0\1\0\3\0\0\0\0" + tail))
def test_any_bytes_are_an_address_or_refused(answer: bytes) -> None:
    with contextlib.suppress(ValueError):
        address = address_in(answer)
        assert address is None or socket.inet_aton(address)


WORDS = st.binary(max_size=40) | st.lists(
    st.sampled_from([b"eth0", b"00000000", b"0100007F", b"0003", b"0", b"\xff", b"-1", b"zz"]), max_size=12
).map(b"\t".join)


@given(route=WORDS, number=WORDS, wireless=WORDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_kernel_file_is_read_without_a_crash(terminal: Any, route: bytes, number: bytes, wireless: bytes) -> None:
    root: Path = terminal.root
    (root / "proc/net/route").write_bytes(b"head\n" + route)
    (root / "proc/net/wireless").write_bytes(b"eth0: 0000 " + wireless)
    (root / "sys/class/net/eth0/wireless").mkdir(exist_ok=True)
    for name in ("speed", "mtu", "statistics/rx_bytes", "carrier", "operstate"):
        (root / "sys/class/net/eth0" / name).write_bytes(number)
    (root / "proc/uptime").write_bytes(number)
    assert isinstance(default_routes(root), list) and isinstance(interfaces(root), list)
    assert read_nic(root, "eth0") is not None
    uptime_s(root)


@given(st.text(max_size=40))
def test_any_words_are_a_target_or_refused(words: str) -> None:
    with contextlib.suppress(ValueError):
        target = Target.parse(words)
        assert target.host and (target.port is None or 1 <= target.port <= 65535)
