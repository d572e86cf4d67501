"""A county for the agent's tests: a real MQTT client that keeps received messages and publishes receipts and commands."""

import json
import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions


class Received(NamedTuple):
    leaf: str
    payload: bytes
    retained: bool
    late: bool
    correlation: bytes | None

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.payload)


class County:
    """Subscribes to everything; `received` has the messages in order."""

    def __init__(self, host: str, port: int, username: str | None = None, password: str | None = None) -> None:
        self.received: list[Received] = []
        self._new = queue.Queue[Received]()
        self._subscribed = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        if username:
            self.client.username_pw_set(username, password)
        self.client.on_message = self._on_message
        self.client.on_connect = lambda *_: self.client.subscribe(
            "yinong/1/#", options=SubscribeOptions(qos=1, retainAsPublished=True)
        )
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.connect(host, port)
        self.client.loop_start()
        assert self._subscribed.wait(10)

    def __enter__(self) -> "County":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def of(self, kind: str) -> list[Received]:
        return [one for one in self.received if one.leaf.partition("/")[0] == kind]

    def wait_for(self, condition: Callable[["County"], object], timeout_s: float = 20) -> None:
        """Wait until `condition(self)` is true; fails with the received messages."""
        until = time.monotonic() + timeout_s
        while not condition(self):
            left = until - time.monotonic()
            assert left > 0, (
                f"not received in {timeout_s} s; received: {[(m.leaf, m.payload[:200]) for m in self.received]}"
            )
            try:
                self._new.get(timeout=min(left, 0.2))
            except queue.Empty:
                continue

    def receipt(self, name: str, outbox: str, upto: int, store: str = "store-1") -> None:
        body = {"at": "2026-03-02T09:00:00.000+08:00", "store": store, "outbox": outbox, "upto": upto}
        self.client.publish(f"yinong/1/{name}/receipt", json.dumps(body), qos=1, retain=True).wait_for_publish(10)

    def command(
        self,
        name: str,
        command: str,
        payload: bytes,
        *,
        expiry_s: int | None = 30,
        retain: bool = False,
        response: str | None = None,
    ) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = response or f"yinong/1/{name}/reply"
        properties.CorrelationData = b"c-1"
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        self.client.publish(f"yinong/1/{name}/command/{command}", payload, 1, retain, properties).wait_for_publish(10)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        user = dict(getattr(message.properties, "UserProperty", []))
        one = Received(
            message.topic.split("/", 3)[3],
            bytes(message.payload),
            message.retain,
            user.get("late") == "1",
            getattr(message.properties, "CorrelationData", None),
        )
        self.received.append(one)
        self._new.put(one)
