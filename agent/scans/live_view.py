"""What is committed, as it is committed, for people who watch."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_QUEUED = 1000  # a viewer who does not read misses what comes beyond


class Broadcast(Generic[T]):
    """`show` never waits; each `watch` sees all from its beginning on."""

    def __init__(self) -> None:
        self._subscribers: set[asyncio.Queue[T]] = set()

    def __len__(self) -> int:
        """How many watch."""
        return len(self._subscribers)

    def send(self, one: T) -> None:
        for viewer in self._subscribers:
            if not viewer.full():
                viewer.put_nowait(one)

    async def subscribe(self) -> AsyncIterator[T]:
        mine: asyncio.Queue[T] = asyncio.Queue(MAX_QUEUED)
        self._subscribers.add(mine)
        try:
            while True:
                yield await mine.get()
        finally:
            self._subscribers.discard(mine)
