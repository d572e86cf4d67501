"""Heartbeats and telemetry, on a clock that the test advances; if a broker is needed it is a real one."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from support.broker import Broker
from support.mqtt_county import County

from agent.devices.state import DeviceState, DeviceStates
from agent.host.write_budget import WriteBudget
from agent.observable import Observable
from agent.outbox import spool
from agent.outbox.outbox import Draft, Outbox
from agent.outbox.stamps import journal, sequenced
from agent.outbox.writer import Writer
from agent.reports.telemetry import MAX_SAMPLES_IN_MEMORY, SPOOL_AFTER_SAMPLES, SPOOL_BATCH, PeriodicReports
from agent.uplink.link import Link, LinkState
from common.messages import Heartbeat, Item, Journal, Receipt, Telemetry
from common.mqtt.session import BrokerAddress, ConnectOptions, Will
from drivers.reading import Condition, Reading, Reason

NAME = "450225-GXBRS0001B-1"


class Station:
    def __init__(self, writer: Writer, clock: Any, port: int = 9) -> None:
        self.states, self.clock, self.writer = DeviceStates(), clock, writer
        will = Will(f"yinong/1/{NAME}/state", b"", 0)
        self.link = Link(
            NAME,
            clock,
            BrokerAddress("127.0.0.1", port),
            lambda _: ConnectOptions("c", connect_timeout_s=5, ack_timeout_s=5, will=will),
            self._born,
            lambda _: None,
            Observable(LinkState.at_start(clock)),
            rng=random.Random(1),
            backoff_first_s=0.1,
        )
        self.flash = WriteBudget(clock, 30_000_000, None)
        self.reports = PeriodicReports(self.states, writer, self.link, clock, "0000aaaa", 1 << 20, self.flash)
        self.see(free_mb=1.5, ok=True, name="x", none=None, count=3)

    def see(self, **measures: Any) -> None:
        reading = Reading(condition=Condition.WORKING, reason=Reason("ok"), measures=measures)
        self.states.devices["terminal/main"] = DeviceState("terminal", "main", reading, "", "synced")

    async def _born(self, link: Link) -> None:
        pass

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.reports.run()), asyncio.create_task(self.link.run())]
        yield
        assert not tasks[0].done(), tasks[0]
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.link.close(b"")

    async def pass_intervals(self, count: int) -> None:
        """N telemetry intervals, each with its work in the outbox done."""
        for _ in range(count):
            await self.clock.advance(300)
            await self.settle()

    async def settle(self) -> None:
        """Wait until the outbox has been read and the samples in memory are written to it."""
        for _ in range(3):
            await self.writer.run_in_thread(lambda _: None)
            await self.clock.advance(0)


def spilled(outbox: Outbox) -> list[Telemetry]:
    return [msgspec.json.decode(body, type=Telemetry) for _, body in spool.oldest(outbox, 10_000)]


async def test_a_heartbeat_reports_what_waits_how_old_it_is_and_the_verdicts(
    writer: Writer, outbox: Outbox, clock: Any
) -> None:
    one = Station(writer, clock)
    one.states.items = tuple(
        Item(item=name, verdict=v, because="x")
        for name, v in (("printer", "met"), ("video", "met"), ("plate", "unproven"))
    )
    first = await one.reports.heartbeat()
    assert (first.waiting, first.oldest_waiting_s, first.last_seq, first.uptime_s) == (0, None, 0, 0)
    await writer.commit([journal(clock, "a")])
    await clock.advance(90)
    await writer.commit([journal(clock, "b")])
    await clock.advance(0.5)
    beat = msgspec.json.decode(msgspec.json.encode(await one.reports.heartbeat()), type=Heartbeat)
    assert (beat.waiting, beat.oldest_waiting_s, beat.last_seq, beat.uptime_s) == (2, 90, 2, 90)
    assert beat.verdicts == {"met": 2, "unproven": 1}
    assert (beat.run, beat.connection, beat.outbox) == ("0000aaaa", 0, outbox.id)
    assert (beat.boot, beat.mono_ms, beat.at) == (clock.boot, clock.mono_ms(), "2026-03-02T09:01:30.500+08:00")
    outbox.apply_receipt(Receipt(at="", store="store", outbox=outbox.id, upto=1))
    assert (await one.reports.heartbeat()).oldest_waiting_s == 0


async def test_a_heartbeat_costs_the_same_however_much_the_archive_holds(
    writer: Writer, outbox: Outbox, clock: Any
) -> None:
    one = Station(writer, clock)

    async def steps() -> int:
        count = 0

        def step() -> int:
            nonlocal count
            count += 1
            return 0

        outbox.db.set_progress_handler(step, 1)
        await one.reports.heartbeat()
        await one.reports.measures()
        outbox.db.set_progress_handler(None, 0)
        return count

    await writer.commit([journal(clock, "a")])
    few = await steps()
    await writer.commit([journal(clock, "b")] * 5000)
    outbox.apply_receipt(Receipt(at="", store="store", outbox=outbox.id, upto=5000))
    assert await steps() < few + 50


async def test_what_waits_from_before_this_boot_is_at_least_as_old_as_the_boot(
    writer: Writer, outbox: Outbox, clock: Any
) -> None:
    old = Journal(**{**sequenced(clock), "boot": "b0070000", "mono_ms": 99_000_000}, event="old")
    await writer.commit([Draft("journal", old)])
    assert (await Station(writer, clock).reports.heartbeat()).oldest_waiting_s == clock.mono_ms() // 1000


async def test_telemetry_holds_the_numeric_measures_and_nothing_else(writer: Writer, clock: Any) -> None:
    measures = await Station(writer, clock).reports.measures()
    of_devices = {name: value for name, value in measures.items() if not name.startswith("agent.self.")}
    assert of_devices == {"terminal.main.free_mb": 1.5, "terminal.main.count": 3}


async def test_without_a_link_an_hour_of_telemetry_stays_in_memory_and_is_then_written_together(
    writer: Writer, outbox: Outbox, clock: Any
) -> None:
    one = Station(writer, clock)
    async with one.running():
        await clock.advance(30)
        await one.settle()
        await one.pass_intervals(SPOOL_AFTER_SAMPLES - 2)
        assert spilled(outbox) == []
        await one.pass_intervals(1)
        assert len(spilled(outbox)) == SPOOL_AFTER_SAMPLES
        await one.pass_intervals(3)
    assert [sample.mono_ms for sample in spilled(outbox)] == [
        1_030_000 + 300_000 * n for n in range(SPOOL_AFTER_SAMPLES)
    ]
    await one.reports.write_spool()  # as at a clean stop
    assert len(spilled(outbox)) == SPOOL_AFTER_SAMPLES + 3
    await one.reports.write_spool()
    assert len(spilled(outbox)) == SPOOL_AFTER_SAMPLES + 3


async def test_telemetry_of_the_outage_is_sent_late_oldest_first_behind_what_is_live(
    writer: Writer, outbox: Outbox, clock: Any, broker: Broker, until: Any
) -> None:
    samples = [
        Telemetry(boot=clock.boot, at="2026-03-02T08:00:00.000+08:00", mono_ms=n, clock="synced", measures={"n": n})
        for n in range(SPOOL_BATCH + 5)
    ]
    spool.append(outbox, [msgspec.json.encode(sample) for sample in samples], 1 << 20)
    one = Station(writer, clock, broker.port)
    with County(broker.host, broker.port) as county:
        async with one.running():
            await until(one.link.up.is_set)
            await clock.advance(30)
            await until(lambda: len(county.of("telemetry")) == SPOOL_BATCH + 1)
            await until(lambda: len(spilled(outbox)) == 5)
            await until(lambda: any(at == clock.mono_ms() + 300_000 for at, *_ in clock._sleepers))
            await clock.advance(300)
            await until(lambda: spilled(outbox) == [])
            await until(lambda: len(county.of("telemetry")) == SPOOL_BATCH + 7)
    received = county.of("telemetry")
    assert "n" not in received[0].json["measures"], "live first"
    late = [one.json["measures"]["n"] for one in received if one.late]
    assert late == list(range(SPOOL_BATCH + 5))
    assert not any(one.retained for one in received)


async def test_heartbeats_go_out_every_minute_while_the_link_is_up_and_never_late(
    writer: Writer, outbox: Outbox, clock: Any, broker: Broker, until: Any
) -> None:
    one = Station(writer, clock, broker.port)
    with County(broker.host, broker.port) as county:
        await clock.advance(600)  # heartbeats of the time without a link are not stored
        async with one.running():
            await until(one.link.up.is_set)
            for n in range(1, 4):
                await until(lambda n=n: len(county.of("heartbeat")) == n)
                await until(lambda: any(at == clock.mono_ms() + 60_000 for at, *_ in clock._sleepers))
                await clock.advance(60)
            await until(lambda: len(county.of("heartbeat")) == 4)
    assert [beat.json["uptime_s"] for beat in county.of("heartbeat")] == [600, 660, 720, 780]
    assert not any(beat.late or beat.retained for beat in county.of("heartbeat"))
    assert outbox.depth().last_seq == 0


async def test_a_full_disk_ends_neither_telemetry_nor_the_daemon(
    writer: Writer, outbox: Outbox, clock: Any, room: Any
) -> None:
    one = Station(writer, clock)
    one.see(**{f"measure_with_a_long_name_{n}": n for n in range(500)})
    room.none()
    async with one.running():
        await clock.advance(30)
        await one.settle()
        await one.pass_intervals(5 * SPOOL_AFTER_SAMPLES)
        assert spilled(outbox) == []
        assert MAX_SAMPLES_IN_MEMORY // 2 < len(one.reports._unsent) <= MAX_SAMPLES_IN_MEMORY, "memory is bounded"
        room.plenty()
        await one.pass_intervals(1)
        assert len(spilled(outbox)) >= SPOOL_AFTER_SAMPLES


@pytest.mark.parametrize("most", [2_000, 50_000])
def test_older_samples_of_a_long_outage_are_kept_at_lower_resolution_within_the_limit(
    outbox: Outbox, most: int
) -> None:
    for n in range(300):
        sample = Telemetry(boot="b0070001", at="2026-03-02T08:00:00.000+08:00", mono_ms=n, clock="synced", measures={})
        spool.append(outbox, [msgspec.json.encode(sample)], most)
    assert spool.waiting_bytes(outbox) <= most
    kept = [sample.mono_ms for sample in spilled(outbox)]
    assert kept == sorted(kept)
    assert kept[-1] == 299
    gaps = [later - earlier for earlier, later in pairwise([0, *kept])]
    assert max(gaps) <= 64, "the beginning is there, without a gap"
    assert gaps[-1] == 1, "the newest samples are all there"
