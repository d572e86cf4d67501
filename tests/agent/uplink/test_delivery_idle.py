"""An idle delivery causes next to no work, and the receipt timeout starts with the first waiting row: on a test clock."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from support.broker import Broker
from support.mqtt_county import County

from agent.observable import Observable
from agent.outbox.outbox import Outbox
from agent.outbox.stamps import journal
from agent.outbox.writer import Writer
from agent.uplink.connection import Incoming
from agent.uplink.delivery import Delivery, Pace
from agent.uplink.link import Link, LinkState
from agent.uplink.rejections import Rejection
from common.clock import Clock, SystemClock
from common.messages import Receipt
from common.mqtt.session import BrokerAddress, ConnectOptions, Will

NAME = "450225-GXBRS0001B-1"


class SteppedClock(Clock, Protocol):
    async def advance(self, seconds: float) -> None: ...


async def _on_birth(_link: Link) -> None:
    """No birth: only the delivery publishes."""


async def _on_rejected(_hold: Rejection) -> None:
    """No journal in these tests."""


@asynccontextmanager
async def delivering(writer: Writer, broker: Broker, clock: SteppedClock) -> AsyncIterator[Delivery]:
    """A link in real time, and a delivery on the test clock, one minute after it came up with nothing to send."""
    options = ConnectOptions(f"{NAME}.f00d", clean_start=True, will=Will(f"yinong/1/{NAME}/state", b"{}", 2))
    received: list[Incoming] = []
    link = Link(
        NAME,
        SystemClock(),
        BrokerAddress(broker.host, broker.port),
        lambda _: options,
        _on_birth,
        received.append,
        Observable(LinkState.at_start(clock)),
        rng=random.Random(1),
    )
    delivery = Delivery(writer, link, clock, puback_suffices=False, pace=Pace(10_000_000), on_rejected=_on_rejected)
    writer.subscribe(delivery.on_commit)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop) for loop in (link.run(), delivery.run())]
        await asyncio.wait_for(link.up.wait(), 10)
        await pass_time(writer, clock, 61)
        yield delivery
        for task in tasks:
            task.cancel()


async def pass_time(writer: Writer, clock: SteppedClock, seconds: int) -> None:
    """Advance second by second; between them the outbox's thread finishes its work."""
    for _ in range(seconds):
        await clock.advance(1)
        await writer.run_in_thread(lambda box: box.id)


async def test_an_idle_hour_queries_the_outbox_once_a_minute_at_most(
    outbox: Outbox, writer: Writer, broker: Broker, clock: SteppedClock
) -> None:
    async with delivering(writer, broker, clock):
        queries: list[str] = []
        outbox.db.set_trace_callback(queries.append)
        await pass_time(writer, clock, 3600)
        outbox.db.set_trace_callback(None)
    # each query reads the end of the outbox
    assert 0 < len([sql for sql in queries if "sqlite_sequence" in sql]) <= 60


async def test_the_receipt_timeout_starts_with_the_first_waiting_row_not_before_it(
    writer: Writer, broker: Broker, clock: SteppedClock
) -> None:
    with County(broker.host, broker.port) as county:
        async with delivering(writer, broker, clock):
            await pass_time(writer, clock, 59)
            await writer.commit([journal(clock, "x")])
            await asyncio.to_thread(county.wait_for, lambda c: len(c.of("journal")) == 1)
            await pass_time(writer, clock, 30)
            assert not any(message.late for message in county.of("journal"))
            await pass_time(writer, clock, 35)
            await asyncio.to_thread(county.wait_for, lambda c: any(message.late for message in c.of("journal")))


async def test_a_receipt_that_empties_the_outbox_restarts_the_receipt_timeout(
    outbox: Outbox, writer: Writer, broker: Broker, clock: SteppedClock
) -> None:
    with County(broker.host, broker.port) as county:
        async with delivering(writer, broker, clock) as delivery:
            await writer.commit([journal(clock, "a")])
            await asyncio.to_thread(county.wait_for, lambda c: len(c.of("journal")) == 1)
            receipt = Receipt(at="2026-03-02T09:00:00.000+08:00", store="store-1", outbox=outbox.id, upto=1)
            assert await delivery.on_receipt(receipt, retained=False) == "advanced"
            await pass_time(writer, clock, 55)
            await writer.commit([journal(clock, "b")])
            await asyncio.to_thread(county.wait_for, lambda c: len(c.of("journal")) == 2)
            await pass_time(writer, clock, 30)
    assert [(message.json["event"], message.late) for message in county.of("journal")] == [("a", False), ("b", False)]
