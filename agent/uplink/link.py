"""The link to the county's broker: connect, publish the birth, publish rows, detect a loss, reconnect.

One loop owns the connection. It waits with full jitter between attempts (618 stations reconnect after a power cut of the
county), publishes the birth on every connect and evaluates every reason code: 'not authorized' and 'no subscribers' are shown
in the state, never ignored.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from agent.observable import Observable
from agent.uplink.backoff import Backoff
from agent.uplink.connection import Connection, Incoming
from common.clock import Clock
from common.messages import LATE, topic
from common.mqtt.errors import NO_SUBSCRIBERS, LinkLost, LinkProblem, Rejected, from_puback
from common.mqtt.session import BrokerAddress, ConnectOptions

OVERHEAD = 64  # bytes of a PUBLISH besides topic and payload, at most, with the properties used here


class LinkState(NamedTuple):
    """State of the link, for status, heartbeat and journal. Texts of the codes: `common.mqtt.error_texts`."""

    up: bool
    connections: int  # since the daemon began
    since_mono_ms: int
    why: str  # code of the reason why it is down; empty while it is up
    warning: str = ""  # code of the newest kind of message that the broker rejects or nobody subscribes to
    detail: str = ""  # of `why`: text of the kernel, the library or the broker
    warning_detail: str = ""
    session_takeovers: int = 0  # by another client with our client id, in a row
    foreign_outbox: str = ""  # outbox id of another terminal that uses our name

    @classmethod
    def at_start(cls, clock: Clock) -> "LinkState":
        """Before the first connection of a run."""
        return cls(False, 0, clock.mono_ms(), "connecting")

    def json(self) -> dict[str, Any]:
        """For the socket's `status`, whose keys are older than the names here."""
        keys = {"session_takeovers": "taken_over", "foreign_outbox": "namesake"}
        return {keys.get(field, field): value for field, value in self._asdict().items()}

    @property
    def problem(self) -> LinkProblem | None:
        """Why it is down; None while it is up."""
        return LinkProblem(self.why, self.detail) if self.why else None

    @property
    def warnings(self) -> tuple[LinkProblem, ...]:
        """Further problems that a person should know."""
        rejected = [LinkProblem(self.warning, self.warning_detail)] if self.warning else []
        clone = [LinkProblem("twin", str(self.session_takeovers))] if self.session_takeovers else []
        return (*rejected, *clone, *([LinkProblem("namesake", self.foreign_outbox)] if self.foreign_outbox else ()))


