"""Fixtures of the agent's tests: an outbox in a folder of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from support.running import running

from agent.outbox.opening import open_outbox
from agent.outbox.outbox import Outbox
from agent.outbox.writer import Writer


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = open_outbox(tmp_path / "outbox.db", "f00d00000001", "0123456789ab", "t")
    yield box
    box.close()


@pytest.fixture
async def writer(outbox: Outbox) -> AsyncIterator[Writer]:
    """The outbox's owner, running."""
    one = Writer(outbox)
    async with running(one.run()):
        yield one
    one._thread.shutdown()


class Room:
    """How much room the disk has for the outbox's file: SQLite's own limit, so that a full disk is a real SQLITE_FULL."""

    def __init__(self, outbox: Outbox) -> None:
        self._db = outbox.db

    def none(self) -> None:
        """Not a page more than there is; what is free in the pages goes for small rows."""
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        self._db.execute(f"PRAGMA max_page_count = {pages}")

    def plenty(self) -> None:
        self._db.execute("PRAGMA max_page_count = 1000000")


@pytest.fixture
def room(outbox: Outbox) -> Room:
    return Room(outbox)


Until: TypeAlias = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """Wait for a condition that a thread brings about; fails after 20 s."""

    async def wait(fits: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not fits():  # noqa: ASYNC110  what is waited for has no event of its own
                await asyncio.sleep(0.005)

    return wait
