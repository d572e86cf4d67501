"""The link under faults: brokers that reject, lines that go dead, terminals with one identity. With real sockets."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.broker import Broker
from support.fake_broker import (
    MAXIMUM_PACKET_SIZE,
    MAXIMUM_QOS,
    RECEIVE_MAXIMUM,
    RETAIN_AVAILABLE,
    SERVER_KEEP_ALIVE,
    SERVER_REFERENCE,
    FakeBroker,
)
from support.lossy_line import LossyLine
from support.mqtt_county import County
from support.one_station import NAME, Station, numbers, station, until

from agent.outbox.outbox import Outbox
from agent.uplink.connection import Connection
from common.mqtt.errors import LinkLost, Rejected
from common.mqtt.session import BrokerAddress, ConnectOptions


async def connected(address: BrokerAddress, **options: float) -> Connection:
    return await Connection.connect(address, ConnectOptions("c", **options), lambda _: None)  # type: ignore[arg-type]


@asynccontextmanager
async def linked(broker: FakeBroker | LossyLine | Broker, outbox: Outbox, **options: object) -> AsyncIterator[Station]:
    async with station(outbox, broker, **options) as one:
        await until(one.link.up.is_set)
        yield one


# --- rejected when connecting


@pytest.mark.parametrize(
    ("connack", "properties", "code"),
    [
        (0x86, b"", "not_admitted"), (0x87, b"", "not_admitted"), (0x8A, b"", "banned"), (0x89, b"", "server_busy"),
        (0x88, b"", "server_unavailable"), (0x97, b"", "quota_exceeded"), (0x9F, b"", "rate_exceeded"),
        (0x9C, bytes([SERVER_REFERENCE, 0, 7]) + b"b.other", "use_another_server"), (0x9D, b"", "use_another_server"),
        (0x84, b"", "wrong_version"), (0x85, b"", "client_id_refused"), (0x80, b"", "refused"),
        (0, bytes([MAXIMUM_QOS, 0]), "qos_not_supported"), (0, bytes([RETAIN_AVAILABLE, 0]), "retain_not_supported"),
    ],
)  # fmt: skip
async def test_a_rejection_is_shown_with_its_reason_and_not_retried_in_a_hot_loop(
    outbox: Outbox, connack: int, properties: bytes, code: str
) -> None:
    async with (
        FakeBroker(connack=connack, properties=properties) as broker,
        station(outbox, broker) as one,
    ):
        await until(lambda: one.link.state.why == code)
        assert connack == 0 or f"0x{connack:02X}" in one.link.state.detail
        assert not one.link.up.is_set()
        tries = broker.connects
        await until(lambda: broker.connects >= tries + 3)  # it keeps trying
        assert [state.why for state in one.states] == [code], "the same reason is reported once"


async def test_a_server_reference_is_shown_and_not_followed(outbox: Outbox) -> None:
    async with FakeBroker() as other:
        where = f"127.0.0.1:{other.port}".encode()
        properties = bytes([SERVER_REFERENCE, 0, len(where)]) + where
        async with FakeBroker(connack=0x9D, properties=properties) as broker, station(outbox, broker) as one:
            await until(lambda: broker.connects >= 3)
            assert where.decode() in one.link.state.detail
        assert other.connects == 0


async def test_mosquitto_without_qos_1_is_rejected_with_a_reason(outbox: Outbox) -> None:
    broker = Broker(outbox.path.parent)
    conf = broker.folder / "mosquitto.conf"
    conf.write_text(conf.read_text("utf-8").replace("allow_anonymous true", "allow_anonymous true\nmax_qos 0"), "utf-8")
    with broker:
        async with station(outbox, broker) as one:
            await until(lambda: one.link.state.why == "qos_not_supported")


async def test_a_rejected_subscription_is_no_connection(outbox: Outbox) -> None:
    async with FakeBroker(suback=0x87) as broker, station(outbox, broker) as one:
        await until(lambda: one.link.state.why == "subscription_refused")
        assert not one.link.up.is_set()


# --- what the broker allows


async def test_a_receive_maximum_of_one_has_one_packet_in_flight_also_at_the_stop(outbox: Outbox) -> None:
    async with FakeBroker(properties=bytes([RECEIVE_MAXIMUM, 0, 1]), puback_delay_s=0.05) as broker:
        async with linked(broker, outbox) as one:
            await one.record(*[str(n) for n in range(20)])
            await until(lambda: len(broker.of("journal")) >= 5)
        assert broker.of("state")[-1].payload == b'{"state":"closing"}'
        assert broker.max_in_flight == 1


@pytest.mark.parametrize("in_time", [False, True])
async def test_without_a_closing_message_there_is_no_disconnect_so_that_the_will_is_published(
    outbox: Outbox, in_time: bool
) -> None:
    async with FakeBroker(properties=bytes([RECEIVE_MAXIMUM, 0, 1])) as broker, linked(broker, outbox) as one:
        broker.acknowledging.clear()
        await one.record("takes the only place in the window")
        await until(lambda: broker.of("journal"))
        if in_time:
            broker.acknowledging.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5 if in_time else 0.1):
                await one.link.close(b'{"state":"closing"}')
        broker.acknowledging.set()
        await until(lambda: broker.connects == 2)  # the running link connects again
        assert broker.disconnects == in_time


async def test_a_keep_alive_of_the_server_replaces_ours() -> None:
    async with FakeBroker(properties=bytes([SERVER_KEEP_ALIVE, 0, 1])) as broker, LossyLine(broker.port) as line:
        connection = await connected(BrokerAddress(line.host, line.port), keepalive_s=1200, ack_timeout_s=1200)
        line.black_hole()
        assert (await asyncio.wait_for(asyncio.shield(connection.closed), 30)).code == "keepalive_timeout"


async def test_a_packet_above_the_brokers_maximum_is_rejected_here_and_the_connection_stays(outbox: Outbox) -> None:
    async with FakeBroker(properties=bytes([MAXIMUM_PACKET_SIZE]) + (1000).to_bytes(4, "big")) as broker:
        connection = await connected(BrokerAddress(broker.host, broker.port))
        with pytest.raises(Rejected, match="row_too_large"):
            await connection.publish(f"yinong/1/{NAME}/journal", b"x" * 1000, qos=1)
        overhead = 1 + 2 + 2 + len(f"yinong/1/{NAME}/journal") + 2 + 1
        await connection.publish(f"yinong/1/{NAME}/journal", b"x" * (1000 - overhead), qos=1)
        assert [one.size for one in broker.published] == [1000], "the largest that fits is sent"
        assert not connection.closed.done()
        connection.close()


# --- lines that go dead


async def test_a_half_open_idle_connection_is_detected_by_the_keep_alive(broker: Broker) -> None:
    async with LossyLine(broker.port) as line:
        connection = await connected(BrokerAddress(line.host, line.port), keepalive_s=1)
        line.black_hole()
        assert (await asyncio.wait_for(asyncio.shield(connection.closed), 30)).code == "keepalive_timeout"


async def test_a_half_open_connection_in_use_is_detected_by_the_missing_acknowledgement(
    outbox: Outbox, broker: Broker
) -> None:
    with County(broker.host, broker.port) as county:
        async with LossyLine(broker.port) as line, linked(line, outbox, ack_timeout_s=1) as one:
            line.black_hole()
            await one.record("a", "b")
            await until(lambda: any(state.why == "no_acknowledgement" for state in one.states))
            line.heal()
            await asyncio.to_thread(county.wait_for, lambda c: set(numbers(c)) == {"a", "b"})


async def test_a_dead_line_also_ends_what_nobody_acknowledges(broker: Broker) -> None:
    """TCP_USER_TIMEOUT: the kernel ends a connection whose data never arrives, as with heartbeats of QoS 0."""
    connection = await connected(BrokerAddress(broker.host, broker.port), ack_timeout_s=7)
    sock = connection._mqtt._client.socket()
    assert isinstance(sock, socket.socket)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000
    connection.close()


async def test_a_line_cut_in_mid_window_sends_again_what_was_not_acknowledged(outbox: Outbox, broker: Broker) -> None:
    with County(broker.host, broker.port) as county:
        async with LossyLine(broker.port) as line, linked(line, outbox) as one:
            line.drop_answers()
            await one.record(*[str(n) for n in range(8)])
            await asyncio.to_thread(
                county.wait_for, lambda c: len(set(numbers(c))) >= 4
            )  # received, and not acknowledged
            line.cut()
            line.heal()
            await asyncio.to_thread(county.wait_for, lambda c: set(numbers(c)) == {str(n) for n in range(8)})
            assert [state.why for state in one.states if not state.up][-1:] == ["connection_cut"]
        again = [received.late for received in county.of("journal") if received.json["details"]["n"] == "0"]
        assert again[0] is False
        assert again[1:] == [True] * len(again[1:])
        assert len(again) >= 2


async def test_a_broker_that_acknowledges_after_seconds_loses_nothing_and_keeps_its_connection(outbox: Outbox) -> None:
    async with FakeBroker(puback_delay_s=1.5) as broker, linked(broker, outbox, ack_timeout_s=5) as one:
        await one.record(*[str(n) for n in range(6)])
        await until(lambda: len(broker.of("journal")) == 6)
        await until(lambda: broker._in_flight == 0)
        assert broker.connects == 1


async def test_a_broker_that_hangs_is_left_and_connected_to_again(outbox: Outbox, broker: Broker) -> None:
    async with linked(broker, outbox, ack_timeout_s=1) as one:
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            await one.record("a")
            await until(lambda: one.link.state.why == "no_acknowledgement")
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        with County(broker.host, broker.port) as county:
            await asyncio.to_thread(county.wait_for, lambda c: "a" in numbers(c))


async def test_a_message_that_comes_with_the_connack_is_received(broker: Broker) -> None:
    """Messages of a resumed session may be read together with CONNACK (TLS returns whole records)."""
    received: list[bytes] = []
    address, options = BrokerAddress(broker.host, broker.port), ConnectOptions("s", clean_start=False, expiry_s=300)
    first = await Connection.connect(address, options, lambda _: None)
    await first.subscribe(("t",))
    first.drop()
    other = await connected(address)
    for n in range(20):
        await other.publish("t", str(n).encode(), qos=1)
    other.close()
    again = Connection(address, options, lambda packet: received.append(packet.payload))
    mqtt, read = again._mqtt, again._mqtt._client.loop_read
    mqtt._client.loop_read = lambda: [read() for _ in range(50)][-1]  # type: ignore[method-assign]  # as with TLS
    await mqtt.open()
    await until(lambda: len(received) == 20)
    again.close()


# --- two terminals with one identity


async def test_a_connection_ended_by_the_broker_shows_the_reason(outbox: Outbox) -> None:
    for reason, code in (
        (0x8E, "taken_over"),
        (0x98, "disconnected_by_operator"),
        (0x8B, "server_stopping"),
        (0x93, "disconnected"),
    ):
        async with FakeBroker() as broker, linked(broker, outbox) as one:
            broker.disconnect(reason)
            await until(lambda one=one, code=code: code in [state.why for state in one.states])


async def test_repeated_session_takeovers_are_counted_and_shown(outbox: Outbox) -> None:
    async with FakeBroker() as broker, linked(broker, outbox) as one:
        for n in range(1, 4):
            await until(one.link.up.is_set)
            broker.disconnect(0x8E)
            await until(lambda n=n: one.link.state.session_takeovers == n)
        await until(one.link.up.is_set)
        assert [warning.code for warning in one.link.state.warnings] == ["twin"], "shown also while the link is up"
        downs = [state.why for state in one.states if not state.up]
        assert downs == ["taken_over"] * 3


async def test_a_clone_without_a_takeover_reason_is_detected_by_its_receipts(outbox: Outbox, broker: Broker) -> None:
    """mosquitto 2.0.11 ends the older connection without a reason; the sign is a receipt for a row that was never sent."""
    async with linked(broker, outbox) as one:
        assert one.link.clone_seen(outbox.id, same_identity=True)
        assert not one.link.clone_seen(outbox.id, same_identity=True), "reported once"
        clone = await Connection.connect(
            BrokerAddress(broker.host, broker.port), ConnectOptions(f"{NAME}.f00d"), lambda _: None
        )
        await until(lambda: one.link.state.why == "connection_cut")
        assert [warning.code for warning in one.link.state.warnings][-1] == "twin"
        assert one.link._backoff.takeovers == 2
        clone.close()


async def test_a_lost_connection_raises_in_a_publish_that_waits_for_its_puback(broker: Broker) -> None:
    async with LossyLine(broker.port) as line:
        connection = await connected(BrokerAddress(line.host, line.port))
        line.drop_answers()
        sent = asyncio.create_task(connection.publish("t", b"x", qos=1))
        await until(lambda: connection._mqtt.in_flight == 1)
        line.cut()
        with pytest.raises(LinkLost, match="connection_cut"):
            await sent
