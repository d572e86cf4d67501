"""The rounds where a driver fails or hangs, a table is wrong, or the disk takes nothing."""

from typing import Any

import pytest
from support.scripted import BIG, FAULTY, WORKING, Hanging, kind, watch

from agent.devices.watched import Watch
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
