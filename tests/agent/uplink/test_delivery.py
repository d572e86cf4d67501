"""Outbox, link and delivery with a real mosquitto: live first, backlog late and in order, again if no receipt comes."""

import asyncio
import os
import signal
from itertools import groupby

import pytest
from support.broker import Broker
from support.mqtt_county import County
from support.one_station import NAME, capture, numbers, station, until

from agent.outbox.outbox import Outbox
from agent.outbox.rows import Draft
from agent.outbox.stamps import draft, sequenced
from agent.uplink.connection import Connection
from agent.uplink.delivery import Pace
from common.messages import Journal, Standard
from common.mqtt.errors import LinkLost, Rejected
from common.mqtt.session import BrokerAddress, ConnectOptions, Will


async def test_what_is_committed_on_a_live_link_arrives_in_order_and_not_late(outbox: Outbox, broker: Broker) -> None:
    with County(broker.host, broker.port) as county:
        async with station(outbox, broker) as one:
            await until(one.link.up.is_set)
            for n in range(30):
                await one.record(str(n))
            await asyncio.to_thread(county.wait_for, lambda c: len(c.of("journal")) >= 30)
    assert numbers(county) == [str(n) for n in range(30)]
    assert not any(message.late for message in county.of("journal"))


async def test_records_of_the_time_without_a_broker_arrive_late_in_order_and_complete(
    outbox: Outbox, broker: Broker
) -> None:
    broker.stop()
    async with station(outbox, broker) as one:
        await one.record(*[str(n) for n in range(120)])
        broker.start()
        with County(broker.host, broker.port) as county:
            await asyncio.to_thread(county.wait_for, lambda c: len(set(numbers(c))) == 120)
    assert numbers(county)[:120] == [str(n) for n in range(120)]
    assert all(message.late and not message.retained for message in county.of("journal"))


async def test_the_newest_late_row_of_a_retained_topic_is_retained_and_no_older_one(
    outbox: Outbox, broker: Broker
) -> None:
    broker.stop()
    async with station(outbox, broker) as one:
        items = [Standard(**sequenced(one.clock), profile=profile, items=()) for profile in "BZJ"]
        await one.writer.commit([draft(one.clock, "standard", item, retained=True) for item in items])
        broker.start()
        with County(broker.host, broker.port) as county:
            await asyncio.to_thread(county.wait_for, lambda c: len(c.of("standard")) == 3)
    assert [(message.json["profile"], message.retained, message.late) for message in county.of("standard")] == [
        ("B", False, True),
        ("Z", False, True),
        ("J", True, True),
    ]


async def test_a_live_row_overtakes_the_backlog(outbox: Outbox, broker: Broker) -> None:
    broker.stop()
    async with station(outbox, broker, pace=Pace(4000)) as one:
        await one.record(*[str(n) for n in range(100)])
        broker.start()
        with County(broker.host, broker.port) as county:
            await until(one.link.up.is_set)
            await asyncio.to_thread(county.wait_for, lambda c: len(c.of("journal")) >= 2)
            await one.record("live")
            await asyncio.to_thread(county.wait_for, lambda c: "live" in numbers(c))
    assert len(numbers(county)) < 100
    assert not next(message for message in county.of("journal") if message.json["details"]["n"] == "live").late


async def test_captures_of_the_backlog_are_sent_together_with_their_bytes_unchanged(
    outbox: Outbox, broker: Broker
) -> None:
    broker.stop()
    async with station(outbox, broker) as one:
        captures = [capture(one.clock, f"6901234{n:06d}", n) for n in range(1, 121)]
        rows = await one.writer.commit([draft(one.clock, "scan", message) for message in captures])
        broker.start()
        with County(broker.host, broker.port) as county:
            await asyncio.to_thread(
                county.wait_for, lambda c: sum(len(h.json["captures"]) for h in c.of("scan")) >= 120
            )
    assert len(county.of("scan")) == 3
    assert b"".join(row.body for row in rows[:1]) in county.of("scan")[0].payload
    texts = [scan["text"] for message in county.of("scan") for scan in message.json["captures"]]
    assert texts == [message.text for message in captures]


async def test_a_puback_alone_removes_nothing_and_a_receipt_does(outbox: Outbox, broker: Broker) -> None:
    with County(broker.host, broker.port) as county:
        async with station(outbox, broker) as one:
            await until(one.link.up.is_set)
            await one.record("a", "b")
            await asyncio.to_thread(county.wait_for, lambda c: len(c.of("journal")) == 2)
            assert (await one.writer.run_in_thread(lambda box: box.depth())).waiting == 2
            await asyncio.to_thread(county.receipt, NAME, outbox.id, 2)
            await until(lambda: outbox.depth().waiting == 0)


async def test_if_the_county_runs_no_recorder_the_brokers_puback_suffices(outbox: Outbox, broker: Broker) -> None:
    with County(broker.host, broker.port):
        async with station(outbox, broker, puback_suffices=True) as one:
            await one.record("before", "the link")
            await until(one.link.up.is_set)
            await one.record("live")
            await until(lambda: outbox.depth().waiting == 0)


