"""When the poller polls: at intervals, after a plug event, and soon after a change."""

from typing import Any

from support.scripted import FAULTY, WORKING, Line, kind, watched

from agent.devices.watched import WatchedDevice
from drivers.hotplug import HotplugEvent


async def test_a_plug_makes_the_devices_of_its_class_be_polled_soon(terminal: Any, clock: Any, until: Any) -> None:
    printer, screen = watched(WORKING), watched(WORKING, name="led_screen", hotplug=frozenset({"drm"}))
    one = terminal(printer, screen)
    async with one.running():
        await until(lambda: len(clock._sleepers) == 2)
        one.poller.on_hotplug(HotplugEvent("add", "usb", "/devices/x"))
        await until(lambda: len(clock._sleepers) == 3)
        await clock.advance(0.2)
        await until(lambda: printer.driver.polls == 2)
    assert screen.driver.polls == 1


async def test_lost_plug_events_make_everything_be_polled(terminal: Any, clock: Any, until: Any) -> None:
    printer, screen = watched(WORKING), watched(WORKING, name="led_screen", hotplug=frozenset({"drm"}))
    one = terminal(printer, screen)
    async with one.running():
        await until(lambda: len(clock._sleepers) == 2)
        one.poller.on_hotplug(HotplugEvent("overflow", "", ""))
        await until(lambda: len(clock._sleepers) == 4)
        await clock.advance(0.2)
        await until(lambda: printer.driver.polls == screen.driver.polls == 2)


async def test_a_loose_plug_that_never_settles_does_not_keep_its_device_from_being_polled(
    terminal: Any, clock: Any, until: Any
) -> None:
    printer = watched(WORKING)
    one = terminal(printer)
    async with one.running():
        await until(lambda: clock._sleepers)
        for _ in range(100):  # twice within the settling time of one
            one.poller.on_hotplug(HotplugEvent("change", "usb", "/devices/x"))
            await clock.advance(0.1)
        await until(lambda: printer.driver.polls >= 2)


async def test_a_device_with_a_pending_change_is_polled_again_soon(terminal: Any, clock: Any, until: Any) -> None:
    printer = watched(WORKING, FAULTY)
    one = terminal(printer)
    async with one.running():
        await until(lambda: clock._sleepers)
        await clock.advance(60)
        for polls in (2, 3):
            await until(lambda polls=polls: printer.driver.polls == polls and len(clock._sleepers) == 1)
            await clock.advance(5)
        await until(lambda: one.conditions == ["working", "faulty"])
    assert clock.mono_ms() == 1_000_000 + 70_000


async def test_a_change_that_a_person_saw_is_polled_again_soon_and_not_at_the_devices_interval(
    terminal: Any, clock: Any, until: Any
) -> None:
    printer = watched(WORKING, FAULTY)
    one = terminal(printer)
    async with one.running():
        await until(lambda: clock._sleepers)
        await clock.advance(1)
        await one.poller.poll_now()
        for polls in (2, 3):
            await until(lambda polls=polls: printer.driver.polls == polls and len(clock._sleepers) == 2)
            await clock.advance(5)
        await until(lambda: one.conditions == ["working", "faulty"])
    assert clock.mono_ms() == 1_000_000 + 11_000


async def test_the_line_is_never_measured_at_the_start(terminal: Any, clock: Any, until: Any) -> None:
    line = Line(readings=[WORKING], measured=[WORKING], previous=[])
    one = terminal(WatchedDevice(kind("broadband", measure_budget_s=5), "main", line, None))
    async with one.running():
        await until(lambda: len(clock._sleepers) == 2)
        for _ in range(9):
            await clock.advance(60)
            await until(lambda: len(clock._sleepers) == 2)
        assert line.measured
        assert line.polls == 10
