"""For tests of the county side: messages as the contract wants them, a listener on a real connection, a recorder."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode
from support.broker import Broker

from center.recorder.recorder import Recorder
from center.store.store import Store
from common.clock import SystemClock
from common.messages import topic
from common.mqtt.connection import MqttConnection
from common.mqtt.errors import LinkProblem
from common.mqtt.session import BrokerAddress, ConnectOptions, UserProperties, Will

NAME = "450225-GXBRS0001B-1"
OTHER = "450225-GXBRS0002B-1"
OUTBOX = "0123456789ab"
STAMP = {"v": 1, "boot": "01234567", "at": "2026-11-24T08:00:00.000+08:00", "mono_ms": 5000, "clock": "synced"}


def journal(seq: int, event: str = "start", outbox: str = OUTBOX, **details: Any) -> bytes:
    return json.dumps({**STAMP, "outbox": outbox, "seq": seq, "event": event, "details": details}).encode()


def device(seq: int, condition: str = "working", outbox: str = OUTBOX, reason: str = "ok", **params: Any) -> bytes:
    return json.dumps(
        {
            **STAMP,
            "outbox": outbox,
            "seq": seq,
            "class": "printer",
            "id": "main",
            "condition": condition,
            "reason": reason,
            "params": params,
            "measures": {},
            "evidence": [],
        }
    ).encode()


def capture(seq: int, text: str = "6901234567892", outbox: str = OUTBOX) -> bytes:
    return json.dumps(
        {
            **STAMP,
            "outbox": outbox,
            "seq": seq,
            "gun": "main",
            "identity": "x",
            "number": seq,
            "source": "serial",
            "text": text,
            "raw": text.encode().hex(),
            "charset": "ascii",
            "charset_because": "plain",
            "symbology": None,
            "start_mono_ms": 1,
            "end_mono_ms": 2,
        }
    ).encode()


def scan(*captures: bytes, outbox: str = OUTBOX) -> bytes:
    head = json.dumps({**STAMP, "outbox": outbox}).encode()[:-1]
    return head + b', "captures": [' + b", ".join(captures) + b"]}"


def state(word: str = "online", outbox: str = OUTBOX, name: str = NAME, **other: Any) -> bytes:
    number = "桂BRS" + name.split("-")[1][5:]
    return json.dumps(
        {
            **STAMP,
            "state": word,
            "connection": 1,
            "run": "r1",
            "outbox": outbox,
            "fingerprint": "f",
            "version": "0",
            "division": "450225",
            "number": number,
            "terminal": "1",
            **other,
        }
    ).encode()


def heartbeat(waiting: int = 0) -> bytes:
    return json.dumps(
        {
            **STAMP,
            "run": "r1",
            "connection": 1,
            "uptime_s": 5,
            "waiting": waiting,
            "oldest_waiting_s": None,
            "verdicts": {"met": 7},
            "last_seq": 1,
            "outbox": OUTBOX,
        }
    ).encode()


class Probe:
    """A client that keeps what it receives, in order; `until` waits for a condition, not for a time."""

    def __init__(self, broker: Broker, username: str | None = None) -> None:
        self._address = BrokerAddress(broker.host, broker.port, username, broker.passwords.get(username or ""))
        self.received_all: list[tuple[str, dict[str, Any], bool]] = []
        self.reasons: dict[int, str] = {}
        self._news = asyncio.Event()

    @asynccontextmanager
    async def on(self, *topics: str, will: Will | None = None, client_id: str = "") -> AsyncIterator["Probe"]:
        self.reasons.clear()  # message ids restart with each connection
        self.wire = MqttConnection(self._address, ConnectOptions(client_id or f"probe-{id(self)}", will=will), self)
        await self.wire.open()
        if topics:
            self.wire.subscribe(topics)
        try:
            yield self
        finally:
            self.wire.close()

    async def publish(self, where: str, payload: bytes, *, retain: bool = False, user: UserProperties = ()) -> str:
        """QoS 1; the PUBACK's reason in words."""
        mid = self.wire.publish(where, payload, 1, retain, user)
        assert mid is not None, "the connection is down"
        await self.until(lambda: mid in self.reasons)
        return self.reasons[mid]

    async def send(
        self, leaf: str, payload: bytes, name: str = NAME, user: UserProperties = (), retain: bool = False
    ) -> str:
        return await self.publish(topic(name, leaf), payload, user=user, retain=retain)

    def receipts(self, name: str = NAME, outbox: str = OUTBOX) -> list[int]:
        return [m["upto"] for t, m, _ in self.received_all if t == topic(name, "receipt") and m["outbox"] == outbox]

    async def receipted(self, upto: int, name: str = NAME, outbox: str = OUTBOX) -> None:
        await self.until(lambda: upto in self.receipts(name, outbox))

    async def until(self, condition: Callable[[], bool], timeout_s: float = 15) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._news.clear()
                with contextlib.suppress(TimeoutError):  # not all that is waited for comes over this connection
                    await asyncio.wait_for(self._news.wait(), 0.05)

    def connected(self, connection: MqttConnection, resumed: bool) -> None: ...

    def lost(self, problem: LinkProblem) -> None: ...

    def received(self, connection: MqttConnection, message: paho.MQTTMessage) -> None:
        try:
            body = json.loads(message.payload)
        except ValueError:
            body = {}
        self.received_all.append((message.topic, body, message.retain))
        self._news.set()

    def acknowledged(self, mid: int, reason: ReasonCode) -> None:
        self.reasons[mid] = str(reason)
        self._news.set()


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder}/center.db"


@asynccontextmanager
async def recording(
    broker: Broker, store: Store, *, simulated: bool = False, client_id: str = "recorder"
) -> AsyncIterator[Recorder]:
    """A recorder in this process, connected; stopped cleanly at the end."""
    recorder = Recorder(store, SystemClock(), simulated=simulated)
    username = "recorder" if broker.secured else None
    address = BrokerAddress(broker.host, broker.port, username, broker.passwords.get(username or ""))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(recorder.run(address, client_id, 3600, stop))
        async with asyncio.timeout(10):
            await recorder.up.wait()
        try:
            yield recorder
        finally:
            stop.set()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from center.cli.app import main; main()", *arguments]
