"""A measurement of the line is kept across restarts and power cuts, with its age; it never makes the device unknown by itself."""

import asyncio
from datetime import timedelta
from pathlib import Path

import msgspec

from agent.devices.poller import Poller
from agent.devices.state import DeviceStates
from agent.devices.watched import WatchedDevice
from agent.outbox.outbox import Outbox
from agent.outbox.writer import Writer
from drivers.broadband.driver import Broadband
from drivers.reading import CannotLook, Condition, Reading, Reason
from drivers.table import CLASSES


class Line(Broadband, frozen=True, kw_only=True):
    """The real driver's handling of a measured rate, over a line whose measurement the test sets."""

    async def measure(self, root: Path, previous: Reading | None = None) -> Reading:
        rate = {
            "down_mbps": 9.5,
            "line_mbps": 9.9,
            "measured_age_s": 0.0,
            "attempt_age_s": 0.0,
            "last_measurement": "rate_ok",
        }
        return Reading(condition=Condition.WORKING, reason=Reason("rate_ok"), measures={**rate, "uptime_s": 100.0})


class Busy(Line, frozen=True, kw_only=True):
    async def measure(self, root: Path, previous: Reading | None = None) -> Reading:
        raise CannotLook("line_busy")


def station_tree(root: Path, uptime_s: float) -> Path:
    (root / "proc").mkdir(parents=True, exist_ok=True)
    (root / "proc/uptime").write_text(f"{uptime_s} 0.0\n")
    (root / "proc/net").mkdir(exist_ok=True)
    (root / "proc/net/route").write_text("Iface\tDestination\tGateway\n")
    nic = root / "sys/class/net/eth0"
    nic.mkdir(parents=True, exist_ok=True)
    for name, text in {"operstate": "down", "carrier": "0", "carrier_changes": "1", "mtu": "1500"}.items():
        (nic / name).write_text(text)
    return root


def poller_of(driver: Broadband, outbox: Outbox, root: Path, clock) -> tuple[Poller, WatchedDevice, Writer]:
    writer = Writer(outbox)
    device = WatchedDevice(CLASSES["broadband"], driver.id, driver, None)
    return Poller([device], root, clock, writer, DeviceStates(), lambda _: (), "B"), device, writer


async def measured(driver: Broadband, outbox: Outbox, root: Path, clock) -> WatchedDevice:
    poller, device, writer = poller_of(driver, outbox, root, clock)
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(writer.run())
        await poller.measure_now("broadband")
        loop.cancel()
    return device


async def resumed(outbox: Outbox, root: Path, clock) -> Reading | None:
    poller, device, _ = poller_of(Line(id="main"), outbox, root, clock)
    await poller.resume_measurements()
    return device.previous


async def test_after_a_restart_of_the_agent_the_rate_counts_on_with_its_age(
    outbox: Outbox, clock, tmp_path: Path
) -> None:
    root = station_tree(tmp_path, clock.mono_ms() / 1000)
    await measured(Line(id="main"), outbox, root, clock)
    await clock.advance(500)
    previous = await resumed(outbox, station_tree(tmp_path, clock.mono_ms() / 1000), clock)
    look = await Line(id="main").look(tmp_path, previous)
    assert look.measures["line_mbps"] == 9.9
    assert look.measures["measured_age_s"] == 500.0


async def test_after_a_power_cut_the_rate_counts_on_by_a_trusted_clock(outbox: Outbox, clock, tmp_path: Path) -> None:
    root = station_tree(tmp_path, 100.0)
    await measured(Line(id="main"), outbox, root, clock)
    clock.boot, clock._mono_ms = "b0070002", 30_000
    clock._wall += timedelta(hours=3)
    previous = await resumed(outbox, root, clock)
    look = await Line(id="main").look(station_tree(tmp_path, 31.0), previous)
    assert look.measures["line_mbps"] == 9.9
    assert look.measures["measured_age_s"] == 3 * 3600 + 1.0


async def test_after_a_power_cut_with_a_dead_clock_the_rate_waits_for_the_clock(
    outbox: Outbox, clock, tmp_path: Path
) -> None:
    await measured(Line(id="main"), outbox, station_tree(tmp_path, 100.0), clock)
    clock.boot, clock._mono_ms, clock.known = "b0070002", 30_000, "unsynced"
    assert await resumed(outbox, tmp_path, clock) is None
    clock.known = "synced"
    assert (await resumed(outbox, tmp_path, clock)) is not None


async def test_a_refused_measurement_is_answered_and_does_not_make_the_line_unknown(
    outbox: Outbox, clock, tmp_path: Path
) -> None:
    device = await measured(Busy(id="main"), outbox, station_tree(tmp_path, 100.0), clock)
    assert device.debounced is not None
    assert device.debounced.confirmed.reason.code == "no_interface"  # the result of the poll after it
    assert (
        msgspec.json.decode(outbox.state("measured:broadband/main") or b"{}")["reading"]["reason"]["code"]
        == "line_busy"
    )
