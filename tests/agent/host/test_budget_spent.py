"""Once the day's flash budget is spent only scans are written as usual; less telemetry, daily repeats, flapping, write probes."""

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.running import running
from support.scripted_gun import read

from agent.devices.poller import BUDGET_SPENT_INTERVAL_MS, REPORT_INTERVAL_MS, Poller
from agent.devices.state import DeviceStates
from agent.devices.watched import WatchedDevice
from agent.host.write_budget import DAY_MS, WriteBudget
from agent.observable import Observable
from agent.outbox import spool
from agent.outbox.outbox import Outbox
from agent.outbox.retention import PRUNE_S, Retention
from agent.outbox.stamps import journal
from agent.outbox.writer import Writer
from agent.reports.telemetry import MAX_SAMPLES_IN_MEMORY, PeriodicReports
from agent.scans.captures import Captures
from agent.uplink.link import Link, LinkState
from common.messages import Device, Receipt
from common.mqtt.session import BrokerAddress, ConnectOptions
from drivers.reading import Condition, Reading, Reason
from drivers.table import DeviceClass
from drivers.terminal.driver import Terminal

WORKING = Reading(condition=Condition.WORKING, reason=Reason("ok"))
FAULTY = Reading(condition=Condition.FAULTY, reason=Reason("paper_out"))


class Day:
    """A day whose flash budget the test spends or not: a meter on a /proc file of the test."""

    def __init__(self, root: Path, clock: Any) -> None:
        (root / "proc/self").mkdir(parents=True)
        self._io = root / "proc/self/io"
        self.flash = WriteBudget(clock, 1000, None, root=root)
        self.spent(0)

    def spent(self, count: int) -> None:
        self._io.write_text(f"write_bytes: {count}\ncancelled_write_bytes: 0\n", "ascii")
        self.flash.update()


@pytest.fixture
def day(tmp_path: Path, clock: Any) -> Day:
    return Day(tmp_path / "root", clock)


class Flapping(msgspec.Struct, kw_only=True):
    """A device whose reading changes at each poll until it is quiet; `Spared` is the driver that writes less."""

    id: str = "main"
    seen: list[str] = []
    quiet: list[bool] = []

    async def look(self, root: Path, previous: Reading | None = None) -> Reading:
        self.seen.append("")
        return WORKING if self.quiet or len(self.seen) % 2 else FAULTY

    def writing_less(self) -> "WritingLess":
        return WritingLess(seen=self.seen, quiet=self.quiet)


class WritingLess(msgspec.Struct, kw_only=True):
    id: str = "main"
    seen: list[str] = []
    quiet: list[bool] = []

    async def look(self, root: Path, previous: Reading | None = None) -> Reading:
        self.seen.append("rarely")
        return WORKING if self.quiet or len(self.seen) % 2 else FAULTY

    def writing_less(self) -> "WritingLess":
        return self


def poller_of(driver: Any, writer: Writer, clock: Any, day: Day) -> tuple[Poller, WatchedDevice]:
    device = WatchedDevice(DeviceClass("printer", "test:none", 60, 5.0), "main", driver, None)
    poller = Poller(
        [device],
        Path("/"),
        clock,
        writer,
        DeviceStates(),
        lambda _: (),
        "B",
        budget_spent=day.flash.is_spent,
    )
    return poller, device


def reports_of(writer: Writer, clock: Any, day: Day) -> PeriodicReports:
    """Without a line: nobody listens."""

    async def nobody(_: Any) -> None: ...

    link = Link(
        "x",
        clock,
        BrokerAddress("127.0.0.1", 9),
        lambda _: ConnectOptions("c"),
        nobody,
        lambda _: None,
        Observable(LinkState.at_start(clock)),
        rng=random.Random(1),
    )
    return PeriodicReports(DeviceStates(), writer, link, clock, "0000aaaa", 1 << 20, day.flash)


async def pass_samples(writer: Writer, clock: Any, count: int) -> None:
    """N rounds of telemetry, each with the outbox's answers waited for."""
    for _ in range(count):
        await clock.advance(300)
        for _ in range(3):
            await writer.run_in_thread(lambda _: None)
            await clock.advance(0)


def reported(outbox: Outbox) -> list[str]:
    rows = outbox.waiting(0, 100_000)
    return [msgspec.json.decode(row.body, type=Device).condition for row in rows if row.leaf.startswith("device/")]


