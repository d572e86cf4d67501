"""The outbox's owner: group commit, one bad row fails no other, and each caller gets the real result."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.outbox.outbox import Draft, Outbox, OutboxFull, Row
from agent.outbox.stamps import journal
from agent.outbox.writer import Writer
from common.clock import Clock
from common.messages import Journal


class Unwritable:
    """A value that has no JSON form: its row cannot be made."""


def bad(clock: Clock) -> Draft:
    return journal(clock, "bad", value=Unwritable())


def big(clock: Clock) -> Draft:
    return journal(clock, "big", text="x" * 100_000)


def events(outbox: Outbox) -> list[str]:
    import msgspec

    return [msgspec.json.decode(row.body, type=Journal).event for row in outbox.waiting(0, 1000)]


class Blocked:
    """Blocks the outbox's thread, as a slow flash does, so that requests gather."""

    def __init__(self, writer: Writer) -> None:
        self._writer, self._let = writer, threading.Event()

    async def __aenter__(self) -> "Blocked":
        self._task = asyncio.create_task(self._writer.run_in_thread(lambda _: self._let.wait(20)))
        await asyncio.sleep(0)
        return self

    def unblock(self) -> None:
        self._let.set()

    async def __aexit__(self, *_: object) -> None:
        self._let.set()
        await self._task


async def test_what_arrives_during_a_commit_goes_into_the_next_one_together(
    writer: Writer, outbox: Outbox, clock: Any
) -> None:
    commits: list[list[Row]] = []
    writer.subscribe(commits.append)
    async with Blocked(writer) as blocked:
        first = asyncio.create_task(writer.commit([journal(clock, "first")]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rest = [asyncio.create_task(writer.commit([journal(clock, f"n{n}")])) for n in range(50)]
        await asyncio.sleep(0)
        blocked.unblock()
        await asyncio.gather(first, *rest)
    assert [len(rows) for rows in commits] == [1, 50]
    assert [task.result()[0].seq for task in rest] == list(range(2, 52))
    assert events(outbox) == ["first", *(f"n{n}" for n in range(50))]


async def test_each_caller_gets_its_own_rows(writer: Writer, clock: Any) -> None:
    one, two, none = await asyncio.gather(
        writer.commit([journal(clock, "a"), journal(clock, "b")]),
        writer.commit([journal(clock, "c")]),
        writer.commit([], {"state": b"1"}),
    )
    assert ([row.seq for row in one], [row.seq for row in two], none) == ([1, 2], [3], [])


async def test_one_bad_row_does_not_fail_the_others(writer: Writer, outbox: Outbox, clock: Any) -> None:
    async with Blocked(writer) as blocked:
        await asyncio.sleep(0)
        drafts = [journal(clock, "good"), bad(clock), journal(clock, "good too")]
        tasks = [asyncio.create_task(writer.commit([one])) for one in drafts]
        await asyncio.sleep(0)
        blocked.unblock()
        good, wrong, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(wrong, TypeError)
    assert isinstance(good, list)
    assert isinstance(other, list)
    assert events(outbox) == ["good", "good too"]


async def test_a_full_disk_is_raised_to_the_callers_whose_row_it_was(writer: Writer, room: Any, clock: Any) -> None:
    room.none()
    with pytest.raises(OutboxFull, match="硬盘已满"):
        await writer.commit([big(clock)])
    room.plenty()
    assert await writer.commit([big(clock)])


async def test_states_and_rows_are_committed_together_or_not_at_all(writer: Writer, outbox: Outbox, clock: Any) -> None:
    with pytest.raises(TypeError):
        await writer.commit([bad(clock)], {"believed": b"1"})
    assert outbox.state("believed") is None


async def test_a_commit_that_is_running_at_the_stop_is_reported_as_done(outbox: Outbox, clock: Any) -> None:
    writer = Writer(outbox)
    run = asyncio.create_task(writer.run())
    async with Blocked(writer) as blocked:
        commit = asyncio.create_task(writer.commit([journal(clock, "running")]))
        for _ in range(5):
            await asyncio.sleep(0)
        run.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not commit.done()
        blocked.unblock()
        assert [row.seq for row in await commit] == [1]
        with pytest.raises(asyncio.CancelledError):
            await run
    assert events(outbox) == ["running"]
    writer._thread.shutdown()


async def test_a_commit_that_fails_at_the_stop_is_not_reported_as_done(outbox: Outbox, room: Any, clock: Any) -> None:
    writer = Writer(outbox)
    run = asyncio.create_task(writer.run())
    room.none()
    async with Blocked(writer) as blocked:
        tasks = [asyncio.create_task(writer.commit([draft])) for draft in (big(clock), bad(clock))]
        for _ in range(5):
            await asyncio.sleep(0)
        run.cancel()
        blocked.unblock()
        with pytest.raises(asyncio.CancelledError):
            await run
    assert not any(task.done() for task in tasks), "the clean stop tries once more"
    room.plenty()
    await writer.flush()
    assert [row.seq for row in await tasks[0]] == [1]
    with pytest.raises(TypeError):
        await tasks[1]
    writer._thread.shutdown()


async def test_what_is_still_requested_at_a_clean_stop_is_committed(outbox: Outbox, clock: Any) -> None:
    writer = Writer(outbox)  # `run` has ended, or never started
    tasks = [asyncio.create_task(writer.commit([journal(clock, name)])) for name in ("a", "b")]
    await asyncio.sleep(0)
    await writer.flush()
    await asyncio.gather(*tasks)
    assert events(outbox) == ["a", "b"]
    writer._thread.shutdown()


async def test_the_row_of_a_cancelled_caller_is_committed_all_the_same(
    writer: Writer, outbox: Outbox, clock: Any
) -> None:
    async with Blocked(writer) as blocked:
        gone = asyncio.create_task(writer.commit([journal(clock, "gone")]))
        stays = asyncio.create_task(writer.commit([journal(clock, "stays")]))
        await asyncio.sleep(0)
        gone.cancel()
        blocked.unblock()
        assert [row.seq for row in await stays] == [2]
    assert events(outbox) == ["gone", "stays"]


async def test_a_damaged_file_ends_the_writer_and_is_raised(outbox: Outbox, clock: Any) -> None:
    writer = Writer(outbox)
    run = asyncio.create_task(writer.run())
    await writer.commit([journal(clock, "before")])
    damage(outbox.path)
    with pytest.raises(sqlite3.DatabaseError):
        await writer.commit([journal(clock, "after")])
    with pytest.raises(sqlite3.DatabaseError):
        await run
    writer._thread.shutdown()


def damage(path: Path) -> None:
    """Write noise over the database, its log and its index, as a dying flash does."""
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        with file.open("r+b") as content:
            content.write(b"\x5a" * file.stat().st_size)


async def test_an_error_in_the_thread_is_raised_to_the_caller(writer: Writer) -> None:
    def wrong(_box: Outbox) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await writer.run_in_thread(wrong)
    assert await writer.run_in_thread(lambda box: box.last_rowid()) == 0
