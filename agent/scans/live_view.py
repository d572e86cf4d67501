"""What is committed, as it is committed, for people who watch."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")

LONGEST = 1000  # a viewer who does not read misses what comes beyond


class LiveView(Generic[T]):
    """`show` never waits; each `watch` sees all from its beginning on."""

    def __init__(self) -> None:
        self._viewers: set[asyncio.Queue[T]] = set()

    def __len__(self) -> int:
        """How many watch."""
        return len(self._viewers)

    def show(self, one: T) -> None:
        for viewer in self._viewers:
            if not viewer.full():
                viewer.put_nowait(one)

    async def watch(self) -> AsyncIterator[T]:
        mine: asyncio.Queue[T] = asyncio.Queue(LONGEST)
        self._viewers.add(mine)
        try:
            while True:
                yield await mine.get()
        finally:
            self._viewers.discard(mine)