async def test_a_device_that_flaps_each_second_is_reported_once_an_hour_and_its_last_state_in_the_end(
    writer: Writer, outbox: Outbox, clock: Any, day: Day
) -> None:
    driver = Flapping(seen=[], quiet=[])
    poller, device = poller_of(driver, writer, clock, day)
    for _ in range(20):
        await poller.poll(device, event=True)
        await clock.advance(1)
    assert len(reported(outbox)) == 20, "each change counts while there is budget"
    day.spent(1000)
    for _ in range(3 * 3600):
        await poller.poll(device, event=True)
        await clock.advance(1)
    assert 22 <= len(reported(outbox)) <= 24
    driver.quiet.append(True)
    for _ in range(BUDGET_SPENT_INTERVAL_MS // 60_000 + 3):
        await poller.poll(device)
        await clock.advance(60)
    assert reported(outbox)[-1] == "working"


async def test_daily_repeats_wait_for_a_day_with_budget(writer: Writer, outbox: Outbox, clock: Any, day: Day) -> None:
    poller, device = poller_of(Flapping(seen=[], quiet=[True]), writer, clock, day)
    await poller.poll(device)
    day.spent(1000)
    await clock.advance(REPORT_INTERVAL_MS / 1000 - 1)
    await poller.poll(device)
    await clock.advance(0.5)
    day.flash.update()
    assert day.flash.is_spent()
    device.reported_mono_ms = None  # as in a run that has just begun
    await poller.poll(device)
    assert len(reported(outbox)) == 1
    await clock.advance(DAY_MS / 1000)
    day.flash.update()
    await poller.poll(device)
    assert len(reported(outbox)) == 2


async def test_a_driver_that_writes_is_replaced_by_one_that_writes_less(writer: Writer, clock: Any, day: Day) -> None:
    driver = Flapping(seen=[], quiet=[])
    poller, device = poller_of(driver, writer, clock, day)
    await poller.poll(device)
    day.spent(1000)
    await poller.poll(device)
    assert driver.seen == ["", "rarely"]


def test_the_terminal_saves_one_write_a_day_and_is_otherwise_the_same() -> None:
    one = Terminal(id="main", hot_c=70)
    assert one.writing_less() == Terminal(id="main", hot_c=70, write_every_s=86_400)
    assert Terminal(id="main", write_every_s=604_800).writing_less().write_every_s == 604_800


async def test_telemetry_stays_in_memory_thinned_and_bounded_and_goes_to_the_disk_on_the_next_day(
    writer: Writer, outbox: Outbox, clock: Any, day: Day
) -> None:
    reports = reports_of(writer, clock, day)
    day.spent(1000)
    async with running(reports.run()):
        await clock.advance(30)
        await pass_samples(writer, clock, 4 * MAX_SAMPLES_IN_MEMORY)
        assert spool.waiting_bytes(outbox) == 0
        await reports.write_spool()
        assert spool.waiting_bytes(outbox) == 0, "nor at a stop"
        await pass_samples(writer, clock, 288 - 4 * MAX_SAMPLES_IN_MEMORY)
        day.flash.update()
        assert not day.flash.is_spent()
        await pass_samples(writer, clock, 1)
        kept = spool.oldest(outbox, 1000)
        assert MAX_SAMPLES_IN_MEMORY // 2 < len(kept) <= MAX_SAMPLES_IN_MEMORY + 1
        times = [msgspec.json.decode(body)["mono_ms"] for _, body in kept]
        assert times == sorted(times)
        assert times[0] < 1_030_000 + 20 * 300_000, "the beginning of the day keeps its shape"


async def test_scans_are_written_whether_the_budget_is_spent_or_not(
    writer: Writer, outbox: Outbox, clock: Any, day: Day
) -> None:
    day.spent(10_000_000)
    captures = Captures((), Path("/"), clock, writer)
    async with running(captures.run()):
        for n in range(50):
            captures.accept(read(f"69{n}", "camera"))
        for _ in range(200):
            await clock.advance(0)
            await writer.run_in_thread(lambda _: None)
        assert len([row for row in outbox.waiting(0, 1000) if row.leaf == "scan"]) == 50


async def test_the_archive_is_not_pruned_on_a_day_without_budget(
    writer: Writer, outbox: Outbox, clock: Any, day: Day
) -> None:
    old_s = int(clock.now().timestamp()) - 91 * 86_400
    await writer.commit([journal(clock, "old")._replace(at_s=old_s)])
    outbox.apply_receipt(Receipt(at="", store="store", outbox=outbox.id, upto=1))
    day.spent(1000)
    async with running(Retention(writer, clock, 90, day.flash.is_spent).run()):
        await clock.advance(PRUNE_S)
        await writer.run_in_thread(lambda _: None)
        assert outbox.depth().archived == 1
        await clock.advance(DAY_MS / 1000 - PRUNE_S)
        day.flash.update()
        await clock.advance(PRUNE_S)
        await writer.run_in_thread(lambda _: None)
        assert outbox.depth().archived == 0