async def test_a_restored_recorder_gets_everything_again_from_the_archive(outbox: Outbox, broker: Broker) -> None:
    with County(broker.host, broker.port) as county:
        async with station(outbox, broker) as one:
            await until(one.link.up.is_set)
            await one.record("a", "b", "c")
            await asyncio.to_thread(county.receipt, NAME, outbox.id, 3)
            await until(lambda: outbox.depth().waiting == 0)
            await asyncio.to_thread(county.receipt, NAME, outbox.id, 1, "restored")
            await asyncio.to_thread(county.wait_for, lambda c: numbers(c) == ["a", "b", "c", "b", "c"])


async def test_a_killed_broker_loses_nothing_of_what_it_had_acknowledged(outbox: Outbox, broker: Broker) -> None:
    async with station(outbox, broker) as one:
        await until(one.link.up.is_set)
        await one.record(*[str(n) for n in range(40)])
        await asyncio.sleep(0.3)
        await asyncio.to_thread(broker.restart, kill=True)
        with County(broker.host, broker.port) as county:
            await asyncio.to_thread(county.wait_for, lambda c: len(set(numbers(c))) == 40)
        assert [up for up, _ in groupby(state.up for state in one.states)] == [True, False, True]


async def test_a_denied_topic_is_shown_and_the_row_stays(outbox: Outbox, secured_broker: Broker) -> None:
    secured_broker.add_user(NAME, "secret")
    async with station(outbox, secured_broker, password="secret") as one:
        await until(one.link.up.is_set)
        await one.writer.commit([Draft("receipt", Journal(**sequenced(one.clock), event="forged"))])
        await until(lambda: one.link.state.warning == "row_not_authorized")
        assert outbox.depth().waiting == 1


async def test_a_wrong_password_is_a_rejection_that_is_shown(outbox: Outbox, secured_broker: Broker) -> None:
    secured_broker.add_user(NAME, "secret")
    async with station(outbox, secured_broker, password="wrong") as one:
        await until(lambda: one.link.state.why == "not_admitted")
        assert not one.link.up.is_set()


async def test_no_subscribers_is_shown(outbox: Outbox, broker: Broker) -> None:
    async with station(outbox, broker) as one:
        await until(one.link.up.is_set)
        await one.record("a")
        await until(lambda: one.link.state.warning == "nobody_listens")


async def test_a_clean_stop_publishes_closing_and_no_will(outbox: Outbox, broker: Broker) -> None:
    with County(broker.host, broker.port) as county:
        async with station(outbox, broker) as one:
            await until(one.link.up.is_set)
        await asyncio.to_thread(county.wait_for, lambda c: c.of("state")[-1].json["state"] == "closing")
        await asyncio.sleep(2.5)  # longer than the will delay: a message that does not come can only be waited for
    assert [message.json["state"] for message in county.of("state")] == ["online", "closing"]


def options(topic: str = "t", **more: float) -> ConnectOptions:
    return ConnectOptions("c", clean_start=False, expiry_s=300, will=Will(topic, b'{"state":"lost"}', 1))._replace(
        **more
    )


async def connected(address: BrokerAddress, options: ConnectOptions) -> Connection:
    return await Connection.connect(address, options, lambda _: None)


async def test_a_station_that_vanishes_is_reported_by_its_will(broker: Broker) -> None:
    with County(broker.host, broker.port) as county:
        connection = await connected(BrokerAddress(broker.host, broker.port), options(f"yinong/1/{NAME}/state"))
        connection.drop()
        await asyncio.to_thread(county.wait_for, lambda c: [h.json["state"] for h in c.of("state")] == ["lost"])


async def test_no_broker_at_all_is_a_clear_reason() -> None:
    with pytest.raises(LinkLost, match="server_not_running"):
        await connected(BrokerAddress("127.0.0.1", 9), options())


async def test_a_broker_that_accepts_tcp_and_never_answers_is_a_timeout() -> None:
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        with pytest.raises(LinkLost, match="no_answer"):
            await connected(BrokerAddress(*server.sockets[0].getsockname()), options(connect_timeout_s=0.3))
        await gone.wait()


async def test_a_half_open_connection_is_ended_by_the_missing_acknowledgement(broker: Broker) -> None:
    """The broker is stopped (SIGSTOP): the TCP connection stays open, nothing answers."""
    connection = await connected(BrokerAddress(broker.host, broker.port), options(ack_timeout_s=0.5))
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        with pytest.raises(LinkLost, match="no_acknowledgement"):
            await connection.publish("yinong/1/x/journal", b"{}", qos=1)
        assert connection.closed.done()
    finally:
        os.kill(broker.pid, signal.SIGCONT)


async def test_rejected_and_lost_are_distinguished(secured_broker: Broker) -> None:
    secured_broker.add_user(NAME, "secret")
    address = BrokerAddress(secured_broker.host, secured_broker.port, NAME, "secret")
    connection = await connected(address, options(f"yinong/1/{NAME}/state"))
    with pytest.raises(Rejected) as rejected:
        await connection.publish("yinong/1/450225-GXBRS0002B-1/scan", b"{}", qos=1)
    assert rejected.value.code == 0x87
    connection.close()
