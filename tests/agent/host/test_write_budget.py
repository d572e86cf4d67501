"""The flash meter and its budget: real /proc files below a root of the test, a real outbox, a clock that the test advances."""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.running import running

from agent.host.write_budget import (
    DAY_MS,
    DAYS_KEPT,
    SAVE_BYTES,
    SAVE_MS,
    STATE_KEY,
    UPDATE_S,
    BudgetState,
    WriteBudget,
)
from agent.outbox.outbox import Outbox, load_state
from agent.outbox.stamps import journal
from agent.outbox.writer import Writer

MB = 1_000_000


class Kernel:
    """/proc/self/io of a process that writes as the test says."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.written = self.cancelled = 0
        (root / "proc/self").mkdir(parents=True)
        self.say()

    def say(self) -> None:
        (self.root / "proc/self/io").write_text(
            f"rchar: 99\nwchar: 99999999\nsyscr: 1\nsyscw: 1\nread_bytes: 7\n"
            f"write_bytes: {self.written}\ncancelled_write_bytes: {self.cancelled}\n",
            "ascii",
        )

    def write(self, count: int) -> None:
        self.written += count
        self.say()


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path / "root")


def meter(
    kernel: Kernel, clock: Any, budget: int = 30 * MB, kept: BudgetState | None = None, logged: int = 0
) -> WriteBudget:
    return WriteBudget(clock, budget, kept, root=kernel.root, logged=lambda: logged)


def saved_at_a_stop(one: WriteBudget) -> Any:
    one.end()
    return one.state()


def stored_in(states: Any) -> BudgetState:
    return msgspec.json.decode(states[STATE_KEY], type=BudgetState)


def test_what_the_process_and_its_ended_children_wrote_counts_less_what_was_cancelled(
    kernel: Kernel, clock: Any
) -> None:
    kernel.write(5000)
    one = meter(kernel, clock, logged=700)
    one.update()
    assert one.day_bytes == 5700, "what was written before the first look, and the log"
    kernel.cancelled = 1000
    kernel.write(4096)
    one.update()
    assert one.day_bytes == 5700 + 4096 - 1000
    kernel.cancelled = 3000
    kernel.say()
    one.update()
    assert one.day_bytes == 5700 + 4096 - 1000, "what this day has written is not unwritten"


def test_the_real_kernel_counts_this_process(clock: Any, tmp_path: Path) -> None:
    one = WriteBudget(clock, 30 * MB, None)
    one.update()
    before = one.day_bytes
    if before is None:
        pytest.skip("this kernel keeps no account of I/O")
    with (Path(__file__).parent / f".flash-{os.getpid()}").open("wb") as file:  # the test's folder may lie in memory
        os.unlink(file.name)  # noqa: PTH108
        file.write(bytes(300_000))
        file.flush()
        os.fsync(file.fileno())
        one.update()
    assert one.day_bytes is not None
    assert one.day_bytes - before >= 300_000


def test_if_the_kernel_does_not_count_nothing_is_reported_and_nothing_is_reduced(kernel: Kernel, clock: Any) -> None:
    (kernel.root / "proc/self/io").write_text("something: else\n")
    one = meter(kernel, clock, budget=0 + 1)
    one.update()
    assert (one.day_bytes, one.is_spent()) == (None, False)
    assert one.status()["day_bytes"] is None


async def test_a_day_is_24_hours_of_running_whatever_the_wall_clock_says(kernel: Kernel, clock: Any) -> None:
    one = meter(kernel, clock)
    for day in range(1, DAYS_KEPT + 3):
        kernel.write(day * MB)
        await clock.advance(DAY_MS / 1000 - 1)
        one.update()
        assert one.day_bytes == day * MB
        clock._wall = clock._wall.replace(year=1970 + day)
        await clock.advance(1)
        one.update()
        assert one.day_bytes == 0
    assert one.status()["days_before"] == [day * MB for day in range(DAYS_KEPT + 2, 2, -1)]
    await clock.advance(2.5 * DAY_MS / 1000)  # suspended, say
    one.update()
    assert one.status()["days_before"][:2] == [0, 0]
    assert one.status()["day_s"] == DAY_MS // 2000


async def test_the_day_continues_after_a_restart_in_the_same_boot(kernel: Kernel, clock: Any) -> None:
    one = meter(kernel, clock)
    kernel.write(3 * MB)
    await clock.advance(7200)
    kept = stored_in(one.state())
    await clock.advance(3600)  # nobody ran
    kernel.written = 0
    kernel.write(1 * MB)
    two = meter(kernel, clock, kept=kept)
    two.update()
    assert two.day_bytes == 4 * MB
    assert two.status()["day_s"] == 3 * 3600


async def test_the_day_continues_in_the_next_boot_from_the_stored_state(kernel: Kernel, clock: Any) -> None:
    one = meter(kernel, clock)
    kernel.write(3 * MB)
    await clock.advance(7200)
    kept = stored_in(one.state())
    clock.boot, clock._mono_ms = "b0070002", 60_000
    two = meter(kernel, clock, kept=kept)
    assert two.status()["day_s"] == 7260
    kernel.written = 0
    kernel.write(MB)
    two.update()
    assert two.day_bytes == 4 * MB
    await clock.advance(22 * 3600 - 60)
    two.update()
    assert two.status()["days_before"] == [4 * MB]


async def test_the_spent_budget_is_reported_once_a_day_and_not_again_after_a_restart(
    kernel: Kernel, clock: Any
) -> None:
    events: list[dict[str, object]] = []

    async def note(event: str, /, **details: object) -> None:
        events.append({"event": event, **details})

    one = meter(kernel, clock, budget=10 * MB)
    task = asyncio.create_task(one.watch(note))
    kernel.write(10 * MB - 1)
    await clock.advance(UPDATE_S)
    assert (one.is_spent(), events) == (False, [])
    kernel.write(1)
    await clock.advance(3 * UPDATE_S)
    assert one.is_spent()
    assert events == [{"event": "flash_budget_met", "day_bytes": 10 * MB, "budget_bytes": 10 * MB}]
    two = meter(Kernel(kernel.root / "two"), clock, budget=10 * MB, kept=stored_in(saved_at_a_stop(one)))
    assert two.is_spent()
    again = asyncio.create_task(two.watch(note))
    await clock.advance(3 * UPDATE_S)
    assert len(events) == 1
    again.cancel()
    await clock.advance(DAY_MS / 1000)
    assert not one.is_spent()
    kernel.write(11 * MB)
    await clock.advance(UPDATE_S)
    assert len(events) == 2
    task.cancel()


async def test_the_meter_is_stored_every_64_kilobytes_or_hour_and_at_a_stop(kernel: Kernel, clock: Any) -> None:
    one = meter(kernel, clock)
    assert STATE_KEY in one.state(), "the first commit of a run"
    assert one.state() == {}
    kernel.write(SAVE_BYTES - 1)
    assert one.state() == {}
    kernel.write(1)
    assert stored_in(one.state()).day_bytes == SAVE_BYTES
    await clock.advance(SAVE_MS / 1000 - 1)
    assert one.state() == {}
    await clock.advance(1)
    assert STATE_KEY in one.state()
    await clock.advance(DAY_MS / 1000)
    assert stored_in(one.state()).day_bytes == 0
    assert one.state() == {}
    assert STATE_KEY in saved_at_a_stop(one)


async def test_the_state_is_stored_with_a_commit_that_happens_anyway(
    kernel: Kernel, clock: Any, outbox: Outbox
) -> None:
    one = meter(kernel, clock)
    writer = Writer(outbox, one.state)
    kernel.write(5 * MB)
    commits: list[str] = []
    outbox.db.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    async with running(writer.run()):
        await writer.commit([journal(clock, "x")])
    writer._thread.shutdown()
    assert len(commits) == 1
    kept = load_state(outbox, STATE_KEY, BudgetState)
    assert kept is not None
    assert kept.day_bytes == 5 * MB
