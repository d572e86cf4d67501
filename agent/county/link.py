"""The link to the county's broker: connect, be born, deliver, notice, come back.

One loop owns the connection. It waits with full jitter between tries (618 stations come back after a county power cut),
publishes the birth on every connect, keeps min(10, Receive Maximum) packets under way and reads every reason code: 'not
authorized' and 'nobody subscribed' are shown, never swallowed.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from agent.clock import Clock
from agent.county.connection import Connection, Incoming
from agent.messages import topic
from agent.wire import NO_SUBSCRIBERS, Broker, LinkLost, Refused, Session

WINDOW = 10


class LinkState(NamedTuple):
    """What is known of the link: for status, heartbeat and journal."""

    up: bool
    connections: int  # since the daemon began
    since_mono_ms: int
    why: str  # why it is down; empty while it is up
    warning: str = ""  # of the last acknowledgement: "not authorized", "no subscribers"


class Link:
    """`run` belongs into the daemon's task group; `publish` may be called by any loop while the link is up."""

    def __init__(
        self, name: str, clock: Clock, broker: Broker, session: Callable[[int], Session],
        born: Callable[["Link"], Awaitable[None]],
        on_message: Callable[[Incoming], None], changed: Callable[[LinkState], Awaitable[None]], *,
        backoff_cap_s: float = 120, backoff_first_s: float = 2, chance: random.Random | None = None,
    ) -> None:  # fmt: skip
        self._name, self._clock, self._born = name, clock, born
        self._broker, self._session = broker, session
        self._on_message, self._changed = on_message, changed
        self._cap_s, self._first_s = backoff_cap_s, backoff_first_s
        self._chance = chance or random.Random()  # from the kernel: two cloned terminals draw differently
        self._connection: Connection | None = None
        self._window = asyncio.Semaphore(WINDOW)
        self.state = LinkState(False, 0, clock.mono_ms(), "not connected yet")
        self.up, self.down = asyncio.Event(), asyncio.Event()
        self.down.set()

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            try:
                connection = await Connection.connect(
                    self._broker, self._session(self.state.connections + 1), self._on_message
                )
            except (LinkLost, Refused) as error:
                failures += 1
                await self._set(up=False, why=str(error))
            else:
                lasted_ms = await self._live(connection)
                failures = 1 if lasted_ms > 30_000 else failures + 1
            await self._clock.sleep(self._chance.uniform(0, min(self._cap_s, self._first_s * 2 ** min(failures, 16))))

    async def publish(
        self, leaf: str, payload: bytes, *, qos: int = 1, retain: bool = False, late: bool = False,
        user: tuple[tuple[str, str], ...] = (), correlation: bytes | None = None,
    ) -> int:  # fmt: skip
        """Publish below the own branch; returns the PUBACK's reason code. Raises LinkLost, Refused."""
        connection = self._connection
        if connection is None:
            raise LinkLost(self.state.why)
        user = (*user, ("late", "1")) if late else user
        where = topic(self._name, leaf)
        if qos == 0:
            return await connection.publish(where, payload, qos=0, retain=retain, user=user)
        async with self._window:
            try:
                code = await connection.publish(
                    where, payload, qos=qos, retain=retain, user=user, correlation=correlation
                )
            except Refused as error:
                self._warn(f"{leaf}: {error}")
                raise
        self._warn("no subscribers" if code == NO_SUBSCRIBERS else "")
        return code

    def again(self) -> None:
        """Drop the connection and make another: what it was made on does not hold any more."""
        if self._connection is not None:
            self._connection.drop()

    async def close(self, farewell: bytes) -> None:
        """Clean stop: say `closing` (retained) and disconnect, so that the will stays unsaid. Bounded by the caller."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await connection.publish(topic(self._name, "state"), farewell, qos=1, retain=True)
        except (LinkLost, Refused):
            pass
        finally:
            connection.close()

    async def _live(self, connection: Connection) -> int:
        began = self._clock.mono_ms()
        self._connection = connection
        self._window = asyncio.Semaphore(min(WINDOW, connection.receive_maximum))
        self.state = self.state._replace(connections=self.state.connections + 1)
        try:
            await connection.subscribe((topic(self._name, "command/+"), topic(self._name, "receipt")))
            await self._born(self)
            await self._set(up=True, why="")
            why = await asyncio.shield(connection.closed)
        except (LinkLost, Refused) as error:
            why = str(error)
        self._connection = None
        connection.close()
        await self._set(up=False, why=why)
        return self._clock.mono_ms() - began

    async def _set(self, *, up: bool, why: str) -> None:
        before = self.state
        self.state = before._replace(up=up, why=why)
        if up != before.up:
            self.state = self.state._replace(since_mono_ms=self._clock.mono_ms())
        (self.up if up else self.down).set()
        (self.down if up else self.up).clear()
        if (up, why) != (before.up, before.why):
            await self._changed(self.state)

    def _warn(self, warning: str) -> None:
        if warning != self.state.warning:
            self.state = self.state._replace(warning=warning)
