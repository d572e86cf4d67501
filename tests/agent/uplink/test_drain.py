"""A backlog of stored captures drains behind live rows: paced, marked late, each row once."""

import asyncio

from support.broker import Broker
from support.mqtt_county import County
from support.one_station import capture, station, until

from agent.outbox.outbox import Outbox
from agent.outbox.stamps import draft
from agent.uplink.delivery import Pace


async def test_a_live_heartbeat_and_a_live_scan_overtake_a_thousand_stored_captures(
    outbox: Outbox, broker: Broker
) -> None:
    broker.stop()
    async with station(outbox, broker, pace=Pace(100_000)) as one:
        rows = [draft(one.clock, "scan", capture(one.clock, f"stored-{n}")) for n in range(1000)]
        await one.writer.commit(rows)
        broker.start()
        with County(broker.host, broker.port) as county:
            await until(one.link.up.is_set)
            await asyncio.to_thread(county.wait_for, lambda c: c.of("scan"))
            await one.scan("live")
            await one.link.publish("heartbeat", b'{"alive":true}', qos=0)
            await asyncio.to_thread(
                county.wait_for, lambda c: sum(len(h.json["captures"]) for h in c.of("scan")) == 1001
            )
    order = [(message.late, text["text"]) for message in county.of("scan") for text in message.json["captures"]]
    assert order.index((False, "live")) < 500
    assert [text for late, text in order if late] == [f"stored-{n}" for n in range(1000)], "in order, each once, late"
    beat = next(at for at, message in enumerate(county.received) if message.leaf == "heartbeat")
    assert beat < len(county.received) // 2
