"""One MQTT 5 connection: paho as a dumb wire, driven by the event loop, given up after the first trouble.

paho floods on reconnect, ignores Receive Maximum, reconnects without jitter and its own queue loses order: so a client lives
for one connection only, never holds more than the window, and everything that must not be lost lies in the outbox.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from drivers.reading import YinongError

T = TypeVar("T")
NO_SUBSCRIBERS = 0x10  # MQTT 5, 3.4.2.1: PUBACK "No matching subscribers"


class LinkLost(YinongError):  # noqa: N818
    """The connection is gone (or never came); says why."""


class Refused(YinongError):  # noqa: N818
    """The broker took the packet and said no (PUBACK or SUBACK reason >= 0x80)."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(f"{reason} (0x{code:02X})")
        self.reason, self.code = reason, code


class Will(NamedTuple):
    topic: str
    payload: bytes
    delay_s: int


class Call(NamedTuple):
    """How to reach the broker."""

    host: str
    port: int
    client_id: str
    username: str | None
    password: str | None
    tls: Callable[[], ssl.SSLContext] | None
    keepalive_s: int
    session_expiry_s: int
    connect_timeout_s: float
    no_ack_s: float  # a QoS 1 packet that is not acknowledged for so long ends the connection
    will: Will


class Incoming(NamedTuple):
    """A message to us."""

    topic: str
    payload: bytes
    retained: bool
    response_topic: str | None
    correlation: bytes | None
    expiry_s: int | None


