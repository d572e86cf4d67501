"""A small broker with real MQTT 5 on a real socket, for answers that mosquitto cannot be made to send.

    async with FakeBroker(puback=lambda packet: 0x97) as broker: ...      # broker.host, broker.port; broker.published

It answers CONNECT, SUBSCRIBE, PUBLISH (QoS 1) and PINGREQ as configured, and forwards nothing. Reason codes: MQTT 5, 2.4.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple

from support.loopback import LoopbackServer

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14
RECEIVE_MAXIMUM, MAXIMUM_QOS, RETAIN_AVAILABLE, MAXIMUM_PACKET_SIZE = 0x21, 0x24, 0x25, 0x27
SERVER_KEEP_ALIVE, SERVER_REFERENCE = 0x13, 0x1C


class Published(NamedTuple):
    """A received PUBLISH."""

    leaf: str
    payload: bytes
    qos: int
    retained: bool
    late: bool
    size: int  # of the whole packet


class FakeBroker(LoopbackServer):
    """`puback`: the reason code of each PUBACK; None: no PUBACK. `puback_delay_s`: its delay."""

    def __init__(
        self,
        *,
        connack: int = 0,
        properties: bytes = b"",
        suback: int = 1,
        puback_delay_s: float = 0,
        puback: Callable[[Published], int | None] = lambda _packet: 0,
    ) -> None:
        super().__init__()
        self.connack, self.properties, self.suback = connack, properties, suback
        self.puback_delay_s, self.puback = puback_delay_s, puback
        self.published: list[Published] = []
        self.max_in_flight = 0
        self.disconnects = 0  # DISCONNECT packets received
        self.acknowledging = asyncio.Event()  # cleared: PUBACKs wait until it is set again
        self.acknowledging.set()
        self._in_flight = 0

    def of(self, kind: str) -> list[Published]:
        return [one for one in self.published if one.leaf.partition("/")[0] == kind]

    def disconnect(self, reason: int) -> None:
        """Send DISCONNECT with a reason to every client and close the connections."""
        for writer in self._open:
            writer.write(_packet(DISCONNECT, bytes([reason, 0])))
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            async with asyncio.TaskGroup() as group:
                with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                    while True:
                        first, body = await _read(reader)
                        kind = first >> 4
                        if kind == PUBLISH:
                            group.create_task(self._publish_received(first, body, writer))
                        elif not self._answer(kind, body, writer):
                            break
                        await writer.drain()
        finally:
            writer.close()
            self._open.discard(writer)

    def _answer(self, kind: int, body: bytes, writer: asyncio.StreamWriter) -> bool:
        """Returns False if the connection is to end."""
        if kind == CONNECT:
            self.connects += 1
            self._in_flight = 0
            writer.write(_packet(CONNACK, bytes([0, self.connack, len(self.properties)]) + self.properties))
            return self.connack == 0
        if kind == SUBSCRIBE:
            topics = _filters(body)
            writer.write(_packet(SUBACK, body[:2] + b"\0" + bytes([self.suback] * topics)))
        elif kind == PINGREQ:
            writer.write(_packet(PINGRESP, b""))
        self.disconnects += kind == DISCONNECT
        return kind != DISCONNECT

    async def _publish_received(self, first: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        packet, mid = _published(first, body)
        self.published.append(packet)
        if not packet.qos:
            return
        self._in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self._in_flight)
        await self.acknowledging.wait()
        await asyncio.sleep(self.puback_delay_s)
        reason = self.puback(packet)
        if reason is not None and not writer.is_closing():
            self._in_flight -= 1
            writer.write(_packet(PUBACK, mid + bytes([reason, 0])))


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, length, shift = (await reader.readexactly(1))[0], 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return first, await reader.readexactly(length)


def _packet(kind: int, body: bytes) -> bytes:
    assert len(body) < 128, "answers are short"
    return bytes([kind << 4, len(body)]) + body


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """The number (MQTT 5, 1.5.5) and the offset of the byte after it."""
    number = shift = 0
    while True:
        byte = body[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return number, at


def _filters(body: bytes) -> int:
    """Number of topic filters in a SUBSCRIBE."""
    length, at = _varint(body, 2)
    at += length
    count = 0
    while at < len(body):
        at += 2 + int.from_bytes(body[at : at + 2], "big") + 1
        count += 1
    return count


def _published(first: int, body: bytes) -> tuple[Published, bytes]:
    length = int.from_bytes(body[:2], "big")
    topic, at, mid = body[2 : 2 + length].decode(), 2 + length, b""
    qos = first >> 1 & 3
    if qos:
        mid, at = body[at : at + 2], at + 2
    length, at = _varint(body, at)
    properties = body[at : at + length]
    size = len(body) + 1 + (1 if len(body) < 1 << 7 else 2 if len(body) < 1 << 14 else 3)
    late = b"\x26\x00\x04late\x00\x011" in properties
    return Published(topic.split("/", 3)[-1], body[at + length :], qos, bool(first & 1), late, size), mid
