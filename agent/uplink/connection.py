"""The agent's MQTT connection: `publish` returns with the PUBACK, and raises if the connection is lost instead of hanging.

At most min(10, Receive Maximum) packets are in flight (MQTT 5, 4.9). A packet keeps its place in the window until its PUBACK,
even if its caller is gone: otherwise `closing` could be one packet too many, for which a broker may end the connection (3.3.4)
and publish the will.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from common.mqtt.connection import MqttConnection
from common.mqtt.errors import LinkLost, LinkProblem, Rejected, from_puback
from common.mqtt.session import BrokerAddress, ConnectOptions, UserProperties
from drivers.reading import YinongError

INFLIGHT_WINDOW = 10


class Incoming(NamedTuple):
    """A message to this terminal."""

    topic: str
    payload: bytes
    retained: bool
    response_topic: str | None
    correlation: bytes | None
    expiry_s: int | None


class Connection:
    """A connection that is up, made by `connect`. It is the `Listener` of its `common.mqtt.connection.MqttConnection`."""

    def __init__(self, broker: BrokerAddress, options: ConnectOptions, on_message: Callable[[Incoming], None]) -> None:
        self._on_message = on_message
        self._acks: dict[int, asyncio.Future[ReasonCode]] = {}
        self._window = asyncio.Semaphore(INFLIGHT_WINDOW)
        self._mqtt = MqttConnection(broker, options, self)

    @classmethod
    async def connect(
        cls, broker: BrokerAddress, options: ConnectOptions, on_message: Callable[[Incoming], None]
    ) -> "Connection":
        """Raises LinkLost (no broker, no answer) or Rejected (not authorized, banned, …)."""
        try:
            connection = cls(broker, options, on_message)
        except YinongError as error:  # a certificate file that cannot be used
            raise LinkLost(LinkProblem("certificate_unusable", str(error))) from error
        await connection._mqtt.open()
        return connection

    @property
    def closed(self) -> "asyncio.Future[LinkProblem]":
        """Done when the connection is down, with the reason."""
        return self._mqtt.closed

    @property
    def max_packet_size(self) -> int | None:
        """Bytes of the largest packet that the broker accepts; None: no limit."""
        return self._mqtt.max_packet_size

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool | Callable[[], bool] = False,
        user: UserProperties = (),
        correlation: bytes | None = None,
    ) -> int:
        """Send; with QoS 1, wait for the PUBACK and return its reason code (0 or NO_SUBSCRIBERS).

        A callable `retain` is evaluated at the moment of sending: the row may have been overtaken while it waited for a place in
        the window. Raises Rejected for a reason code of 0x80 or more, or if the packet is larger than the broker accepts,
        LinkLost if the connection ends first. A connection without a PUBACK for `ack_timeout_s` is ended.
        """

        def send() -> int | None:
            retained = retain() if callable(retain) else retain
            return self._mqtt.publish(topic, payload, qos, retained, user, correlation)

        if qos == 0:
            self._checked(send())
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
        """With QoS 1. Raises Rejected (one of them is not authorized), LinkLost."""
        await self._acknowledged(self._ack_of(self._mqtt.subscribe(topics)), ", ".join(topics))

    def close(self) -> None:
        """Send DISCONNECT (the will is not published) and close."""
        self._mqtt.close()

    def drop(self) -> None:
        """Close without DISCONNECT: the broker publishes the will."""
        self._mqtt.drop()

    def _checked(self, mid: int | None) -> int:
        if mid is None:
            raise LinkLost(self.closed.result() if self.closed.done() else LinkProblem("connecting"))
        return mid

    def _ack_of(self, mid: int | None) -> "asyncio.Future[ReasonCode]":
        ack: asyncio.Future[ReasonCode] = asyncio.get_running_loop().create_future()
        self._acks[self._checked(mid)] = ack
        return ack

    async def _acknowledged(self, ack: "asyncio.Future[ReasonCode]", leaf: str) -> int:
        reason = await asyncio.shield(ack)
        if reason.is_failure:
            raise Rejected(from_puback(reason.value, str(reason), leaf), reason.value)
        return reason.value

    # common.mqtt.connection.Listener

    def connected(self, connection: MqttConnection, resumed: bool) -> None:  # noqa: ARG002  of Listener
        self._window = asyncio.Semaphore(min(INFLIGHT_WINDOW, connection.receive_maximum))

    def received(self, connection: MqttConnection, message: paho.MQTTMessage) -> None:  # noqa: ARG002  of Listener
        properties = message.properties
        self._on_message(
            Incoming(
                message.topic,
                bytes(message.payload),
                message.retain,
                getattr(properties, "ResponseTopic", None),
                getattr(properties, "CorrelationData", None),
                getattr(properties, "MessageExpiryInterval", None),
            )
        )

    def acknowledged(self, mid: int, reason: ReasonCode) -> None:
        ack = self._acks.pop(mid, None)
        if ack is not None:
            ack.set_result(reason)

    def lost(self, problem: LinkProblem) -> None:
        acks, self._acks = self._acks, {}
        for ack in acks.values():
            ack.set_exception(LinkLost(problem))
            ack.exception()  # mark as retrieved: possibly nobody waits for it
