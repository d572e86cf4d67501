"""From the gun to the outbox: numbers, repeats, damage, a full disk, a gun that fails, and a clean stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.running import running
from support.scripted_gun import ScriptedGun, read

from agent.outbox.opening import read_only
from agent.outbox.outbox import Outbox
from agent.outbox.writer import Writer
from agent.scans.captures import MAX_QUEUED, Captures
from common.messages import Capture, Journal
from drivers.scan_gun.driver import ScanGun


def gun(*texts: str, id: str = "main") -> ScriptedGun:
    return ScriptedGun(id=id, reads=[read(text, id) for text in texts], on_stop=[])


class Terminal:
    def __init__(self, writer: Writer, outbox: Outbox, clock: Any, *guns: ScanGun) -> None:
        self.outbox = outbox
        self.captures = Captures(guns, Path("/"), clock, writer)

    @property
    def kept(self) -> list[Capture]:
        with read_only(self.outbox.path) as box:  # between the writer's transactions, not within one
            rows = box.waiting(0, 5000)
        return [msgspec.json.decode(row.body, type=Capture) for row in rows if row.leaf == "scan"]

    @property
    def seen(self) -> list[tuple[int, str]]:
        return [(one.number, one.text) for one in self.kept]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with running(self.captures.run()):
            yield


async def test_captures_are_numbered_in_order_and_on_in_the_next_run(
    writer: Writer, outbox: Outbox, clock: Any, until: Any
) -> None:
    for run in range(3):
        one = Terminal(writer, outbox, clock, gun("a", "b", "c"))
        async with one.running():
            await until(lambda one=one, run=run: len(one.kept) == 3 * (run + 1))
    assert [number for number, _ in one.seen] == list(range(1, 10))


async def test_the_same_text_again_is_kept_and_flagged(writer: Writer, outbox: Outbox, clock: Any, until: Any) -> None:
    one = Terminal(writer, outbox, clock, gun("a", "a", "b", "a"))
    async with one.running():
        await until(lambda: len(one.kept) == 4)
    again = Terminal(writer, outbox, clock, gun("a"))
    async with again.running():
        await until(lambda: len(again.kept) == 5)
    assert [capture.flags for capture in again.kept] == [(), ("repeated",), (), (), ("repeated",)]


async def test_each_gun_has_its_own_numbers(writer: Writer, outbox: Outbox, clock: Any, until: Any) -> None:
    one = Terminal(writer, outbox, clock, gun("a", "b", id="left"), gun("a", id="right"))
    async with one.running():
        await until(lambda: len(one.kept) == 3)
    assert sorted((c.gun, c.number, c.text, c.flags) for c in one.kept) == [
        ("left", 1, "a", ()),
        ("left", 2, "b", ()),
        ("right", 1, "a", ()),
    ]


async def test_a_damaged_scan_is_kept_and_journalled_and_nothing_repeats_it(
    writer: Writer, outbox: Outbox, clock: Any, until: Any
) -> None:
    one = Terminal(
        writer,
        outbox,
        clock,
        ScriptedGun(
            id="main",
            reads=[read("cut", damage="events_dropped"), read("cut", damage="events_dropped"), read("cut")],
            on_stop=[],
        ),
    )
    async with one.running():
        await until(lambda: len(one.kept) == 3)
    assert [(c.number, c.text, c.seen, c.damage, c.flags) for c in one.kept] == [
        (1, "", "cut", "events_dropped", ("damaged",)),
        (2, "", "cut", "events_dropped", ("damaged",)),
        (3, "cut", "", None, ()),
    ]
    journal = [msgspec.json.decode(r.body, type=Journal) for r in outbox.waiting(0, 100) if r.leaf == "journal"]
    assert [(entry.event, entry.details["number"]) for entry in journal] == [("scan_damaged", 1), ("scan_damaged", 2)]


async def test_a_scan_waits_for_room_on_a_full_disk_and_is_never_dropped(
    writer: Writer, outbox: Outbox, clock: Any, room: Any, until: Any
) -> None:
    room.none()
    one = Terminal(
        writer,
        outbox,
        clock,
        ScriptedGun(
            id="main",
            reads=[read("first", raw="00" * 100_000), read("second")],
            on_stop=[],
        ),
    )
    async with one.running():
        await until(lambda: clock._sleepers)
        assert one.seen == []
        room.plenty()
        await clock.advance(2)
        await until(lambda: one.seen == [(1, "first"), (2, "second")])


class Sounds:
    """The sounds that the officer hears."""

    def __init__(self) -> None:
        self.good = self.bad = 0

    def ok(self, gun: str) -> None:
        self.good += 1

    def refused(self, gun: str) -> None:
        self.bad += 1


async def test_a_scan_that_memory_has_no_room_for_is_refused_with_a_sound_and_journalled(
    writer: Writer, outbox: Outbox, clock: Any, room: Any, until: Any
) -> None:
    room.none()
    sounds = Sounds()
    reads: list[Any] = [read("0", raw="00" * 100_000), *(read(str(n)) for n in range(1, MAX_QUEUED + 3))]
    one = Terminal(writer, outbox, clock, ScriptedGun(id="main", reads=reads, on_stop=[]))
    one.captures = Captures(one.captures._guns, Path("/"), clock, writer, None, sounds)
    async with one.running():
        await until(lambda: clock._sleepers)
        assert (sounds.good, sounds.bad) == (0, 3), "no good beep for what is not on the disk"
        assert one.captures.queued == MAX_QUEUED
        room.plenty()
        await clock.advance(2)
        await until(lambda: sounds.good == MAX_QUEUED)
        assert one.captures.queued == 0
        one.captures.accept(read("one more"))
        await until(lambda: sounds.good == MAX_QUEUED + 1)
    entries = [row for row in outbox.waiting(0, MAX_QUEUED + 10) if row.leaf == "journal"]
    assert [msgspec.json.decode(row.body)["event"] for row in entries] == ["scans_turned_away"]
    assert msgspec.json.decode(entries[0].body)["details"] == {"number": 3}


async def test_what_waits_for_room_at_a_clean_stop_is_tried_once_more(
    writer: Writer, outbox: Outbox, clock: Any, room: Any, until: Any
) -> None:
    room.none()
    one = Terminal(writer, outbox, clock, ScriptedGun(id="main", reads=[read("a", raw="00" * 100_000)], on_stop=[]))
    async with one.running():
        await until(lambda: clock._sleepers)
    room.plenty()
    await one.captures.flush()
    assert one.seen == [(1, "a")]
    await one.captures.flush()
    assert one.seen == [(1, "a")]


async def test_what_a_gun_delivers_while_it_is_stopped_is_kept(
    writer: Writer, outbox: Outbox, clock: Any, until: Any
) -> None:
    one = Terminal(writer, outbox, clock, ScriptedGun(id="main", reads=[read("a")], on_stop=[read("b"), read("c")]))
    async with one.running():
        await until(lambda: one.seen == [(1, "a")])
    await one.captures.flush()
    assert one.seen == [(1, "a"), (2, "b"), (3, "c")]


async def test_numbers_are_assigned_once_also_if_a_commit_was_running_at_the_stop(
    writer: Writer, outbox: Outbox, clock: Any
) -> None:
    import threading

    let = threading.Event()
    one = Terminal(writer, outbox, clock, ScriptedGun(id="main", reads=[], on_stop=[read("b")]))
    async with one.running():
        await writer.run_in_thread(lambda _: None)
        blocking = asyncio.create_task(writer.run_in_thread(lambda _: let.wait(20)))
        await asyncio.sleep(0.02)
        one.captures._queue.put_nowait(read("a"))
        await asyncio.sleep(0.02)
    let.set()
    await blocking
    await one.captures.flush()
    assert one.seen == [(1, "a"), (2, "b")]


async def test_a_gun_whose_listening_fails_is_listened_to_again_and_the_others_go_on(
    writer: Writer, outbox: Outbox, clock: Any, until: Any
) -> None:
    broken = ScriptedGun(id="left", reads=[read("a", "left"), ZeroDivisionError(), read("b", "left")], on_stop=[])
    one = Terminal(writer, outbox, clock, broken, gun("x", id="right"))
    async with one.running():
        await until(lambda: len(one.kept) == 2 and clock._sleepers)
        await clock.advance(2)
        await until(lambda: len(one.kept) == 3)
    assert [(c.number, c.text) for c in one.kept if c.gun == "left"] == [(1, "a"), (2, "b")]


async def test_a_counter_that_cannot_be_read_starts_again(
    writer: Writer, outbox: Outbox, clock: Any, until: Any
) -> None:
    outbox.append([], {"gun:main": b'{"number": "many"}'})
    one = Terminal(writer, outbox, clock, gun("a"))
    async with one.running():
        await until(lambda: one.seen == [(1, "a")])


async def test_a_viewer_receives_captures_with_their_seq_and_a_slow_one_loses_only_its_own_view(
    writer: Writer, outbox: Outbox, clock: Any, until: Any
) -> None:
    many = ScriptedGun(id="main", reads=[], on_stop=[])
    one = Terminal(writer, outbox, clock, many)
    async with one.running():
        seen, slow = one.captures.subscribe(), one.captures.subscribe()
        firsts = [asyncio.create_task(anext(view)) for view in (seen, slow)]
        await asyncio.sleep(0)
        many.reads.append(read("0"))
        assert [(await first).seq for first in firsts] == [1, 1]
        for n in range(1, 1201):
            many.reads.append(read(str(n)))
            if n % 300 == 0:
                await until(lambda n=n: len(one.kept) == n + 1)
                for k in range(n - 299, n + 1):
                    assert (await anext(seen)).text == str(k)
        assert len(one.kept) == 1201
        assert one.captures._viewers
        await seen.aclose()
        await slow.aclose()
    assert not one.captures._viewers


async def test_hotplug_wakes_every_gun(writer: Writer, outbox: Outbox, clock: Any) -> None:
    one = Terminal(writer, outbox, clock, gun(id="left"), gun(id="right"))
    one.captures.on_hotplug()
    assert all(event.is_set() for event in one.captures.changed.values())


@pytest.mark.parametrize("count", [1, 500])
async def test_captures_that_arrive_together_are_committed_together(
    writer: Writer, outbox: Outbox, clock: Any, until: Any, count: int
) -> None:
    commits: list[int] = []
    writer.subscribe(lambda rows: commits.append(len(rows)))
    one = Terminal(writer, outbox, clock, gun(*map(str, range(count))))
    async with one.running():
        await until(lambda: sum(commits) == count)
    assert len(one.kept) == count
    assert len(commits) <= 3
