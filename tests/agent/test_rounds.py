"""The rounds: looks, what is believed of them, and what happens when a driver or the disk fails."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.devices.board import Believed, Board
from agent.devices.judgement import Judged
from agent.devices.rounds import REPORT_AGAIN_MS, Rounds
from agent.devices.watch import Watch
from agent.messages import Device, Item, Standard
from agent.store.outbox import Outbox
from agent.store.writer import Writer
from drivers.hotplug import Plug
from drivers.reading import CannotLook, Condition, DriverError, Evidence, Reading, Reason, YinongError
from drivers.table import DeviceClass

WORKING = Reading(condition=Condition.WORKING, reason=Reason("ok"), measures={"pages": 1})
FAULTY = Reading(condition=Condition.FAULTY, reason=Reason("paper_out", {"tray": "1"}))
BIG = Reading(condition=Condition.FAULTY, reason=Reason("big"), evidence=(Evidence("x", "x", "x" * 100_000),))


def kind(name: str = "printer", **other: Any) -> DeviceClass:
    return DeviceClass(name, "test:none", **{"every_s": 60, "budget_s": 5.0, "hotplug": frozenset({"usb"}), **other})


class Scripted(msgspec.Struct, kw_only=True):
    """A device that gives what is put here; the last one again and again."""

    id: str = "main"
    readings: list[Reading | Exception]
    looks: int = 0
    previous: list[Reading | None] = []

    async def look(self, root: Path, previous: Reading | None = None) -> Reading:
        self.looks += 1
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


def items_of(believed: Believed) -> tuple[Item, ...]:
    """A standard of its own: each class is met where something of it works."""
    return tuple(
        Item(
            item=name, verdict="met" if any(r.condition is Condition.WORKING for _, r in readings) else "not_met",
            because="test",
        )
        for name, readings in sorted(believed.items())
    )  # fmt: skip


class Terminal:
    """Rounds over these watches, and what they committed."""

    def __init__(self, writer: Writer, outbox: Outbox, clock: Any, *watches: Watch) -> None:
        self.outbox, self.clock, self.board = outbox, clock, Board()
        self.plugs: list[Plug] = []
        self.watches = watches
        self.rounds = Rounds(watches, Path("/"), clock, writer, self.board, items_of, "B", self.plugs.append)

    @property
    def told(self) -> list[Device]:
        rows = self.outbox.waiting(0, 1000)
        return [msgspec.json.decode(row.body, type=Device) for row in rows if row.leaf.startswith("device/")]

    @property
    def conditions(self) -> list[str]:
        return [one.condition.value for one in self.told]

    @property
    def standards(self) -> list[dict[str, str]]:
        rows = [row for row in self.outbox.waiting(0, 1000) if row.leaf == "standard"]
        told = [msgspec.json.decode(row.body, type=Standard) for row in rows]
        return [{item.item: item.verdict for item in one.items} for one in told]

    async def look(self, times: int = 1, event: bool = False, watch: int = 0) -> None:
        for _ in range(times):
            await self.rounds.look(self.watches[watch], event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.rounds.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def terminal(writer: Writer, outbox: Outbox, clock: Any) -> Callable[..., Terminal]:
    def made(*watches: Watch) -> Terminal:
        return Terminal(writer, outbox, clock, *watches)

    return made


def watch(*readings: Reading | Exception, name: str = "printer", **other: Any) -> Watch:
    driver = Scripted(readings=list(readings), previous=[])
    return Watch(kind(name, **other), "main", driver, None)


async def test_the_first_look_is_believed_and_reported_at_once(terminal: Any) -> None:
    one = terminal(watch(WORKING))
    assert one.board.devices["printer/main"].reading.reason.code == "not_looked_at"
    await one.look()
    (told,) = one.told
    assert (told.device_class, told.id, told.condition, told.reason) == ("printer", "main", Condition.WORKING, "ok")
    assert (told.measures, told.previous) == ({"pages": 1}, None)
    assert one.outbox.waiting(0, 1)[0].retained
    assert one.board.devices["printer/main"].reading == WORKING


async def test_readings_that_agree_are_not_reported_again_before_a_day_is_over(terminal: Any, clock: Any) -> None:
    one = terminal(watch(WORKING))
    await one.look(5)
    await clock.advance(REPORT_AGAIN_MS / 1000 - 1)
    await one.look()
    assert one.conditions == ["working"]
    await clock.advance(1)
    await one.look(2)
    assert one.conditions == ["working", "working"]
    assert one.standards == [{"printer": "met"}, {"printer": "met"}], "told again with it"


async def test_a_change_is_believed_after_three_looks_and_a_recovery_after_two(terminal: Any) -> None:
    one = terminal(watch(WORKING, FAULTY, FAULTY, FAULTY, WORKING, WORKING))
    await one.look(3)
    assert one.conditions == ["working"]
    assert one.board.devices["printer/main"].reading == FAULTY, "what is seen is shown before it is believed"
    await one.look()
    assert one.conditions == ["working", "faulty"]
    assert one.told[1].previous is Condition.WORKING
    await one.look(2)
    assert one.conditions == ["working", "faulty", "working"]
    assert one.standards == [{"printer": "met"}, {"printer": "not_met"}, {"printer": "met"}]


async def test_after_a_plug_one_look_is_enough(terminal: Any) -> None:
    one = terminal(watch(WORKING, FAULTY))
    await one.look()
    await one.look(event=True)
    assert one.conditions == ["working", "faulty"]


async def test_what_is_believed_outlives_the_daemon(writer: Writer, outbox: Outbox, clock: Any) -> None:
    one = Terminal(writer, outbox, clock, watch(WORKING))
    await one.look()
    judged = msgspec.json.decode(outbox.mark("judged:printer/main") or b"", type=Judged)
    again = Terminal(writer, outbox, clock, Watch(kind(), "main", Scripted(readings=[FAULTY], previous=[]), judged))
    await again.look()
    assert again.conditions == ["working", "working"], "reported anew in each run, and one look changes nothing"
    await again.look(2)
    assert again.conditions[-1] == "faulty"


@pytest.mark.parametrize(
    ("error", "condition", "reason"),
    [
        (DriverError(Condition.ABSENT, "not_connected"), "absent", "not_connected"),
        (CannotLook("no_permission"), "unknown", "no_permission"),
        (ZeroDivisionError("a bug"), "unknown", "driver_failed"),
        (TimeoutError(), "unknown", "timed_out"),
        (OSError(5, "Input/output error"), "unknown", "driver_failed"),
    ],
)
async def test_what_a_driver_raises_is_a_reading(terminal: Any, error: Exception, condition: str, reason: str) -> None:
    one = terminal(watch(error))
    await one.look()
    assert [(told.condition.value, told.reason) for told in one.told] == [(condition, reason)]


async def test_a_driver_that_hangs_is_timed_out_while_the_others_are_looked_at(terminal: Any, until: Any) -> None:
    hanging = Hanging(cancelled=[])
    wedged = Watch(kind("video", budget_s=0.3), "main", hanging, None)
    fine, broken = watch(WORKING), watch(ZeroDivisionError(), name="scan_gun")
    one = terminal(wedged, fine, broken)
    async with one.running():
        await until(lambda: len(one.told) == 2)
        assert not hanging.cancelled, "the others did not wait for it"
        assert one.standards == [], "half a picture is no news"
        await until(lambda: one.standards)
    assert {told.device_class: told.reason for told in one.told} == {
        "printer": "ok", "scan_gun": "driver_failed", "video": "timed_out",
    }  # fmt: skip
    assert hanging.cancelled == [True]
    assert one.standards == [{"printer": "met", "scan_gun": "not_met", "video": "not_met"}]


async def test_a_look_that_failed_carries_no_counters_on(terminal: Any) -> None:
    one = terminal(watch(WORKING, ZeroDivisionError(), FAULTY, WORKING))
    await one.look(4)
    assert one.watches[0].driver.previous == [None, WORKING, WORKING, FAULTY]


async def test_what_the_outbox_did_not_take_is_not_believed_and_tried_again(terminal: Any, room: Any) -> None:
    one = terminal(watch(WORKING, BIG))
    await one.look()
    room.none()
    await one.look(5)
    assert one.conditions == ["working"]
    assert one.board.devices["printer/main"].believed == WORKING
    assert one.board.devices["printer/main"].reading == BIG
    assert {item.item: item.verdict for item in one.board.items} == {"printer": "met"}
    room.plenty()
    await one.look()
    assert one.conditions == ["working", "faulty"]
    assert one.standards[-1] == {"printer": "not_met"}


async def test_a_disk_that_is_full_at_the_start_leaves_everything_to_be_told_later(terminal: Any, room: Any) -> None:
    one = terminal(watch(BIG), watch(BIG, name="video"))
    room.none()
    await one.look(watch=0)
    await one.look(watch=1)
    assert one.told == []
    room.plenty()
    await one.look(watch=0)
    await one.look(watch=1)
    assert len(one.told) == 2
    assert one.standards[-1] == {"printer": "not_met", "video": "not_met"}


async def test_a_device_whose_table_is_wrong_is_told_daily_and_again_after_a_full_disk(
    terminal: Any, clock: Any, room: Any, until: Any
) -> None:
    wrong = Reading(condition=Condition.UNKNOWN, reason=Reason("table_wrong", {"error": "x" * 100_000}))
    one = terminal(Watch(kind(), "main", None, None, wrong))
    room.none()
    async with one.running():
        await until(lambda: clock._sleepers)
        assert one.told == []
        room.plenty()
        await clock.advance(60)
        await until(lambda: len(one.told) == 1)
        for _ in range(24 * 60 + 1):
            await until(lambda: clock._sleepers)
            await clock.advance(60)
        await until(lambda: len(one.told) == 2)
    assert {told.reason for told in one.told} == {"table_wrong"}


async def test_a_plug_makes_the_devices_of_its_class_be_looked_at_soon(terminal: Any, clock: Any, until: Any) -> None:
    printer, screen = watch(WORKING), watch(WORKING, name="led_screen", hotplug=frozenset({"drm"}))
    one = terminal(printer, screen)
    async with one.running():
        await until(lambda: len(clock._sleepers) == 2)
        one.rounds.on_plug(Plug("add", "usb", "/devices/x"))
        await until(lambda: len(clock._sleepers) == 3)
        await clock.advance(0.2)
        await until(lambda: printer.driver.looks == 2)
    assert screen.driver.looks == 1
    assert one.plugs == [Plug("add", "usb", "/devices/x")]


async def test_lost_plug_events_make_everything_be_looked_at(terminal: Any, clock: Any, until: Any) -> None:
    printer, screen = watch(WORKING), watch(WORKING, name="led_screen", hotplug=frozenset({"drm"}))
    one = terminal(printer, screen)
    async with one.running():
        await until(lambda: len(clock._sleepers) == 2)
        one.rounds.on_plug(Plug("overflow", "", ""))
        await until(lambda: len(clock._sleepers) == 4)
        await clock.advance(0.2)
        await until(lambda: printer.driver.looks == screen.driver.looks == 2)


async def test_a_loose_plug_that_never_settles_does_not_keep_its_device_from_being_looked_at(
    terminal: Any, clock: Any, until: Any
) -> None:
    printer = watch(WORKING)
    one = terminal(printer)
    async with one.running():
        await until(lambda: clock._sleepers)
        for _ in range(100):  # twice in the time in which one would have settled
            one.rounds.on_plug(Plug("change", "usb", "/devices/x"))
            await clock.advance(0.1)
        await until(lambda: printer.driver.looks >= 2)


async def test_a_change_that_is_seen_is_looked_at_again_soon(terminal: Any, clock: Any, until: Any) -> None:
    printer = watch(WORKING, FAULTY)
    one = terminal(printer)
    async with one.running():
        await until(lambda: clock._sleepers)
        await clock.advance(60)
        for looks in (2, 3):
            await until(lambda looks=looks: printer.driver.looks == looks and len(clock._sleepers) == 1)
            await clock.advance(5)
        await until(lambda: one.conditions == ["working", "faulty"])
    assert clock.mono_ms() == 1_000_000 + 70_000


async def test_a_look_for_a_person_waits_for_the_one_under_way_and_gives_what_is_seen_now(terminal: Any) -> None:
    one = terminal(watch(WORKING, FAULTY), watch(WORKING, name="video"))
    await one.look(watch=0)
    (seen,) = await one.rounds.look_now(["printer/main"])
    assert (seen.reading, seen.believed) == (FAULTY, WORKING)
    assert len(await one.rounds.look_now()) == 2


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (WORKING, "ok"),
        (CannotLook("no_server"), "no_server"),
        (ZeroDivisionError("a bug"), "driver_failed"),
    ],
)
async def test_a_measurement_that_fails_is_an_answer_and_the_look_after_it_is_believed_at_once(
    terminal: Any, given: Reading | Exception, reason: str
) -> None:
    line = Line(readings=[FAULTY, WORKING], measured=[given], previous=[])
    one = terminal(Watch(kind("broadband", measure_budget_s=5), "main", line, None))
    await one.look()
    key, measured = await one.rounds.measure_now("broadband")
    assert (key, measured.reason.code) == ("broadband/main", reason)
    assert one.conditions == ["faulty", "working"]
    with pytest.raises(YinongError):
        await one.rounds.measure_now("printer")


async def test_the_line_is_never_measured_at_the_start(terminal: Any, clock: Any, until: Any) -> None:
    line = Line(readings=[WORKING], measured=[WORKING], previous=[])
    one = terminal(Watch(kind("broadband", measure_budget_s=5), "main", line, None))
    async with one.running():
        await until(lambda: len(clock._sleepers) == 2)
        for _ in range(9):
            await clock.advance(60)
            await until(lambda: len(clock._sleepers) == 2)
        assert line.measured
        assert line.looks == 10
