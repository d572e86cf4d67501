"""One MQTT 5 connection: paho as a dumb wire, driven by the event loop, given up after the first trouble.

    Wire (one connection) -> Ears (who listens: the agent's link, the recorder, the live view, a simulated station)

paho floods on reconnect, ignores Receive Maximum, reconnects without jitter and its own queue loses order: so a client lives
for one connection only, the window is kept above it, and everything that must not be lost lies in an outbox. Dialling (name
lookup, TCP, TLS) is in a daemon thread: one that hangs holds up no clean stop. Agent and center use the same wire.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from drivers.reading import YinongError

NO_SUBSCRIBERS = 0x10  # MQTT 5, 3.4.2.1: PUBACK "No matching subscribers"
TAKEN_OVER = 0x8E  # MQTT 5, 2.4: another client came with this client id
UserProperties = Sequence[tuple[str, str]]


class LinkLost(YinongError):  # noqa: N818
    """The connection is gone, or never came about, or was refused; says why."""


class Refused(YinongError):  # noqa: N818
    """The broker took the packet and said no (CONNACK, PUBACK or SUBACK reason of 0x80 and up)."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(f"{reason} (0x{code:02X})")
        self.reason, self.code = reason, code


class Broker(NamedTuple):
    """Where the broker is and who we are to it."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: Callable[[], ssl.SSLContext] | None = None


class Will(NamedTuple):
    topic: str
    payload: bytes
    delay_s: int
    user: UserProperties = ()


class Session(NamedTuple):
    """What a connection asks of the broker."""

    client_id: str
    keepalive_s: int = 30
    clean_start: bool = True
    expiry_s: int = 0
    receive_maximum: int = 20
    manual_ack: bool = False
    largest_packet: int | None = None  # bytes that we take; None: any
    connect_timeout_s: float = 7.5
    no_ack_s: float = (
        20  # a QoS 1 packet unacknowledged for so long: half open, or the broker is stuck; the connection ends
    )
    will: Will | None = None


class Ears(Protocol):
    """Who listens on a connection. Called in the loop; none of these may raise or block."""

    def connected(self, wire: "Wire", resumed: bool) -> None: ...
    def heard(self, wire: "Wire", message: paho.MQTTMessage) -> None: ...
    def acknowledged(self, mid: int, reason: ReasonCode) -> None: ...
    def lost(self, why: str) -> None: ...


class Wire:
    """One connection. `closed` is done when it is down, with the reason in words."""

    def __init__(self, broker: Broker, session: Session, ears: Ears) -> None:
        self._loop = asyncio.get_running_loop()
        self._ears, self._session, self._broker = ears, session, broker
        self._tls: ssl.SSLContext | None = None
        self._client = self._made()
        self._unacked: dict[int, float] = {}
        self._tick_handle: asyncio.TimerHandle | None = None
        self._connack: asyncio.Future[tuple[ReasonCode, bool]] = self._loop.create_future()
        self.closed: asyncio.Future[str] = self._loop.create_future()
        self.receive_maximum = 65535  # of the broker
        self.taken_over = False
        self._told = False  # the ears know that we are up

    @property
    def up(self) -> bool:
        return self._told and not self.closed.done()

    @property
    def under_way(self) -> int:
        """QoS 1 messages that the broker has not acknowledged."""
        return len(self._unacked)

    async def open(self) -> None:
        """Connect; `Ears.connected` is called before this returns. Raises LinkLost, or Refused where the broker says no."""
        try:
            async with asyncio.timeout(2 * self._session.connect_timeout_s):
                await self._dial()
                self._attach()
                reason, resumed = await self._connack
        except TimeoutError:
            self._shut("no answer to CONNECT")
            raise LinkLost("no answer to CONNECT") from None
        except OSError as error:  # refused, unreachable, no such name (or none that can be), TLS
            why = self._trouble or f"{type(error).__name__}: {error}"
            self._shut(why)
            raise LinkLost(why) from error
        except BaseException:
            self._shut("cancelled")
            raise
        if reason.is_failure:
            self._shut(str(reason))
            if self._trouble:
                raise LinkLost(self._trouble)
            raise Refused(str(reason), reason.value)
        if self.closed.done():
            raise LinkLost(self.closed.result())
        self._told = True
        self._ears.connected(self, resumed)

    def publish(
        self, topic: str, payload: bytes, qos: int = 1, retain: bool = False, user: UserProperties = (),
        correlation: bytes | None = None,
    ) -> int | None:  # fmt: skip
        """The message id, acknowledged later through `Ears.acknowledged` (QoS 1); None where the connection is down."""
        if not self.up:
            return None
        properties = Properties(PacketTypes.PUBLISH)
        if user:
            properties.UserProperty = list(user)
        if correlation is not None:
            properties.CorrelationData = correlation
        info = self._client.publish(topic, payload, qos, retain, properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            self.drop(paho.error_string(info.rc))
            return None
        if qos:
            self._unacked[info.mid] = self._loop.time()
        return info.mid

    def subscribe(self, topics: Sequence[str], qos: int = 1, retain_handling: int = 0) -> int | None:
        """The id under which `Ears.acknowledged` tells of the SUBACK (the worst of its reasons); None where it is down.

        `retain_handling` 1: retained messages come only where the subscription is new (MQTT 5, 3.8.3.1).
        """
        if not self.up:
            return None
        _, mid = self._client.subscribe([(t, SubscribeOptions(qos, retainHandling=retain_handling)) for t in topics])
        if mid is not None:
            self._unacked[mid] = self._loop.time()
        return mid

    def acknowledge(self, mid: int) -> None:
        """PUBACK of a message heard on this connection; nothing where it is down: the broker delivers it again."""
        if self.up:
            self._client.ack(mid, 1)

    def drop(self, why: str = "dropped") -> None:
        """Cut the connection without DISCONNECT, as a power cut does: the broker publishes the will."""
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._shut(why)

    def close(self) -> None:
        """DISCONNECT, and let go: no will."""
        if self.up:
            self._client.disconnect()
            with contextlib.suppress(OSError):
                self._client.loop_write()
        self._shut("closed by us")

    def _made(self) -> paho.Client:
        session = self._session
        client = paho.Client(
            CallbackAPIVersion.VERSION2, session.client_id, protocol=paho.MQTTv5,
            reconnect_on_failure=False, manual_ack=session.manual_ack,
        )  # fmt: skip
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls:
            self._tls = self._broker.tls()
            client.tls_set_context(self._tls)
        if will := session.will:
            properties = Properties(PacketTypes.WILLMESSAGE)
            properties.WillDelayInterval = will.delay_s
            if will.user:
                properties.UserProperty = list(will.user)
            client.will_set(will.topic, will.payload, qos=1, retain=True, properties=properties)
        client.max_inflight_messages = 0  # the window is kept above
        client.connect_timeout = session.connect_timeout_s
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_publish = self._on_message, self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    async def _dial(self) -> None:
        """Name lookup, TCP and TLS, which block, in a thread of their own."""
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = self._session.expiry_s
        properties.ReceiveMaximum = self._session.receive_maximum
        if self._session.largest_packet:
            properties.MaximumPacketSize = self._session.largest_packet
        done: asyncio.Future[None] = self._loop.create_future()

        def settle(error: BaseException | None) -> None:
            if done.done():
                self._shut("given up while dialling")
            elif error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        def dial() -> None:
            error: BaseException | None = None
            try:
                self._client.connect(
                    self._broker.host, self._broker.port, self._session.keepalive_s,
                    clean_start=self._session.clean_start, properties=properties,
                )  # fmt: skip
            except (OSError, ValueError) as caught:
                error = caught if isinstance(caught, OSError) else OSError(str(caught))
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(settle, error)

        threading.Thread(target=dial, name="dial", daemon=True).start()
        await done

    def _attach(self) -> None:
        sock = self._client.socket()
        if sock is None:
            raise OSError("the connection ended at once")
        with contextlib.suppress(OSError, AttributeError):
            # else a scan waits up to 40 ms behind a delayed ACK
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # type: ignore[attr-defined]
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)  # type: ignore[attr-defined]
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
        while isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0 and sock.pending():  # select does not see these
            self._client.loop_read()

    def _tick(self) -> None:
        if self.closed.done():
            return
        oldest = next(iter(self._unacked.values()), None)
        if oldest is not None and self._loop.time() - oldest > self._session.no_ack_s:
            self.drop("no acknowledgement")
        elif self._client.loop_misc() != paho.MQTT_ERR_SUCCESS:
            self._shut("keepalive timeout")
        else:
            pace_s = min(5.0, self._session.keepalive_s / 4, self._session.no_ack_s / 4)
            self._tick_handle = self._loop.call_later(pace_s, self._tick)

    @property
    def _trouble(self) -> str:
        """What the broker said when it ended TLS (`agent.county.tls`): better than what became of the connection."""
        return str(getattr(self._tls, "trouble", ""))

    def _shut(self, why: str) -> None:
        if self.closed.done():
            return
        why = self._trouble or why
        was_up = self.up
        self.closed.set_result(why)
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
            self._connack.set_exception(LinkLost(why))
            self._connack.exception()  # looked at: nobody may be waiting any more
        if was_up:
            self._ears.lost(why)

    def _on_connect(self, _client: paho.Client, _data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self.receive_maximum = getattr(properties, "ReceiveMaximum", 65535)
        if not self._connack.done():
            self._connack.set_result((reason, bool(flags.session_present)))

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any) -> None:
        self.taken_over = reason.value == TAKEN_OVER
        if self._connack.done():
            self._shut(str(reason))
        else:
            self._connack.set_result((reason, False))

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if self.up:
            self._ears.heard(self, message)

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, reason: ReasonCode, _props: Any) -> None:
        if self._unacked.pop(mid, None) is not None:
            self._ears.acknowledged(mid, reason)

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
