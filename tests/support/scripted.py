"""Devices that return the readings of a test, and a poller over them with what it committed."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
from support.running import running

from agent.devices.poller import Poller
from agent.devices.state import ConfirmedReadings, DeviceStates
from agent.devices.watched import WatchedDevice
from agent.outbox.outbox import Outbox
from agent.outbox.writer import Writer
from common.messages import Device, Item, Standard
from drivers.reading import Condition, Evidence, Reading, Reason
from drivers.table import DeviceClass

WORKING = Reading(condition=Condition.WORKING, reason=Reason("ok"), measures={"pages": 1})
FAULTY = Reading(condition=Condition.FAULTY, reason=Reason("paper_out", {"tray": "1"}))
BIG = Reading(condition=Condition.FAULTY, reason=Reason("big"), evidence=(Evidence("x", "x", "x" * 100_000),))


def kind(name: str = "printer", **other: Any) -> DeviceClass:
    return DeviceClass(name, "test:none", **{"every_s": 60, "budget_s": 5.0, "hotplug": frozenset({"usb"}), **other})


class Scripted(msgspec.Struct, kw_only=True):
    """A device that returns these readings in order, and then the last one every time."""

    id: str = "main"
    readings: list[Reading | Exception]
    polls: int = 0
    previous: list[Reading | None] = []

    async def look(self, root: Path, previous: Reading | None = None) -> Reading:
        self.polls += 1
        self.previous.append(previous)
        one = self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
        if isinstance(one, Exception):
            raise one
        return one


class Hanging(msgspec.Struct, kw_only=True):
    """A device that never answers."""

    id: str = "main"
    cancelled: list[bool] = []

    async def look(self, root: Path, previous: Reading | None = None) -> Reading:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.append(True)
            raise
        return WORKING


class Line(Scripted, kw_only=True):
    """A device that also measures."""

    mini_url: str = "http://192.0.2.1/"
    measure_every_h: float = 24
    measured: list[Reading | Exception] = []

    async def measure(self, root: Path, previous: Reading | None = None) -> Reading:
        one = self.measured.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    def resumed(self, measured: Reading, age_s: float, uptime_s: float, before: Reading | None) -> Reading:
        return measured


def items_of(confirmed: ConfirmedReadings) -> tuple[Item, ...]:
    """A small standard: a class is met if one of its devices works."""
    return tuple(
        Item(
            item=name,
            verdict="met" if any(r.condition is Condition.WORKING for _, r in readings) else "not_met",
            because="test",
        )
        for name, readings in sorted(confirmed.items())
    )


class Terminal:
    """A poller over these devices, and what it committed."""

    def __init__(self, writer: Writer, outbox: Outbox, clock: Any, *devices: WatchedDevice) -> None:
        self.outbox, self.clock, self.states = outbox, clock, DeviceStates()
        self.devices = devices
        self.poller = Poller(devices, Path("/"), clock, writer, self.states, items_of, "B")

    @property
    def reported(self) -> list[Device]:
        return [msgspec.json.decode(body, type=Device) for body in self._committed("device/*")]

    @property
    def conditions(self) -> list[str]:
        return [one.condition.value for one in self.reported]

    @property
    def standards(self) -> list[dict[str, str]]:
        committed = [msgspec.json.decode(body, type=Standard) for body in self._committed("standard")]
        return [{item.item: item.verdict for item in one.items} for one in committed]

    def _committed(self, leaf: str) -> list[bytes]:
        """Over a separate connection: the outbox's own, in its thread, may be in the middle of a row."""
        with closing(sqlite3.connect(f"file:{self.outbox.path}?mode=ro", uri=True)) as db:
            return [body for (body,) in db.execute("SELECT body FROM entry WHERE leaf GLOB ? ORDER BY id", (leaf,))]

    async def poll(self, times: int = 1, event: bool = False, device: int = 0) -> None:
        for _ in range(times):
            await self.poller.poll(self.devices[device], event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with running(self.poller.run()):
            yield


def watched(*readings: Reading | Exception, name: str = "printer", **other: Any) -> WatchedDevice:
    driver = Scripted(readings=list(readings), previous=[])
    return WatchedDevice(kind(name, **other), "main", driver, None)
