"""Rows that the broker rejects: shown, kept, retried at growing intervals, and never blocking the rows behind them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.broker import Broker
from support.fake_broker import MAXIMUM_PACKET_SIZE, FakeBroker, Published
from support.mqtt_county import County
from support.one_station import capture, numbers, station, until

from agent.outbox.outbox import Outbox, Row
from agent.outbox.stamps import draft, sequenced
from agent.uplink import rejections
from agent.uplink.batches import MAX_BYTES, next_batch
from agent.uplink.rejections import BLOCK_ALL_MS, DROP_AFTER, MAX_REJECTIONS, Rejections
from common.messages import Device, Standard
from common.mqtt.errors import from_puback
from drivers.reading import Condition


def row(rowid: int, leaf: str = "journal", size: int = 10, outbox: str = "a" * 12) -> Row:
    return Row(rowid, outbox, rowid, leaf, b"x" * size, False)


def reject(one: Rejections, rows: list[Row], code: int, now_ms: int) -> Any:
    return one.add(rows, code, from_puback(code, "", rows[0].leaf), now_ms)


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delays of a test: 0.1 s instead of 10 s."""
    monkeypatch.setattr(rejections, "FIRST_MS", 100)
    monkeypatch.setattr(rejections, "MAX_MS", 300)
    monkeypatch.setattr(rejections, "BLOCK_ALL_MS", (50, 200))


# --- the rules, at times set by the test


def test_a_topic_without_permission_waits_as_a_whole_and_the_others_go_on() -> None:
    one = Rejections()
    reject(one, [row(1, "scan"), row(2, "scan")], 0x87, 0)
    assert one.blocks(row(7, "scan"))
    assert not one.blocks(row(3, "journal"))
    assert one.accepted([row(1, "scan")]), "the other rows of the topic were blocked until now"
    assert not one.blocks(row(7, "scan"))


def test_a_row_with_an_error_of_its_own_waits_alone() -> None:
    one = Rejections()
    reject(one, [row(1)], 0x95, 0)
    assert one.blocks(row(1))
    assert not one.blocks(row(2))
    assert reject(one, [row(2, "scan"), row(3, "scan")], 0x95, 0) is None, "the faulty one must be found first"


def test_retry_delays_grow_to_an_hour() -> None:
    one, now_ms, waits = Rejections(), 0, []
    for _ in range(12):
        reject(one, [row(1, "scan")], 0x87, now_ms)
        due_ms = one.next_due_ms()
        assert due_ms is not None
        waits.append(due_ms - now_ms)
        now_ms = due_ms
        assert one.due(now_ms)
    assert waits[:3] == [10_000, 20_000, 40_000]
    assert waits[-1] == 3_600_000


def test_a_broker_over_its_quota_blocks_everything_until_it_accepts_a_row() -> None:
    one = Rejections()
    reject(one, [row(1)], 0x97, 0)
    assert one.blocked_ms(0) == BLOCK_ALL_MS[0]
    reject(one, [row(2)], 0x97, 5_000)
    assert one.blocked_ms(5_000) == 2 * BLOCK_ALL_MS[0]
    one.accepted([row(3)])
    assert one.blocked_ms(5_000) == 0


def test_readings_are_dropped_and_records_sent_once_are_not() -> None:
    one = Rejections()
    for _ in range(DROP_AFTER):
        all_rejections = [
            reject(one, [row(n, leaf)], 0x95, 0)
            for n, leaf in enumerate(("device/a/b", "standard", "journal", "scan"), 1)
        ]
    assert [rejection.droppable for rejection in all_rejections] == [True, True, False, False]
    for _ in range(20):
        rejection = reject(one, [row(9, "device/a/b")], 0x87, 0)
    assert not rejection.droppable, "a permission may be granted later"


def test_rejections_are_bounded_and_one_beyond_that_blocks_everything() -> None:
    one = Rejections()
    for rowid in range(1, MAX_REJECTIONS + 1):
        assert reject(one, [row(rowid)], 0x95, 0)
    assert one.blocked_ms(0) == 0
    assert reject(one, [row(MAX_REJECTIONS + 1)], 0x95, 0) is None
    assert one.blocked_ms(0) == BLOCK_ALL_MS[1]
    assert len(one.all) == MAX_REJECTIONS


