"""A county that receipts what it receives and stores nothing: for runs over months."""

from datetime import datetime

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from common.clock import rfc3339
from common.messages import Receipt, topic
from common.mqtt.connection import MqttConnection
from common.mqtt.session import BrokerAddress, ConnectOptions

NAME = "450225-GXBRS0001B-1"


class TinyCounty:
    """Receipts every outbox up to its first gap. It is the `Listener` of its own connection."""

    def __init__(self, port: int) -> None:
        self._address = BrokerAddress("127.0.0.1", port)
        self._connection: MqttConnection | None = None
        self.upto: dict[str, int] = {}
        self._out_of_order: dict[str, set[int]] = {}
        self.scans = 0  # without repeats
        self._pending: set[str] = set()

    async def connect(self) -> None:
        self.disconnect()
        self._connection = MqttConnection(self._address, ConnectOptions("county", clean_start=True), self)
        await self._connection.open()
        self._connection.subscribe([topic(NAME, leaf) for leaf in ("scan", "journal", "standard", "device/#")])

    def disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def publish(self, leaf: str, payload: bytes, *, retain: bool = False) -> None:
        if self._connection is not None:
            self._connection.publish(topic(NAME, leaf), payload, 1, retain)

    def publish_receipts(self) -> None:
        """Publish the receipts that are due."""
        for outbox in self._pending:
            body = Receipt(at=rfc3339(datetime.now().astimezone()), store="s", outbox=outbox, upto=self.upto[outbox])
            self.publish("receipt", msgspec.json.encode(body), retain=True)
        self._pending.clear()

    @property
    def busy(self) -> bool:
        return bool(self._pending) or (self._connection is not None and self._connection.in_flight > 0)

    def connected(self, connection: MqttConnection, resumed: bool) -> None: ...

    def lost(self, problem: str) -> None: ...

    def acknowledged(self, mid: int, reason: ReasonCode) -> None: ...

    def received(self, connection: MqttConnection, message: paho.MQTTMessage) -> None:
        body = msgspec.json.decode(message.payload)
        for one in body.get("captures", [body]):
            outbox, seq = one["outbox"], one["seq"]
            later, upto = self._out_of_order.setdefault(outbox, set()), self.upto.get(outbox, 0)
            if seq > upto and seq not in later:
                later.add(seq)
                self.scans += "captures" in body
            while upto + 1 in later:
                upto += 1
                later.discard(upto)
            self.upto[outbox] = upto
            self._pending.add(outbox)
