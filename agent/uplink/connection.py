"""The agent's side of a wire: a publication is awaited until its PUBACK, a lost connection raises instead of hanging.

It has at most min(10, Receive Maximum) packets under way (MQTT 5, 4.9). A packet keeps its place until its PUBACK, also where
nobody waits for it any more: `closing` would else be one too many, for which a broker may end the connection (3.3.4), and the
will speaks.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from common.mqtt.connection import Wire
from common.mqtt.errors import LinkLost, Refused, Trouble, of_row
from common.mqtt.session import Broker, Session, UserProperties
from drivers.reading import YinongError

WINDOW = 10


class Incoming(NamedTuple):
    """A message to us."""

    topic: str
    payload: bytes
    retained: bool
    response_topic: str | None
    correlation: bytes | None
    expiry_s: int | None


class Connection:
    """A connection that is up, made by `connect` (it listens on its wire, `common.mqtt.connection.Ears`)."""

    def __init__(self, broker: Broker, session: Session, on_message: Callable[[Incoming], None]) -> None:
        self._on_message = on_message
        self._acks: dict[int, asyncio.Future[ReasonCode]] = {}
        self._window = asyncio.Semaphore(WINDOW)
        self._wire = Wire(broker, session, self)

    @classmethod
    async def connect(cls, broker: Broker, session: Session, on_message: Callable[[Incoming], None]) -> "Connection":
        """Raises LinkLost (no broker, no answer) or Refused (not authorized, banned, …)."""
        try:
            connection = cls(broker, session, on_message)
        except YinongError as error:  # a certificate file that cannot be used
            raise LinkLost(Trouble("certificate_unusable", str(error))) from error
        await connection._wire.open()
        return connection

    @property
    def closed(self) -> "asyncio.Future[Trouble]":
        """Done when it is down, with the reason."""
        return self._wire.closed

    @property
    def largest_packet(self) -> int | None:
        """Bytes of the largest packet that the broker takes; None: any."""
        return self._wire.largest_packet

    async def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool | Callable[[], bool] = False,
        user: UserProperties = (), correlation: bytes | None = None,
    ) -> int:  # fmt: skip
        """Send; with QoS 1 returns the PUBACK's reason code (0, or NO_SUBSCRIBERS) when it has come.

        `retain` may be asked at the very moment of sending: what was the present when the wait for a place in the window
        began may have been overtaken. Raises Refused for a reason of 0x80 and up, or where it is larger than the broker
        takes, LinkLost where the connection ends first; one that acknowledges nothing for the session's `no_ack_s` is ended.
        """

        def send() -> int | None:
            retained = retain() if callable(retain) else retain
            return self._wire.publish(topic, payload, qos, retained, user, correlation)

        if qos == 0:
            self._sent(send())
            return 0
        await self._window.acquire()
        try:
            ack = self._ack_of(send())
        except BaseException:
            self._window.release()
            raise
        ack.add_done_callback(lambda _: self._window.release())
        return await self._acknowledged(ack, topic.split("/", 3)[-1])

    async def subscribe(self, topics: tuple[str, ...]) -> None:
        """QoS 1. Raises Refused (one of them not authorized), LinkLost."""
        await self._acknowledged(self._ack_of(self._wire.subscribe(topics)), ", ".join(topics))

    def close(self) -> None:
        """DISCONNECT (the will is not published), and let go."""
        self._wire.close()

    def drop(self) -> None:
        """Let go without DISCONNECT: the broker publishes the will."""
        self._wire.drop()

    def _sent(self, mid: int | None) -> int:
        if mid is None:
            raise LinkLost(self.closed.result() if self.closed.done() else Trouble("connecting"))
        return mid

    def _ack_of(self, mid: int | None) -> "asyncio.Future[ReasonCode]":
        ack: asyncio.Future[ReasonCode] = asyncio.get_running_loop().create_future()
        self._acks[self._sent(mid)] = ack
        return ack

    async def _acknowledged(self, ack: "asyncio.Future[ReasonCode]", leaf: str) -> int:
        reason = await asyncio.shield(ack)
        if reason.is_failure:
            raise Refused(of_row(reason.value, str(reason), leaf), reason.value)
        return reason.value

    # ears

    def connected(self, wire: Wire, resumed: bool) -> None:  # noqa: ARG002  the ear of a wire
        self._window = asyncio.Semaphore(min(WINDOW, wire.receive_maximum))

    def heard(self, wire: Wire, message: paho.MQTTMessage) -> None:  # noqa: ARG002  the ear of a wire
        properties = message.properties
        self._on_message(
            Incoming(
                message.topic, bytes(message.payload), message.retain, getattr(properties, "ResponseTopic", None),
                getattr(properties, "CorrelationData", None), getattr(properties, "MessageExpiryInterval", None),
            )
        )  # fmt: skip

    def acknowledged(self, mid: int, reason: ReasonCode) -> None:
        ack = self._acks.pop(mid, None)
        if ack is not None:
            ack.set_result(reason)

    def lost(self, why: Trouble) -> None:
        acks, self._acks = self._acks, {}
        for ack in acks.values():
            ack.set_exception(LinkLost(why))
            ack.exception()  # looked at: nobody may be waiting any more
