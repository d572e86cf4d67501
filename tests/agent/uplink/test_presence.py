"""How the configuration becomes a connection; and that a link that cannot connect shows a reason and keeps running."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from support.one_station import RecordedState

from agent.configuration.settings import Broker, Settings, Station
from agent.uplink.connection import Connection
from agent.uplink.link import Link, LinkState
from agent.uplink.presence import broker_address, commands_allowed, connect_options, tls_factory
from agent.uplink.tls import TlsFileError
from common.mqtt.errors import LinkLost
from common.mqtt.session import BrokerAddress, ConnectOptions

STATION = Station(division="450225", number="桂BRS0001B")
NAME = "450225-GXBRS0001B-1"


def settings(**broker: Any) -> Settings:
    return Settings(station=STATION, broker=Broker(**{"host": "192.0.2.1", **broker}))


def address_of(settings: Settings, password: str | None) -> BrokerAddress:
    """With a good clock: the dates of certificates are checked."""
    return broker_address(settings, password, tls_factory(settings, None, lambda: None))


def test_one_name_everywhere_and_a_client_id_that_clones_do_not_share() -> None:
    address, session = address_of(settings(), "secret"), connect_options(settings(), "0123456789ab", b"will")
    assert (address.username, session.client_id) == (NAME, f"{NAME}.01234567")
    assert session.will is not None
    assert (session.will.topic, session.will.payload, session.will.delay_s) == (f"yinong/1/{NAME}/state", b"will", 120)
    assert session.expiry_s >= session.will.delay_s
    assert not session.clean_start


@pytest.mark.parametrize(
    ("broker", "password", "key", "yes"),
    [
        ({}, None, None, False),
        ({}, "secret", None, True),
        ({}, None, Path("/key"), True),
        ({"tls": False}, "secret", None, False),
        ({"tls": False, "host": "127.0.0.1"}, None, None, True),
        ({"tls": False, "host": "localhost"}, None, None, True),
        ({"tls": False, "host": "::1"}, None, None, True),
        ({"tls": False, "host": "127.0.0.1.example.org"}, None, None, False),
        ({"tls": False, "host": "localhost.example.org"}, None, None, False),
    ],
)
def test_commands_are_accepted_over_authenticated_tls_or_loopback_only(
    broker: dict[str, Any], password: str | None, key: Path | None, yes: bool
) -> None:
    assert commands_allowed(settings(**broker), password, key) is yes


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\xfe\0"])
def test_a_certificate_file_that_cannot_be_used_is_one_of_our_errors(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    address = address_of(settings(ca_file=str(file)), None)
    assert address.tls is not None
    with pytest.raises(TlsFileError):
        address.tls()


SESSION = connect_options(settings(), "0123456789ab", b"")


def _impossible(tmp_path: Path) -> list[tuple[str, BrokerAddress]]:
    bad_file = address_of(settings(ca_file=str(tmp_path / "none")), None)
    plain = address_of(settings(tls=False), None)
    return [
        ("certificate", bad_file),
        ("label", plain._replace(host="a..b")),
        ("idna", plain._replace(host="x" * 64 + ".example.org")),
        ("codec", plain._replace(host="\udcff")),
        ("refused", plain._replace(host="127.0.0.1", port=1)),
    ]


async def test_what_can_never_connect_is_a_reason(tmp_path: Path) -> None:
    for why, address in _impossible(tmp_path):
        with pytest.raises(LinkLost, match=why):
            await Connection.connect(address, SESSION, lambda _: None)


async def test_the_link_shows_the_reason_and_keeps_trying(tmp_path: Path, clock: Any, until: Any) -> None:
    address = _impossible(tmp_path)[0][1]
    tries: list[int] = []
    state = RecordedState(LinkState.at_start(clock))

    def options(connection: int) -> ConnectOptions:
        tries.append(connection)
        return SESSION

    async def on_birth(_link: Link) -> None: ...

    link = Link(NAME, clock, address, options, on_birth, lambda _: None, state, rng=random.Random(1))
    task = asyncio.create_task(link.run())
    for n in range(1, 4):
        await until(lambda n=n: len(tries) >= n and clock._sleepers)
        assert link.state.why == "certificate_unusable"
        await clock.advance(120)
    await until(lambda: len(tries) >= 4)
    task.cancel()
    assert len(state.states) == 1, "the same reason is reported once"
