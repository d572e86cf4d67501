"""A TCP proxy between a client and its broker that counts MQTT bytes by message, without TCP, IP and TLS.

Packets are identified by their fixed header (MQTT 5, 2.1.1) and its topic; an acknowledgement counts to the message that it
acknowledges. It runs outside the measured process, so its own cost is not counted.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

KINDS = {
    1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 8: "SUBSCRIBE", 9: "SUBACK",
    12: "PINGREQ", 13: "PINGRESP", 14: "DISCONNECT",
}  # fmt: skip


@dataclass
class Count:
    """Packets and bytes, both directions together."""

    packets: int = 0
    bytes: int = 0

    def plus(self, packets: int, size: int) -> None:
        self.packets += packets
        self.bytes += size


@dataclass
class Tally:
    """What went over the line, by message: the topic's leaf, or `(connection)`, `(ping)`."""

    by_message: dict[str, Count] = field(default_factory=dict)
    first_publish: float | None = None  # time.monotonic()

    def copy(self) -> "Tally":
        return Tally({name: Count(c.packets, c.bytes) for name, c in self.by_message.items()}, self.first_publish)

    def minus(self, before: "Tally") -> "Tally":
        """The difference to `before`."""
        left: dict[str, Count] = {}
        for name, count in self.by_message.items():
            old = before.by_message.get(name, Count())
            if count.packets > old.packets or count.bytes > old.bytes:
                left[name] = Count(count.packets - old.packets, count.bytes - old.bytes)
        return Tally(left, self.first_publish)

    @property
    def bytes(self) -> int:
        return sum(count.bytes for count in self.by_message.values())


class CountingProxy:
    """`with CountingProxy(port) as proxy:` listens on `proxy.port`. `on_packet(kind, leaf, when)` is called for each packet."""

    def __init__(self, broker_port: int, on_packet: Callable[[str, str, float], object] | None = None) -> None:
        self._broker_port, self._on_packet = broker_port, on_packet
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._tally, self._lock = Tally(), threading.Lock()
        self._open: list[socket.socket] = []

    def __enter__(self) -> "CountingProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def tally(self) -> Tally:
        """As of now."""
        with self._lock:
            return self._tally.copy()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._broker_port), 5)
            except ConnectionRefusedError:  # the broker is stopped: close the client's connection
                client.close()
                continue
            except OSError:
                return
            broker.settimeout(None)
            for sock in (client, broker):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open += (client, broker)
            under_way: dict[tuple[bool, int], str] = {}
            for source, sink, up in ((client, broker, True), (broker, client, False)):
                threading.Thread(target=self._pump, args=(source, sink, up, under_way), daemon=True).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, up: bool, under_way: dict[tuple[bool, int], str]
    ) -> None:
        waiting = bytearray()
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                when = time.monotonic()
                waiting += data
                while (size := _size(waiting)) and len(waiting) >= size:
                    self._count(bytes(waiting[:size]), up, under_way, when)
                    del waiting[:size]
                sink.sendall(data)  # counted first: its acknowledgement may arrive before this thread runs again
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _count(self, packet: bytes, up: bool, under_way: dict[tuple[bool, int], str], when: float) -> None:
        kind = KINDS.get(packet[0] >> 4, f"type {packet[0] >> 4}")
        message = {"PINGREQ": "(ping)", "PINGRESP": "(ping)"}.get(kind, "(connection)")
        if kind == "PUBLISH":
            message, packet_id = _published(packet)
            if packet_id is not None:
                under_way[up, packet_id] = message
        elif kind == "PUBACK":
            at = _body(packet)
            message = under_way.pop((not up, int.from_bytes(packet[at : at + 2], "big")), "(connection)")
        with self._lock:
            if kind == "PUBLISH" and up and self._tally.first_publish is None:
                self._tally.first_publish = when
            count = self._tally.by_message.setdefault(message, Count())
            count.plus(0 if kind in ("PUBACK", "PINGRESP") else 1, len(packet))
        if self._on_packet:
            self._on_packet(kind, message, when)


def _size(data: bytes | bytearray) -> int:
    """Size of the whole packet; 0 if its length field is incomplete (MQTT 5, 1.5.5)."""
    remaining = 0
    for i, byte in enumerate(data[1:5]):
        remaining |= (byte & 0x7F) << (7 * i)
        if not byte & 0x80:
            return 2 + i + remaining
    return 0


def _body(packet: bytes) -> int:
    at = 1
    while packet[at] & 0x80:
        at += 1
    return at + 1


def _published(packet: bytes) -> tuple[str, int | None]:
    """The topic's leaf below `<root>/<version>/<name>/`, and the packet id of QoS 1."""
    at = _body(packet)
    length = int.from_bytes(packet[at : at + 2], "big")
    topic = packet[at + 2 : at + 2 + length].decode("utf-8", "replace")
    at += 2 + length
    packet_id = int.from_bytes(packet[at : at + 2], "big") if packet[0] & 0x06 else None
    return "/".join(topic.split("/")[3:]) or topic, packet_id
