"""What the poller confirms and reports of its readings, on its own and for a person."""

from typing import Any

import msgspec
import pytest
from support.scripted import FAULTY, WORKING, Line, Scripted, Terminal, kind, watched

from agent.devices.debounce import Debounced
from agent.devices.poller import REPORT_INTERVAL_MS
from agent.devices.watched import WatchedDevice
from agent.outbox.outbox import Outbox
from agent.outbox.writer import Writer
from drivers.reading import CannotLook, Condition, Reading, YinongError


async def test_the_first_poll_is_confirmed_and_reported_at_once(terminal: Any) -> None:
    one = terminal(watched(WORKING))
    assert one.states.devices["printer/main"].reading.reason.code == "not_looked_at"
    await one.poll()
    (device,) = one.reported
    assert (device.device_class, device.id, device.condition, device.reason) == (
        "printer",
        "main",
        Condition.WORKING,
        "ok",
    )
    assert (device.measures, device.previous) == ({"pages": 1}, None)
    assert one.outbox.waiting(0, 1)[0].retained
    assert one.states.devices["printer/main"].reading == WORKING


async def test_readings_that_agree_are_not_reported_again_before_a_day_is_over(terminal: Any, clock: Any) -> None:
    one = terminal(watched(WORKING))
    await one.poll(5)
    await clock.advance(REPORT_INTERVAL_MS / 1000 - 1)
    await one.poll()
    assert one.conditions == ["working"]
    await clock.advance(1)
    await one.poll(2)
    assert one.conditions == ["working", "working"]
    assert one.standards == [{"printer": "met"}, {"printer": "met"}], "reported again with it"


async def test_a_change_is_confirmed_after_three_polls_and_a_recovery_after_two(terminal: Any) -> None:
    one = terminal(watched(WORKING, FAULTY, FAULTY, FAULTY, WORKING, WORKING))
    await one.poll(3)
    assert one.conditions == ["working"]
    assert one.states.devices["printer/main"].reading == FAULTY, "the newest reading is shown before it is confirmed"
    await one.poll()
    assert one.conditions == ["working", "faulty"]
    assert one.reported[1].previous is Condition.WORKING
    await one.poll(2)
    assert one.conditions == ["working", "faulty", "working"]
    assert one.standards == [{"printer": "met"}, {"printer": "not_met"}, {"printer": "met"}]


async def test_after_a_plug_one_poll_is_enough(terminal: Any) -> None:
    one = terminal(watched(WORKING, FAULTY))
    await one.poll()
    await one.poll(event=True)
    assert one.conditions == ["working", "faulty"]


async def test_what_is_confirmed_outlives_the_daemon(writer: Writer, outbox: Outbox, clock: Any) -> None:
    one = Terminal(writer, outbox, clock, watched(WORKING))
    await one.poll()
    debounced = msgspec.json.decode(outbox.state("judged:printer/main") or b"", type=Debounced)
    again = Terminal(
        writer, outbox, clock, WatchedDevice(kind(), "main", Scripted(readings=[FAULTY], previous=[]), debounced)
    )
    await again.poll()
    assert again.conditions == ["working", "working"], "reported again in each run, and one poll changes nothing"
    await again.poll(2)
    assert again.conditions[-1] == "faulty"


async def test_a_poll_for_a_person_waits_for_the_running_one_and_returns_the_new_reading(terminal: Any) -> None:
    one = terminal(watched(WORKING, FAULTY), watched(WORKING, name="video"))
    await one.poll(device=0)
    (state,) = await one.poller.poll_now(["printer/main"])
    assert (state.reading, state.confirmed) == (FAULTY, WORKING)
    assert len(await one.poller.poll_now()) == 2


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (WORKING, "ok"),
        (CannotLook("no_server"), "no_server"),
        (ZeroDivisionError("a bug"), "driver_failed"),
    ],
)
async def test_a_measurement_that_fails_is_an_answer_and_the_poll_after_it_is_confirmed_at_once(
    terminal: Any, result: Reading | Exception, reason: str
) -> None:
    line = Line(readings=[FAULTY, WORKING], measured=[result], previous=[])
    one = terminal(WatchedDevice(kind("broadband", measure_budget_s=5), "main", line, None))
    await one.poll()
    key, measured = await one.poller.measure_now("broadband")
    assert (key, measured.reason.code) == ("broadband/main", reason)
    assert one.conditions == ["faulty", "working"]
    with pytest.raises(YinongError):
        await one.poller.measure_now("printer")
