"""The poller when a driver fails or hangs, a table is invalid, or the disk is full."""

from typing import Any

import pytest
from support.scripted import BIG, FAULTY, WORKING, Hanging, kind, watched

from agent.devices.watched import WatchedDevice
from drivers.reading import CannotLook, Condition, DriverError, Reading, Reason


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
    one = terminal(watched(error))
    await one.poll()
    assert [(device.condition.value, device.reason) for device in one.reported] == [(condition, reason)]


async def test_a_driver_that_hangs_is_timed_out_while_the_others_are_polled(terminal: Any, until: Any) -> None:
    hanging = Hanging(cancelled=[])
    wedged = WatchedDevice(kind("video", budget_s=0.3), "main", hanging, None)
    fine, broken = watched(WORKING), watched(ZeroDivisionError(), name="scan_gun")
    one = terminal(wedged, fine, broken)
    async with one.running():
        await until(lambda: len(one.reported) == 2)
        assert not hanging.cancelled, "the others did not wait for it"
        assert one.standards == [], "nothing is reported before every device was polled once"
        await until(lambda: one.standards)
    assert {device.device_class: device.reason for device in one.reported} == {
        "printer": "ok",
        "scan_gun": "driver_failed",
        "video": "timed_out",
    }
    assert hanging.cancelled == [True]
    assert one.standards == [{"printer": "met", "scan_gun": "not_met", "video": "not_met"}]


async def test_a_failed_poll_carries_no_counters_on(terminal: Any) -> None:
    one = terminal(watched(WORKING, ZeroDivisionError(), FAULTY, WORKING))
    await one.poll(4)
    assert one.devices[0].driver.previous == [None, WORKING, WORKING, FAULTY]


async def test_what_the_outbox_did_not_accept_is_not_confirmed_and_tried_again(terminal: Any, room: Any) -> None:
    one = terminal(watched(WORKING, BIG))
    await one.poll()
    room.none()
    await one.poll(5)
    assert one.conditions == ["working"]
    assert one.states.devices["printer/main"].confirmed == WORKING
    assert one.states.devices["printer/main"].reading == BIG
    assert {item.item: item.verdict for item in one.states.items} == {"printer": "met"}
    room.plenty()
    await one.poll()
    assert one.conditions == ["working", "faulty"]
    assert one.standards[-1] == {"printer": "not_met"}


async def test_a_disk_that_is_full_at_the_start_leaves_everything_to_be_reported_later(
    terminal: Any, room: Any
) -> None:
    one = terminal(watched(BIG), watched(BIG, name="video"))
    room.none()
    await one.poll(device=0)
    await one.poll(device=1)
    assert one.reported == []
    room.plenty()
    await one.poll(device=0)
    await one.poll(device=1)
    assert len(one.reported) == 2
    assert one.standards[-1] == {"printer": "not_met", "video": "not_met"}


async def test_a_device_whose_table_is_invalid_is_reported_daily_and_again_after_a_full_disk(
    terminal: Any, clock: Any, room: Any, until: Any
) -> None:
    wrong = Reading(condition=Condition.UNKNOWN, reason=Reason("table_wrong", {"error": "x" * 100_000}))
    one = terminal(WatchedDevice(kind(), "main", None, None, wrong))
    room.none()
    async with one.running():
        await until(lambda: clock._sleepers)
        assert one.reported == []
        room.plenty()
        await clock.advance(60)
        await until(lambda: len(one.reported) == 1)
        for _ in range(24 * 60 + 1):
            await until(lambda: clock._sleepers)
            await clock.advance(60)
        await until(lambda: len(one.reported) == 2)
    assert {device.reason for device in one.reported} == {"table_wrong"}
