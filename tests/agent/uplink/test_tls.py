"""TLS to a real broker: the pinned authority, names, dates, and a terminal whose clock is dead."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.broker import Broker, Tls
from support.certificates import DAY, NOW, Authority, Pair

from agent.configuration.settings import Broker as BrokerSection
from agent.configuration.settings import Settings, Station
from agent.uplink.connection import Connection
from agent.uplink.presence import broker_address, connect_options, tls_factory
from agent.uplink.tls import expired_before
from common.clock import EARLIEST
from common.mqtt.errors import LinkLost, Rejected

NAME = "450225-GXBRS0001B-1"
SETTINGS = Settings(station=Station(division="450225", number="桂BRS0001B"), broker=BrokerSection(host="127.0.0.1"))
FLOOR = NOW - 100 * DAY  # when the terminal last ran; its clock is dead now
EXPIRED = (NOW - 90 * DAY, NOW - 10 * DAY)  # after the floor
LONG_EXPIRED = (NOW - 800 * DAY, NOW - 110 * DAY)  # before it
NOT_YET = (NOW + 10 * DAY, NOW + 800 * DAY)  # as seen by a clock that is behind


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def listening(folder: Path, authority: Authority, server: Pair, *, by_certificate: bool = False) -> Iterator[Broker]:
    """mosquitto with the county's listener as shipped; the terminal has its password."""
    broker = Broker(folder, tls=Tls(authority.file, server.cert, server.key, by_certificate))
    broker.add_user(NAME, "geheim")
    with broker:
        yield broker


async def attempt(
    broker: Broker,
    ca: Path,
    *,
    after: datetime | None = None,
    host: str = "127.0.0.1",
    password: str | None = "geheim",
    own: Pair | None = None,
) -> str:
    """One connection as the daemon makes it, to its first publication; "" if it works, else the reason."""
    given: dict[str, Any] = {"host": host, "port": broker.tls_port, "ca_file": str(ca), "connect_timeout_s": 5}
    if own:
        given |= {"cert_file": str(own.cert), "key_file": str(own.key)}
    settings = Settings(station=SETTINGS.station, broker=BrokerSection(**given))
    address = broker_address(settings, password, tls_factory(settings, own.key if own else None, lambda: after))
    try:
        connection = await Connection.connect(address, connect_options(settings, "0123456789ab", b"{}"), lambda _: None)
    except (LinkLost, Rejected) as error:
        return str(error)
    code = await connection.publish(f"yinong/1/{NAME}/state", b"{}", qos=1)
    connection.close()
    assert code == 0x10, "no subscribers: it arrived"
    return ""


async def test_a_password_over_tls(tmp_path: Path, authority: Authority) -> None:
    with listening(tmp_path, authority, authority.server()) as broker:
        assert await attempt(broker, authority.file) == ""
        assert "not authorized" in (await attempt(broker, authority.file, password="falsch")).lower()


async def test_a_certificate_of_the_terminals_own(tmp_path: Path, authority: Authority) -> None:
    with listening(tmp_path, authority, authority.server(), by_certificate=True) as broker:
        assert await attempt(broker, authority.file, password=None, own=authority.terminal(NAME)) == ""


async def test_a_terminals_own_certificate_that_the_broker_rejects_is_shown(
    tmp_path: Path, authority: Authority
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "other")
    with listening(tmp_path, authority, authority.server(), by_certificate=True) as broker:
        for own, shown in (
            (None, "the broker wants a certificate of this terminal"),
            (stranger.terminal(NAME), "the broker does not know the authority of this terminal's certificate"),
            (authority.terminal(NAME, EXPIRED), "this terminal's certificate has expired"),
        ):
            # with TLS 1.3 the answer comes after the handshake, and the end of the connection with it
            for _ in range(10):
                assert shown in await attempt(broker, authority.file, password=None, own=own)


