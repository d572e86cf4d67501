"""The link to the county's broker: connect, be born, deliver, notice, come back.

One loop owns the connection. It waits with full jitter between tries (618 stations come back after a county power cut),
publishes the birth on every connect and reads every reason code: 'not authorized' and 'nobody subscribed' are shown, never
swallowed.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from agent.uplink.backoff import Pauses
from agent.uplink.connection import Connection, Incoming
from common.clock import Clock
from common.messages import LATE, topic
from common.mqtt.errors import NO_SUBSCRIBERS, LinkLost, Refused, Trouble, of_row
from common.mqtt.session import Broker, Session

OVERHEAD = 64  # bytes of a PUBLISH around topic and payload, at most, with what we put into it


class LinkState(NamedTuple):
    """What is known of the link: for status, heartbeat and journal. Codes have words (`common.mqtt.error_texts`)."""

    up: bool
    connections: int  # since the daemon began
    since_mono_ms: int
    why: str  # code of why it is down; empty while it is up
    warning: str = ""  # code of what the broker last said of a kind of message that it does not take, or nobody takes
    detail: str = ""  # what was said as `why`
    warning_detail: str = ""
    taken_over: int = 0  # times that another client came with our identity, in a row
    namesake: str = ""  # outbox of another terminal that uses our name

    @property
    def trouble(self) -> Trouble | None:
        """Why it is down."""
        return Trouble(self.why, self.detail) if self.why else None

    @property
    def warnings(self) -> tuple[Trouble, ...]:
        """What else a person should know."""
        said = [Trouble(self.warning, self.warning_detail)] if self.warning else []
        twin = [Trouble("twin", str(self.taken_over))] if self.taken_over else []
        return (*said, *twin, *([Trouble("namesake", self.namesake)] if self.namesake else ()))


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
        # chance from the kernel: two cloned terminals draw differently
        self._pauses = Pauses(backoff_first_s, backoff_cap_s, chance or random.Random())
        self._connection: Connection | None = None
        # by kind of message, the newest last; cleared by the kind's next success
        self._warnings: dict[str, Trouble] = {}
        self.state = LinkState(False, 0, clock.mono_ms(), "connecting")
        self.up, self.down = asyncio.Event(), asyncio.Event()
        self.down.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            lasted_ms: int | None = None
            refused = False
            try:
                connection = await Connection.connect(
                    self._broker, self._session(self.state.connections + 1), self._on_message
                )
            except (LinkLost, Refused) as error:
                why, refused = error.trouble, isinstance(error, Refused)
            else:
                why, lasted_ms = await self._live(connection)
            pause_s = self._pauses.after(why, lasted_ms=lasted_ms, refused=refused)
            self.state = self.state._replace(taken_over=self._pauses.taken_over)
            await self._set(up=False, why=why)
            await self._clock.sleep(pause_s)

    def twin_seen(self, outbox: str, *, same_identity: bool) -> bool:
        """Another terminal sends under our name: with our identity (its connection ends ours) or with one of its own.

        True where that is news.
        """
        before = self.state
        if same_identity:
            self._pauses.twin_seen()
            self.state = before._replace(taken_over=self._pauses.taken_over)
        else:
            self.state = before._replace(namesake=outbox)
        return bool(self.state.taken_over) > bool(before.taken_over) or self.state.namesake != before.namesake

    def recorder_seen(self) -> None:
        """It answered: that nobody listens, as it was said of a birth before it came, does not hold any more."""
        self._warnings = {kind: one for kind, one in self._warnings.items() if one.code != "nobody_listens"}
        self._show_warning()

    def room(self, leaf: str) -> int | None:
        """Bytes of payload that the broker takes in one message on this leaf; None: any number."""
        largest = self._connection.largest_packet if self._connection else None
        return None if largest is None else max(0, largest - OVERHEAD - len(topic(self._name, leaf)))

    async def publish(
        self, leaf: str, payload: bytes, *, qos: int = 1, retain: bool | Callable[[], bool] = False, late: bool = False,
        user: tuple[tuple[str, str], ...] = (), correlation: bytes | None = None,
    ) -> int:  # fmt: skip
        """Publish below the own branch; returns the PUBACK's reason code. Raises LinkLost, Refused.

        As `Connection.publish`, but that with QoS 0 a refusal is shown in the state and given as the code.
        """
        connection = self._connection
        if connection is None:
            raise LinkLost(self.state.trouble or Trouble("connecting"))
        user = (*user, LATE) if late else user
        where = topic(self._name, leaf)
        try:
            code = await connection.publish(where, payload, qos=qos, retain=retain, user=user, correlation=correlation)
        except Refused as error:
            self._warn(leaf, error.trouble)
            if qos == 0:
                return error.code
            raise
        if qos == 0:
            return code
        self._warn(leaf, of_row(code, "no matching subscribers", leaf) if code == NO_SUBSCRIBERS else None)
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

    async def _live(self, connection: Connection) -> tuple[Trouble, int]:
        """From CONNACK to the end; gives why it ended and how long it lasted."""
        began = self._clock.mono_ms()
        self._connection = connection
        self._warnings.clear()
        self.state = self.state._replace(connections=self.state.connections + 1, warning="", warning_detail="")
        try:
            await self._subscribe(connection)
            await self._born(self)
            await self._set(up=True)
            why = await asyncio.shield(connection.closed)
        except (LinkLost, Refused) as error:
            why = error.trouble
        self._connection = None
        connection.close()
        return why, self._clock.mono_ms() - began

    async def _subscribe(self, connection: Connection) -> None:
        try:
            await connection.subscribe((topic(self._name, "command/+"), topic(self._name, "receipt")))
        except Refused as error:
            raise Refused(Trouble("subscription_refused", error.trouble.detail), error.code) from error

    async def _set(self, *, up: bool, why: Trouble = Trouble("")) -> None:
        before = self.state
        self.state = before._replace(up=up, why=why.code, detail=why.detail)
        if up != before.up:
            self.state = self.state._replace(since_mono_ms=self._clock.mono_ms())
        (self.up if up else self.down).set()
        (self.down if up else self.up).clear()
        if (up, why.code) != (before.up, before.why):
            await self._changed(self.state)

    def _warn(self, leaf: str, trouble: Trouble | None) -> None:
        kind = leaf.partition("/")[0]
        self._warnings.pop(kind, None)
        if trouble:
            self._warnings[kind] = trouble
        self._show_warning()

    def _show_warning(self) -> None:
        shown = next(reversed(self._warnings.values()), Trouble(""))
        if (shown.code, shown.detail) != (self.state.warning, self.state.warning_detail):
            self.state = self.state._replace(warning=shown.code, warning_detail=shown.detail)
