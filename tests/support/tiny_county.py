"""A county that receipts what it hears and keeps nothing of it: for lives of months."""

from datetime import datetime

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from common.clock import rfc3339
from common.messages import Receipt, topic
from common.mqtt.connection import Wire
from common.mqtt.session import Broker as Address
from common.mqtt.session import Session

NAME = "450225-GXBRS0001B-1"


class TinyCounty:
    """Receipts without a gap what it hears, by outbox; an ear on a wire of its own."""

    def __init__(self, port: int) -> None:
        self._address = Address("127.0.0.1", port)
        self._wire: Wire | None = None
        self.upto: dict[str, int] = {}
        self._ahead: dict[str, set[int]] = {}
        self.scans = 0  # different ones
        self._owed: set[str] = set()

    async def come(self) -> None:
        self.leave()
        self._wire = Wire(self._address, Session("county", clean_start=True), self)
        await self._wire.open()
        self._wire.subscribe([topic(NAME, leaf) for leaf in ("scan", "journal", "standard", "device/#")])

    def leave(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def publish(self, leaf: str, payload: bytes, *, retain: bool = False) -> None:
        if self._wire is not None:
            self._wire.publish(topic(NAME, leaf), payload, 1, retain)

    def receipt(self) -> None:
        """What is owed."""
        for outbox in self._owed:
            body = Receipt(at=rfc3339(datetime.now().astimezone()), store="s", outbox=outbox, upto=self.upto[outbox])
            self.publish("receipt", msgspec.json.encode(body), retain=True)
        self._owed.clear()

    @property
    def busy(self) -> bool:
        return bool(self._owed) or (self._wire is not None and self._wire.under_way > 0)

    def connected(self, wire: Wire, resumed: bool) -> None: ...

    def lost(self, why: str) -> None: ...

    def acknowledged(self, mid: int, reason: ReasonCode) -> None: ...

    def heard(self, wire: Wire, message: paho.MQTTMessage) -> None:
        body = msgspec.json.decode(message.payload)
        for one in body.get("captures", [body]):
            outbox, seq = one["outbox"], one["seq"]
            ahead, upto = self._ahead.setdefault(outbox, set()), self.upto.get(outbox, 0)
            if seq > upto and seq not in ahead:
                ahead.add(seq)
                self.scans += "captures" in body
            while upto + 1 in ahead:
                upto += 1
                ahead.discard(upto)
            self.upto[outbox] = upto
            self._owed.add(outbox)
