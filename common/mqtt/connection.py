"""One MQTT 5 connection: paho as the protocol codec, driven by the event loop, ended at the first problem.

    MqttConnection -> Listener (the agent's link, the recorder, the live view, a simulated station)

paho floods on reconnect, ignores Receive Maximum, reconnects without jitter, and its own queue loses the order. So a client is
used for one connection only, the callers keep the inflight window, and everything that must not be lost is in an outbox.
Connecting (name lookup, TCP, TLS) runs in a daemon thread, so that one that hangs does not delay a clean stop.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from common.mqtt.errors import (
    KEEPALIVE_TIMEOUT,
    PACKET_TOO_LARGE,
    QOS_NOT_SUPPORTED,
    RETAIN_NOT_SUPPORTED,
    SESSION_TAKEN_OVER,
    LinkLost,
    LinkProblem,
    Rejected,
    from_connack,
    from_connect,
    from_puback,
)
from common.mqtt.session import (
    BrokerAddress,
    ConnectOptions,
    UserProperties,
    connect_properties,
    new_client,
    publish_properties,
    publish_size,
)

# why paho ended the connection
_OWN_REASONS = {KEEPALIVE_TIMEOUT: "keepalive_timeout", 0x81: "not_understood", 0x82: "not_understood"}


class Listener(Protocol):
    """Callbacks of a connection. Called in the loop; none of them may raise or block."""

    def connected(self, connection: "MqttConnection", resumed: bool) -> None: ...
    def received(self, connection: "MqttConnection", message: paho.MQTTMessage) -> None: ...
    def acknowledged(self, mid: int, reason: ReasonCode) -> None: ...
    def lost(self, problem: LinkProblem) -> None: ...


class MqttConnection:
    """One connection. `closed` is done when it is down, with the reason."""

    def __init__(self, broker: BrokerAddress, options: ConnectOptions, listener: Listener) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener, self._options, self._broker = listener, options, broker
        self._tls = broker.tls() if broker.tls else None
        self._client = new_client(broker, options, self._tls)
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_message, self._client.on_publish = self._on_message, self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._unacked: dict[int, float] = {}
        self._tick_handle: asyncio.TimerHandle | None = None
        self._connack: asyncio.Future[tuple[ReasonCode, bool]] = self._loop.create_future()
        self.closed: asyncio.Future[LinkProblem] = self._loop.create_future()
        self.receive_maximum = 65535  # of the broker
        self.max_packet_size: int | None = None  # that the broker accepts; None: no limit
        self.session_takeover = False
        self._server_reference = ""  # Server Reference: another broker to use
        self._connected = False  # `Listener.connected` was called
        self._queued: list[paho.MQTTMessage] = []  # received before that; at most our Receive Maximum

    @property
    def up(self) -> bool:
        return self._connected and not self.closed.done()

    @property
    def in_flight(self) -> int:
        """QoS 1 messages that the broker has not acknowledged."""
        return len(self._unacked)

    async def open(self) -> None:
        """Connect; `Listener.connected` is called before this returns. Raises LinkLost, or Rejected if the broker rejects it."""
        try:
            async with asyncio.timeout(2 * self._options.connect_timeout_s):
                await self._dial()
                self._attach()
                reason, resumed = await self._connack
        except TimeoutError:
            raise self._fail(LinkProblem("no_answer", "no answer to CONNECT")) from None
        except OSError as error:  # refused, unreachable, unknown or impossible name, TLS
            raise self._fail(from_connect(error)) from error
        except BaseException:
            self._end(LinkProblem("closed"))
            raise
        if reason.is_failure:
            problem = from_connack(reason.value, self._reason_text(reason), connecting=True)
            self._disconnect()
            self._end(problem)
            if self._alert:
                raise LinkLost(self.closed.result())
            raise Rejected(problem, reason.value)
        if self.closed.done():
            raise LinkLost(self.closed.result())
        self._connected = True
        self._listener.connected(self, resumed)
        while self._queued:
            self._listener.received(self, self._queued.pop(0))

    def publish(
        self,
        topic: str,
        payload: bytes,
        qos: int = 1,
        retain: bool = False,
        user: UserProperties = (),
        correlation: bytes | None = None,
    ) -> int | None:
        """The message id, acknowledged later by `Listener.acknowledged` (QoS 1); None if the connection is down.

        Raises Rejected, and sends nothing, if the packet is larger than the broker accepts (MQTT 5, 3.2.2.3.6): the broker
        would end the connection.
        """
        if not self.up:
            return None
        properties = publish_properties(user, correlation)
        max_size = self.max_packet_size
        may_be_large = max_size and (correlation or len(payload) + 1024 > max_size)
        if max_size and may_be_large and (size := publish_size(topic, payload, properties)) > max_size:
            detail = f"{size} B, the broker takes {max_size} B"
            raise Rejected(from_puback(PACKET_TOO_LARGE, detail, topic.split("/", 3)[-1]), PACKET_TOO_LARGE)
        info = self._client.publish(topic, payload, qos, retain, properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            self.drop(LinkProblem("connection_cut", paho.error_string(info.rc)))
            return None
        if qos:
            self._unacked[info.mid] = self._loop.time()
        return info.mid

    def subscribe(self, topics: Sequence[str], qos: int = 1, retain_handling: int = 0) -> int | None:
        """The message id for which `Listener.acknowledged` reports the SUBACK (its worst reason); None if it is down.

        `retain_handling` 1: retained messages come only if the subscription is new (MQTT 5, 3.8.3.1).
        """
        if not self.up:
            return None
        _, mid = self._client.subscribe([(t, SubscribeOptions(qos, retainHandling=retain_handling)) for t in topics])
        if mid is not None:
            self._unacked[mid] = self._loop.time()
        return mid

    def acknowledge(self, mid: int) -> None:
        """PUBACK a message received on this connection; ignored if it is down: the broker delivers the message again."""
        if self.up:
            self._client.ack(mid, 1)

    def drop(self, problem: LinkProblem = LinkProblem("closed", "dropped")) -> None:
        """Cut the connection without DISCONNECT, like a power cut: the broker publishes the will."""
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._end(problem)

    def close(self) -> None:
        """Send DISCONNECT and close: no will."""
        self._disconnect()
        self._end(LinkProblem("closed"))

    async def _dial(self) -> None:
        """Name lookup, TCP and TLS, which block, in a thread of their own."""
        properties = connect_properties(self._options)
        done: asyncio.Future[None] = self._loop.create_future()

        def settle(error: BaseException | None) -> None:
            if done.done():
                self._end(LinkProblem("closed", "given up while dialling"))
            elif error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        def dial() -> None:
            error: BaseException | None = None
            try:
                self._client.connect(
                    self._broker.host,
                    self._broker.port,
                    self._options.keepalive_s,
                    clean_start=self._options.clean_start,
                    properties=properties,
                )
            except (OSError, ValueError) as caught:
                error = caught if isinstance(caught, OSError) else socket.gaierror(str(caught))
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(settle, error)

        threading.Thread(target=dial, name="dial", daemon=True).start()
        await done

    def _attach(self) -> None:
        sock = self._client.socket()
        if sock is None:
            raise OSError("the connection ended at once")
        with contextlib.suppress(OSError, AttributeError):
            # otherwise a scan waits up to 40 ms for a delayed ACK
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # type: ignore[attr-defined]
            # unacknowledged bytes end a half-open connection, also if no packet waits for a PUBACK
            user_timeout_ms = int(self._options.ack_timeout_s * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, user_timeout_ms)  # type: ignore[attr-defined]
        self._client.on_socket_close = self._on_socket_close
        self._client.on_socket_register_write = self._on_want_write
        self._client.on_socket_unregister_write = self._on_no_write
        self._loop.add_reader(sock.fileno(), self._readable)
        if self._client.want_write():
            self._loop.add_writer(sock.fileno(), self._client.loop_write)
        self._tick()

    def _readable(self) -> None:
        self._client.loop_read()
        sock = self._client.socket()
        while isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0 and sock.pending():  # select does not report these
            self._client.loop_read()

    def _tick(self) -> None:
        if self.closed.done():
            return
        oldest = next(iter(self._unacked.values()), None)
        if oldest is not None and self._loop.time() - oldest > self._options.ack_timeout_s:
            self.drop(LinkProblem("no_acknowledgement", f"for {self._options.ack_timeout_s:g} s"))
        elif self._client.loop_misc() != paho.MQTT_ERR_SUCCESS:
            self._end(LinkProblem("keepalive_timeout"))
        else:
            pace_s = min(5.0, self._options.keepalive_s / 4, self._options.ack_timeout_s / 4)
            self._tick_handle = self._loop.call_later(pace_s, self._tick)

    @property
    def _alert(self) -> LinkProblem | None:
        """The broker's alert when it ended TLS (`agent.uplink.tls`): a better reason than the state of the connection."""
        alert = str(getattr(self._tls, "alert", ""))
        return LinkProblem("tls_failed", alert) if alert else None

    def _disconnect(self) -> None:
        if self._client.is_connected() and not self.closed.done():
            self._client.disconnect()
            with contextlib.suppress(OSError):
                self._client.loop_write()

    def _fail(self, problem: LinkProblem) -> LinkLost:
        self._end(problem)
        return LinkLost(self.closed.result())

    def _reason_text(self, reason: ReasonCode) -> str:
        return f"{reason}: {self._server_reference}" if self._server_reference else str(reason)

    def _end(self, problem: LinkProblem) -> None:
        if self.closed.done():
            return
        problem = self._alert or problem
        was_up = self.up
        self.closed.set_result(problem)
        if self._tick_handle:
            self._tick_handle.cancel()
        sock = self._client.socket()
        if sock is not None and sock.fileno() >= 0:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
            self._client.on_socket_close = None
            with contextlib.suppress(OSError):
                sock.close()
        if not self._connack.done():
            self._connack.set_exception(LinkLost(problem))
            self._connack.exception()  # mark as retrieved: possibly nobody waits for it
        if was_up:
            self._listener.lost(problem)

    def _on_connect(self, _client: paho.Client, _data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self.receive_maximum = getattr(properties, "ReceiveMaximum", 65535)
        self.max_packet_size = getattr(properties, "MaximumPacketSize", None)
        self._server_reference = getattr(properties, "ServerReference", self._server_reference)
        if not reason.is_failure:  # a broker without QoS 1 or retained messages is treated as a rejection
            if getattr(properties, "MaximumQoS", 1) < 1:
                reason = ReasonCode(PacketTypes.CONNACK, identifier=QOS_NOT_SUPPORTED)
            elif not getattr(properties, "RetainAvailable", 1):
                reason = ReasonCode(PacketTypes.CONNACK, identifier=RETAIN_NOT_SUPPORTED)
        if not self._connack.done():
            self._connack.set_result((reason, bool(flags.session_present)))

    def _on_disconnect(self, _client: paho.Client, _data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        by_broker = flags.is_disconnect_packet_from_server
        self.session_takeover = by_broker and reason.value == SESSION_TAKEN_OVER
        self._server_reference = getattr(properties, "ServerReference", self._server_reference)
        if not self._connack.done():
            self._connack.set_result((reason, False))
        elif by_broker:
            self._end(from_connack(reason.value, self._reason_text(reason), connecting=False))
        else:
            self._end(LinkProblem(_OWN_REASONS.get(reason.value, "connection_cut"), str(reason)))

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if self.up and not self._queued:
            self._listener.received(self, message)
        elif not self.closed.done():  # of a resumed session, received together with CONNACK
            self._queued.append(message)

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, reason: ReasonCode, _props: Any) -> None:
        if self._unacked.pop(mid, None) is not None:
            self._listener.acknowledged(mid, reason)

    def _on_subscribe(self, client: paho.Client, data: Any, mid: int, reasons: list[ReasonCode], props: Any) -> None:
        self._on_publish(client, data, mid, max(reasons, key=lambda reason: reason.value), props)

    def _on_socket_close(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())

    def _on_want_write(self, client: paho.Client, _data: Any, sock: Any) -> None:
        if sock.fileno() >= 0 and not self.closed.done():
            self._loop.add_writer(sock.fileno(), client.loop_write)

    def _on_no_write(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.remove_writer(sock.fileno())