def test_a_batch_fits_into_the_brokers_maximum_and_is_of_one_outbox() -> None:
    captures = [row(n, "scan", 300) for n in range(1, 80)]
    skipped, batch = next_batch(captures, lambda r: r.rowid < 3, 2000)
    assert [r.rowid for r in skipped] == [1, 2]
    assert [r.rowid for r in batch] == [3, 4, 5, 6, 7]
    assert len(next_batch(captures, lambda _: False, None)[1]) == 50
    large = [row(n, "scan", 6000) for n in range(1, 50)]
    assert sum(len(r.body) for r in next_batch(large, lambda _: False, None)[1]) <= MAX_BYTES
    assert len(next_batch(large, lambda _: False, 100)[1]) == 1, "one that is too large is sent alone, and rejected"
    mixed = [row(1, "scan"), row(2, "scan", outbox="b" * 12), row(3)]
    assert [r.rowid for r in next_batch(mixed, lambda _: False, None)[1]] == [1]
    assert next_batch(mixed, lambda _: True, None) == (mixed, [])
    assert next_batch([], lambda _: False, None) == ([], [])


# --- a station and a broker


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize(
    ("code", "expected"),
    [(0x87, "row_not_authorized"), (0x97, "row_quota_exceeded"), (0x99, "row_format_refused"),
     (0x90, "row_topic_refused"), (0x80, "row_refused"), (0x83, "row_refused")],
)  # fmt: skip
async def test_a_rejected_capture_is_reported_stays_and_is_sent_when_the_broker_accepts_it(
    outbox: Outbox, code: int, expected: str
) -> None:
    accepts = asyncio.Event()

    def puback(packet: Published) -> int:
        return code if packet.leaf == "scan" and b"bad" in packet.payload and not accepts.is_set() else 0

    async with FakeBroker(puback=puback) as broker, station(outbox, broker) as one:
        await until(one.link.up.is_set)
        await one.scan("bad")
        await until(lambda: one.rejections == [("scan", expected)])
        assert [rejection.problem.code for rejection in one.delivery.rejections] == [expected]
        await one.record("behind it")
        await until(lambda: broker.of("journal"))  # not blocked
        await until(lambda: len(broker.of("scan")) >= 4)  # retried
        assert outbox.depth().waiting == 2
        accepts.set()
        await until(lambda: not one.delivery.rejections)
        assert one.rejections == [("scan", expected)], "reported once"
        assert one.link.state.warning == ""


@pytest.mark.usefixtures("_soon")
async def test_one_bad_capture_among_hundred_is_found_and_the_others_arrive(outbox: Outbox) -> None:
    def puback(packet: Published) -> int:
        return 0x99 if b"bad" in packet.payload else 0

    async with FakeBroker(puback=puback) as broker, station(outbox, broker) as one:
        await one.writer.commit(
            [draft(one.clock, "scan", capture(one.clock, "bad" if n == 33 else f"n{n:03d}")) for n in range(100)]
        )
        arrived: set[str] = set()

        def all_there() -> bool:
            for packet in broker.of("scan"):
                if b"bad" not in packet.payload:
                    arrived.update(
                        text for text in (f"n{n:03d}" for n in range(100)) if text.encode() in packet.payload
                    )
            return len(arrived) == 99

        await until(all_there)
        assert [rejection.rowid for rejection in one.delivery.rejections] == [34]


@pytest.mark.usefixtures("_soon")
async def test_a_reading_that_the_broker_never_accepts_is_replaced_by_a_void(outbox: Outbox) -> None:
    def puback(packet: Published) -> int:
        return 0x90 if packet.leaf == "device/printer/main" else 0

    async with FakeBroker(puback=puback) as broker, station(outbox, broker) as one:
        reading = Device(
            **sequenced(one.clock),
            device_class="printer",
            id="main",
            condition=Condition.WORKING,
            reason="ok",
            params={},
            measures={},
            evidence=(),
        )
        await one.writer.commit([draft(one.clock, "device/printer/main", reading, retained=True)])
        await until(lambda: any(b'"void"' in packet.payload for packet in broker.of("journal")))
        void = next(packet for packet in broker.of("journal") if b'"void"' in packet.payload)
        assert b'"reason":"row_topic_refused"' in void.payload
        assert b'"was":"device"' in void.payload
        assert b'"seq":1' in void.payload
        assert len(broker.of("device")) == DROP_AFTER
        assert not one.delivery.rejections