class Wire:
    """A connection that is up. Made by `connect`; `closed` is done when it is down, with the reason."""

    def __init__(self, call: Call, on_message: Callable[[Incoming], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._call = call
        self._on_message = on_message
        self._acks: dict[int, asyncio.Future[ReasonCode]] = {}
        self._connack: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._socket: socket.socket | None = None
        self._misc: asyncio.TimerHandle | None = None
        self.closed: asyncio.Future[str] = self._loop.create_future()
        self.receive_maximum = 65535
        self._client = self._made()

    @classmethod
    async def connect(cls, call: Call, on_message: Callable[[Incoming], None]) -> "Wire":
        """Raises LinkLost (no broker, no answer) or Refused (not authorized, banned, …)."""
        try:
            wire = cls(call, on_message)
        except YinongError as error:  # a certificate file that cannot be used
            raise LinkLost(str(error)) from error
        try:
            async with asyncio.timeout(call.connect_timeout_s * 2):
                await _in_daemon_thread(wire._dial)
                code = await wire._connack
        except TimeoutError:
            wire._shut("no answer to CONNECT")
            raise LinkLost("no answer to CONNECT") from None
        except (OSError, ValueError) as error:  # refused, unreachable, no such name (or none that can be), TLS
            wire._shut(str(error))
            raise LinkLost(f"{type(error).__name__}: {error}") from error
        except BaseException:
            wire._shut("cancelled")
            raise
        if code.is_failure:
            wire._shut(str(code))
            raise Refused(str(code), code.value)
        return wire

    async def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool = False, user: tuple[tuple[str, str], ...] = (),
        correlation: bytes | None = None,
    ) -> int:  # fmt: skip
        """Send; with QoS 1 returns the PUBACK's reason code (0, or NO_SUBSCRIBERS) when it has come.

        Raises Refused for a reason of 0x80 and up, LinkLost where the connection ends first or no acknowledgement
        comes for `no_ack_s` (a half-open connection: it is closed).
        """
        properties = Properties(PacketTypes.PUBLISH)
        if user:
            properties.UserProperty = list(user)
        if correlation is not None:
            properties.CorrelationData = correlation
        info = self._client.publish(topic, payload, qos, retain, properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            self._shut(paho.error_string(info.rc))
            raise LinkLost(paho.error_string(info.rc))
        return 0 if qos == 0 else await self._acknowledged(info.mid)

    async def subscribe(self, topics: tuple[str, ...]) -> None:
        """QoS 1. Raises Refused (one of them not authorized), LinkLost."""
        rc, mid = self._client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in topics])
        if rc != paho.MQTT_ERR_SUCCESS or mid is None:
            raise LinkLost(paho.error_string(rc))
        await self._acknowledged(mid)

    def close(self) -> None:
        """Send DISCONNECT (the will is not published) and let go."""
        if not self.closed.done():
            self._client.disconnect()
            with contextlib.suppress(Exception):
                self._client.loop_write()
        self._shut("closed by us")

    async def _acknowledged(self, mid: int) -> int:
        ack = self._acks.setdefault(mid, self._loop.create_future())
        try:
            async with asyncio.timeout(self._call.no_ack_s):
                code = await ack
        except TimeoutError:
            self._shut("no acknowledgement")
            raise LinkLost("no acknowledgement") from None
        finally:
            self._acks.pop(mid, None)
        if code.is_failure:
            raise Refused(str(code), code.value)
        return code.value

    def _made(self) -> paho.Client:
        call = self._call
        client = paho.Client(
            CallbackAPIVersion.VERSION2, call.client_id, protocol=paho.MQTTv5, reconnect_on_failure=False
        )
        if call.username:
            client.username_pw_set(call.username, call.password)
        if call.tls:
            client.tls_set_context(call.tls())
        will = Properties(PacketTypes.WILLMESSAGE)
        will.WillDelayInterval = call.will.delay_s
        client.will_set(call.will.topic, call.will.payload, qos=1, retain=True, properties=will)
        client.connect_timeout = call.connect_timeout_s
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_want_write
        client.on_socket_unregister_write = self._on_no_write
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_ack
        client.on_subscribe = self._on_suback
        client.on_message = self._on_paho_message
        return client

    def _dial(self) -> None:  # in a thread of its own: name lookup, TCP and TLS may take long
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = self._call.session_expiry_s
        properties.ReceiveMaximum = 20
        properties.MaximumPacketSize = 65536  # commands and receipts are small
        self._client.connect(
            self._call.host, self._call.port, self._call.keepalive_s, clean_start=False, properties=properties
        )

    # paho's callbacks: during `_dial` in its thread, later in the loop's

    def _on_socket_open(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        raw: socket.socket = sock
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
        self._in_loop(self._watch, raw)

    def _on_socket_close(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        fd = sock.fileno()
        self._in_loop(self._unwatch, fd)

    def _on_want_write(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        self._in_loop(self._watch_write, sock.fileno())

    def _on_no_write(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        self._in_loop(self._unwatch_write, sock.fileno())

    def _on_connect(self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, properties: Any) -> None:
        self.receive_maximum = getattr(properties, "ReceiveMaximum", 65535) if properties else 65535
        if not self._connack.done():
            self._connack.set_result(code)

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        self._shut(str(code))

    def _on_ack(self, _client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        ack = self._acks.setdefault(mid, self._loop.create_future())
        if not ack.done():
            ack.set_result(code)

    def _on_suback(self, _client: paho.Client, _data: Any, mid: int, codes: list[ReasonCode], _properties: Any) -> None:
        worst = max(codes, key=lambda code: code.value)
        self._on_ack(_client, _data, mid, worst, None)

    def _on_paho_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
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

    def _in_loop(self, do: Callable[..., object], *arguments: object) -> None:
        if threading.get_ident() == self._loop_thread:
            do(*arguments)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the daemon ended while this was dialling
                self._loop.call_soon_threadsafe(do, *arguments)

    def _watch(self, sock: socket.socket) -> None:
        if self.closed.done():  # given up while it was dialled
            sock.close()
            return
        self._socket = sock
        self._loop.add_reader(sock.fileno(), self._readable)
        self._tick()

    def _watch_write(self, fd: int) -> None:
        if fd >= 0 and not self.closed.done():
            self._loop.add_writer(fd, self._writable)

    def _unwatch(self, fd: int) -> None:
        if fd >= 0:
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)

    def _unwatch_write(self, fd: int) -> None:
        if fd >= 0:
            self._loop.remove_writer(fd)

    def _readable(self) -> None:
        self._client.loop_read()
        sock = self._socket
        while isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0 and sock.pending():  # select does not see these
            self._client.loop_read()

    def _writable(self) -> None:
        self._client.loop_write()

    def _tick(self) -> None:
        if self.closed.done():
            return
        if self._client.loop_misc() != paho.MQTT_ERR_SUCCESS and self._connack.done():
            self._shut("keepalive timeout")
            return
        self._misc = self._loop.call_later(min(5.0, self._call.keepalive_s / 4), self._tick)

    def _shut(self, why: str) -> None:
        if self.closed.done():
            return
        self.closed.set_result(why)
        if self._misc:
            self._misc.cancel()
        self._client.on_socket_close = self._client.on_socket_unregister_write = None
        sock = self._socket
        if sock is not None and sock.fileno() >= 0:
            self._unwatch(sock.fileno())
            with contextlib.suppress(OSError):
                sock.close()
        for ack in self._acks.values():
            if not ack.done():
                ack.set_exception(LinkLost(why))
        if not self._connack.done():
            self._connack.set_exception(LinkLost(why))
            self._connack.exception()  # looked at: nobody may be waiting any more


async def _in_daemon_thread(work: Callable[[], T]) -> T:
    """Like asyncio.to_thread, but a name lookup that hangs holds up neither a clean stop nor the interpreter's end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        try:
            result, error = work(), None
        except BaseException as caught:
            result, error = None, caught
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="dial", daemon=True).start()
    return await done
