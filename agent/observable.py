"""A value that others wait on: made before whoever sets it and whoever reads it, so that neither has to know the other."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Observed(Protocol[T_co]):
    """The reading side of an Observable."""

    @property
    def value(self) -> T_co: ...
    def changes(self) -> AsyncIterator[T_co]: ...


class Observable(Generic[T]):
    """Holds a value; `set` and the subscribers run in one event loop."""

    def __init__(self, value: T) -> None:
        self._value = value
        self._subscribers: list[asyncio.Queue[T]] = []

    @property
    def value(self) -> T:
        return self._value

    def set(self, value: T) -> None:
        """Keep the value and queue it for every subscriber; a value equal to the one before is no change."""
        if value == self._value:
            return
        self._value = value
        for subscriber in self._subscribers:
            subscriber.put_nowait(value)

    def changes(self) -> AsyncIterator[T]:
        """Every value set from this call on, in order, also those that came and went between two steps.

        A subscription lives as long as the observable: subscribe once a part, not once a request.
        """
        subscriber: asyncio.Queue[T] = asyncio.Queue()
        self._subscribers.append(subscriber)
        return _values(subscriber)


async def _values(subscriber: asyncio.Queue[T]) -> AsyncIterator[T]:
    while True:
        yield await subscriber.get()
