"""The live view: what has been committed, sent to everybody who watches."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_QUEUED = 1000  # a subscriber that does not read loses what exceeds this


class Broadcast(Generic[T]):
    """`send` never waits; each subscriber receives everything from its `subscribe` on."""

    def __init__(self) -> None:
        self._subscribers: set[asyncio.Queue[T]] = set()

    def __len__(self) -> int:
        """Number of subscribers."""
        return len(self._subscribers)

    def send(self, item: T) -> None:
        for subscriber in self._subscribers:
            if not subscriber.full():
                subscriber.put_nowait(item)

    async def subscribe(self) -> AsyncIterator[T]:
        queue: asyncio.Queue[T] = asyncio.Queue(MAX_QUEUED)
        self._subscribers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._subscribers.discard(queue)