@pytest.mark.parametrize("after", [None, FLOOR], ids=["clock good", "clock dead"])
async def test_another_authority_and_another_name_are_rejected_whatever_the_clock(
    tmp_path: Path, authority: Authority, after: datetime | None
) -> None:
    """Also if the other authority has the same name and the certificate is within its dates."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "county")
    with listening(tmp_path, authority, authority.server()) as broker:
        assert "不是本县签发的 / the broker's certificate is not from the county's authority" in await attempt(
            broker, other.file, after=after
        )
    with listening(tmp_path / "b", authority, authority.server("broker.example.org")) as broker:
        assert "for another" in await attempt(broker, authority.file, after=after)
    with listening(tmp_path / "c", authority, authority.terminal(NAME)) as broker:
        assert "not for a server" in await attempt(broker, authority.file, after=after)


@pytest.mark.parametrize(
    ("times", "good", "dead"),
    [
        (None, "", ""),
        (EXPIRED, "has expired", ""),
        (LONG_EXPIRED, "has expired", "a certificate expired before"),
        (NOT_YET, "not valid yet", ""),
    ],
    ids=["in its time", "expired after the floor", "expired before the floor", "not valid yet"],
)
async def test_times_of_the_brokers_certificate_with_a_good_clock_and_with_a_dead_one(
    tmp_path: Path, authority: Authority, times: Any, good: str, dead: str
) -> None:
    server = authority.server(times=times) if times else authority.server()
    with listening(tmp_path, authority, server) as broker:
        for after, expected in ((None, good), (FLOOR, dead), (None, good)):
            why = await attempt(broker, authority.file, after=after)
            assert (expected in why) if expected else (why == ""), why


@pytest.mark.parametrize("which", ["authority", "intermediate"])
async def test_the_floor_applies_to_the_whole_chain(tmp_path: Path, which: str) -> None:
    root = Authority(tmp_path, "root", LONG_EXPIRED if which == "authority" else (NOW - DAY, NOW + DAY))
    between = root.under("between", LONG_EXPIRED if which == "intermediate" else (NOW - DAY, NOW + DAY))
    with listening(tmp_path, root, between.server()) as broker:
        why = await attempt(broker, root.file, after=FLOOR)
        assert "a certificate expired before" in why
        assert ("root" if which == "authority" else "between") in why
        assert await attempt(broker, root.file, after=NOW - 200 * DAY) == ""


async def test_below_the_floor_nothing_is_sent_to_the_broker(tmp_path: Path, authority: Authority, until: Any) -> None:
    """Neither CONNECT nor the password in it."""
    server = authority.server(times=LONG_EXPIRED)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert, server.key)
    received: list[bytes] = []

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            received.append(await reader.read(4096))
        writer.close()

    listening = await asyncio.start_server(receive, "127.0.0.1", 0, ssl=context)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        for after in (FLOOR, NOW - 200 * DAY):
            given = BrokerSection(host="127.0.0.1", port=port, ca_file=str(authority.file))
            settings = Settings(station=SETTINGS.station, broker=given)
            address = broker_address(settings, "geheim", tls_factory(settings, None, lambda after=after: after))
            with pytest.raises((LinkLost, Rejected)):
                await Connection.connect(address, connect_options(settings, "0123456789ab", b"{}"), lambda _: None)
        await until(lambda: any(b"geheim" in data for data in received))
    assert [data for data in received if data] == [data for data in received if b"geheim" in data][-1:]


async def test_a_connection_accepted_without_a_date_check_is_checked_once_the_time_is_known(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path, times=(NOW - 800 * DAY, NOW + 800 * DAY))
    with listening(tmp_path, authority, authority.server(times=EXPIRED)) as broker:
        given = BrokerSection(host="127.0.0.1", port=broker.tls_port, ca_file=str(authority.file))
        settings = Settings(station=SETTINGS.station, broker=given)
        tls = tls_factory(settings, None, lambda: FLOOR)
        assert tls is not None and not tls.outside_validity(NOW), "there is no connection"
        address = broker_address(settings, "geheim", tls)
        connection = await Connection.connect(address, connect_options(settings, "0123456789ab", b"{}"), lambda _: None)
        assert tls.outside_validity(NOW)
        assert not tls.outside_validity(EXPIRED[0] + DAY)
        connection.close()


def test_the_floor_in_words() -> None:
    chain = [{"subject": ((("commonName", "broker"),),), "notAfter": "Nov 24 00:00:00 2026 GMT"}]
    assert expired_before(EARLIEST, chain) == "broker, 2026-11-24 < 2026-11-25"
    assert expired_before(datetime(2026, 11, 24, tzinfo=UTC), chain) == ""
    assert (
        expired_before(EARLIEST, [{"subject": (), "notAfter": "Nov 24 00:00:00 2026 GMT"}])
        == "?, 2026-11-24 < 2026-11-25"
    )