class Link:
    """`run` belongs in the daemon's task group; `publish` may be called from any loop while the link is up."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        broker: BrokerAddress,
        connect_options: Callable[[int], ConnectOptions],
        on_birth: Callable[["Link"], Awaitable[None]],
        on_message: Callable[[Incoming], None],
        state: Observable[LinkState],
        *,
        backoff_cap_s: float = 120,
        backoff_first_s: float = 2,
        rng: random.Random | None = None,
    ) -> None:
        self._name, self._clock, self._on_birth = name, clock, on_birth
        self._broker, self._connect_options = broker, connect_options
        self._on_message, self._state = on_message, state
        # seeded by the kernel: two clones get different delays
        self._backoff = Backoff(backoff_first_s, backoff_cap_s, rng or random.Random())
        self._connection: Connection | None = None
        # by kind of message, the newest last; removed by the next success of the kind
        self._warnings: dict[str, LinkProblem] = {}
        self.up, self.down = asyncio.Event(), asyncio.Event()
        self.down.set()

    @property
    def state(self) -> LinkState:
        return self._state.value

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            lasted_ms: int | None = None
            rejected = False
            try:
                connection = await Connection.connect(
                    self._broker, self._connect_options(self.state.connections + 1), self._on_message
                )
            except (LinkLost, Rejected) as error:
                why, rejected = error.problem, isinstance(error, Rejected)
            else:
                why, lasted_ms = await self._run_connection(connection)
            delay_s = self._backoff.next_delay_s(why, lasted_ms=lasted_ms, rejected=rejected)
            self._change(session_takeovers=self._backoff.takeovers)
            self._set_state(up=False, problem=why)
            await self._clock.sleep(delay_s)

    def clone_seen(self, outbox: str, *, same_identity: bool) -> bool:
        """Note another terminal under our name: with our identity (a clone: its connection ends ours) or with its own.

        Returns whether this was not known before.
        """
        before = self.state
        if same_identity:
            self._backoff.clone_seen()
            self._change(session_takeovers=self._backoff.takeovers)
        else:
            self._change(foreign_outbox=outbox)
        return (
            bool(self.state.session_takeovers) > bool(before.session_takeovers)
            or self.state.foreign_outbox != before.foreign_outbox
        )

    def recorder_seen(self) -> None:
        """The recorder answered: remove the warnings that nobody subscribes, which came from messages before it connected."""
        self._warnings = {kind: one for kind, one in self._warnings.items() if one.code != "nobody_listens"}
        self._show_warning()

    def max_payload(self, leaf: str) -> int | None:
        """Bytes of payload that the broker accepts in one message on this topic; None: no limit."""
        max_size = self._connection.max_packet_size if self._connection else None
        return None if max_size is None else max(0, max_size - OVERHEAD - len(topic(self._name, leaf)))

    async def publish(
        self,
        leaf: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool | Callable[[], bool] = False,
        late: bool = False,
        user: tuple[tuple[str, str], ...] = (),
        correlation: bytes | None = None,
    ) -> int:
        """Publish below the own branch; returns the PUBACK's reason code. Raises LinkLost, Rejected.

        As `Connection.publish`, but with QoS 0 a rejection is shown in the state and returned as the code.
        """
        connection = self._connection
        if connection is None:
            raise LinkLost(self.state.problem or LinkProblem("connecting"))
        user = (*user, LATE) if late else user
        full_topic = topic(self._name, leaf)
        try:
            code = await connection.publish(
                full_topic, payload, qos=qos, retain=retain, user=user, correlation=correlation
            )
        except Rejected as error:
            self._warn(leaf, error.problem)
            if qos == 0:
                return error.code
            raise
        if qos == 0:
            return code
        self._warn(leaf, from_puback(code, "no matching subscribers", leaf) if code == NO_SUBSCRIBERS else None)
        return code

    def reconnect(self) -> None:
        """Drop the connection and connect again: the basis on which it was accepted has changed (a certificate's dates)."""
        if self._connection is not None:
            self._connection.drop()

    async def close(self, closing: bytes) -> None:
        """Clean stop: publish `closing` (retained) and disconnect, so that the will is not published. Bounded by the caller.

        If the time ends before `closing` could be sent (a full window), the connection is dropped and the will is published.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return
        sent = False

        def retain() -> bool:  # called at the moment of sending
            nonlocal sent
            sent = True
            return True

        try:
            await connection.publish(topic(self._name, "state"), closing, qos=1, retain=retain)
        except (LinkLost, Rejected):
            pass
        finally:
            if sent:
                connection.close()
            else:
                connection.drop()

    async def _run_connection(self, connection: Connection) -> tuple[LinkProblem, int]:
        """From CONNACK to the end of the connection; returns the reason and the duration in ms."""
        began = self._clock.mono_ms()
        self._connection = connection
        self._warnings.clear()
        self._change(connections=self.state.connections + 1, warning="", warning_detail="")
        try:
            await self._subscribe(connection)
            await self._on_birth(self)
            self._set_state(up=True)
            why = await asyncio.shield(connection.closed)
        except (LinkLost, Rejected) as error:
            why = error.problem
        self._connection = None
        connection.close()
        return why, self._clock.mono_ms() - began

    async def _subscribe(self, connection: Connection) -> None:
        try:
            await connection.subscribe((topic(self._name, "command/+"), topic(self._name, "receipt")))
        except Rejected as error:
            raise Rejected(LinkProblem("subscription_refused", error.problem.detail), error.code) from error

    def _set_state(self, *, up: bool, problem: LinkProblem = LinkProblem("")) -> None:
        since_mono_ms = self.state.since_mono_ms if up == self.state.up else self._clock.mono_ms()
        (self.up if up else self.down).set()
        (self.down if up else self.up).clear()
        self._change(up=up, why=problem.code, detail=problem.detail, since_mono_ms=since_mono_ms)

    def _change(self, **changes: Any) -> None:
        self._state.set(self.state._replace(**changes))

    def _warn(self, leaf: str, problem: LinkProblem | None) -> None:
        kind = leaf.partition("/")[0]
        self._warnings.pop(kind, None)
        if problem:
            self._warnings[kind] = problem
        self._show_warning()

    def _show_warning(self) -> None:
        shown = next(reversed(self._warnings.values()), LinkProblem(""))
        if (shown.code, shown.detail) != (self.state.warning, self.state.warning_detail):
            self._change(warning=shown.code, warning_detail=shown.detail)