async def test_captures_are_split_to_the_brokers_maximum(outbox: Outbox) -> None:
    async with FakeBroker(properties=bytes([MAXIMUM_PACKET_SIZE]) + (2000).to_bytes(4, "big")) as broker:
        async with station(outbox, broker) as one:
            await one.writer.commit([draft(one.clock, "scan", capture(one.clock, f"n{n:03d}")) for n in range(40)])
            await until(lambda: sum(packet.payload.count(b'"text"') for packet in broker.of("scan")) == 40)
        assert max(packet.size for packet in broker.published) <= 2000
        assert len(broker.of("scan")) < 40, "as many in a message as fit"
        assert broker.connects == 1


@pytest.mark.parametrize(
    ("limit", "expected", "connections"),
    [("max_packet_size 3000", "row_too_large", 1), ("message_size_limit 3000", "row_refused", 4)],
)
async def test_mosquittos_own_limits_block_nothing(
    tmp_path: Path, outbox: Outbox, limit: str, expected: str, connections: int
) -> None:
    """The first limit is in CONNACK; the second is a PUBACK with a code that ends the connection."""
    broker = Broker(tmp_path)
    conf = broker.folder / "mosquitto.conf"
    conf.write_text(conf.read_text("utf-8").replace("max_packet_size 262144", limit), "utf-8")
    with broker, County(broker.host, broker.port) as county:
        async with station(outbox, broker) as one:
            await until(one.link.up.is_set)
            await one.scan("x" * 5000)
            await until(lambda: [rejection.problem.code for rejection in one.delivery.rejections] == [expected])
            await until(one.link.up.is_set)
            await one.scan(*[f"n{n:02d}" for n in range(20)])
            await one.record("behind it")
            await asyncio.to_thread(county.wait_for, lambda c: "behind it" in numbers(c))
            await asyncio.to_thread(
                county.wait_for, lambda c: len({t["text"] for h in c.of("scan") for t in h.json["captures"]}) == 20
            )
            assert one.link.state.connections == connections


async def test_a_row_that_ends_every_connection_is_found_and_blocked(outbox: Outbox) -> None:
    async with FakeBroker() as broker:

        def puback(packet: Published) -> int | None:
            if b"poison" in packet.payload:
                broker.disconnect(0x95)
                return None
            return 0

        broker.puback = puback
        async with station(outbox, broker) as one:
            await one.writer.commit(
                [draft(one.clock, "scan", capture(one.clock, "poison" if n == 5 else f"n{n}")) for n in range(10)]
            )
            await until(lambda: [rejection.rowid for rejection in one.delivery.rejections] == [6])
            assert [rejection.problem.code for rejection in one.delivery.rejections] == ["row_too_large"]
            await until(
                lambda: all(any(f'"n{n}"'.encode() in p.payload for p in broker.of("scan")) for n in (0, 4, 6, 9))
            )
            await one.record("behind it")
            await until(lambda: any(b"behind it" in packet.payload for packet in broker.of("journal")))


async def test_a_retained_reading_that_was_overtaken_while_it_waited_is_not_retained(outbox: Outbox) -> None:
    """A window of one packet: the older row waits for it while the newer one is committed."""
    async with FakeBroker(properties=b"\x21\x00\x01") as broker, station(outbox, broker) as one:
        old, new = (Standard(**sequenced(one.clock), profile=profile, items=()) for profile in "BZ")
        await one.writer.commit([draft(one.clock, "standard", old, retained=True)])
        await until(one.link.up.is_set)
        broker.acknowledging.clear()
        await one.record("has the window")
        # the backlog, one second after the connection came up
        await until(lambda: one.link._connection and one.link._connection._window._waiters)
        await one.writer.commit([draft(one.clock, "standard", new, retained=True)])
        broker.acknowledging.set()
        await until(lambda: len(broker.of("standard")) >= 2)
    for packet in broker.of("standard"):
        assert packet.retained == (b'"profile":"Z"' in packet.payload)
