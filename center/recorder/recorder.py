"""`yinong-center record`: terminals' messages are stored, and only then acknowledged and receipted.

    broker -> received -> [batch: 200 messages or 50 ms] -> intake -> Store.ingest, commit -> PUBACK -> receipt (retained)

The broker keeps a persistent session for the recorder's fixed client id. A PUBACK is sent after the commit, so that the
broker delivers again what a recorder that died had not stored. A message delivered twice is stored once.
"""

import asyncio
import contextlib
import logging
import random
from collections import Counter
from typing import NamedTuple

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from center.broker import Retry, stay_connected
from center.store.database import StoreError, StoreRejected
from center.store.intake import Arrived, Parsed, parse, split_topic
from center.store.store import Head, Store
from common.clock import Clock, rfc3339
from common.messages import LATE, ROOT, SIMULATED, Receipt, topic
from common.mqtt.connection import MqttConnection
from common.mqtt.error_texts import link_sentence
from common.mqtt.errors import LinkProblem, Rejected
from common.mqtt.session import BrokerAddress, ConnectOptions
from common.station import Terminal

log = logging.getLogger("yinong.record")

BATCH = 200  # messages in one commit, at most
BATCH_S = 0.05  # a message waits at most this long for others
HEARTBEAT_COMMIT_S = 10  # heartbeats are committed at this interval
RECEIPT_INTERVAL_S = 1.0  # between two receipts to one terminal, at least
RECEIPTS_IN_FLIGHT = 20
IMPORT_POLL_S = 5  # the store is polled for imported parcels at this interval
LEAVES = ("state", "heartbeat", "device/#", "standard", "journal", "scan", "telemetry", "reply")
RECEIVE_MAXIMUM = 2 * BATCH


class _Uncommitted(NamedTuple):
    """A message that is not committed yet, and the connection and id for its PUBACK."""

    connection: MqttConnection
    mid: int
    arrived: Arrived


class Recorder:
    """The `Listener` of its connections (`common.mqtt.connection`); callers use `run` only."""

    def __init__(self, store: Store, clock: Clock, *, simulated: bool = False) -> None:
        self._store, self._clock, self._accept_simulated = store, clock, simulated
        self._connection: MqttConnection | None = None
        self._subscribing: int | None = None  # message id; None once granted
        self._resumed = False
        self._uncommitted: list[_Uncommitted] = []
        self._heartbeats: dict[str, Arrived] = {}  # by topic: a newer one replaces the older; a heartbeat is no row
        self._some, self._full, self._closing = asyncio.Event(), asyncio.Event(), False
        self._due: dict[tuple[Terminal, str], int] = {}
        self._parcels: dict[tuple[Terminal, str], tuple[str, ...]] = {}  # only of outboxes with imported rows
        self._any_due = asyncio.Event()
        self._not_before: dict[Terminal, float] = {}
        self._in_flight: dict[int, Head] = {}
        self._simulated: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.up = asyncio.Event()  # connected, and subscribed

    async def run(self, broker: BrokerAddress, client_id: str, session_expiry_s: int, stop: asyncio.Event) -> None:
        """Run until `stop`; then what was received is committed and receipted, within 5 s."""
        session = ConnectOptions(
            client_id, clean_start=False, expiry_s=session_expiry_s, receive_maximum=RECEIVE_MAXIMUM, manual_ack=True
        )
        connected = stay_connected(
            broker,
            lambda: session,
            self,
            random.Random(),
            Retry(),
            lambda why: log.warning("no connection: %s", _describe(why)),
        )
        async with asyncio.TaskGroup() as group:
            loops = [
                group.create_task(loop)
                for loop in (
                    connected,
                    self._ingest_loop(),
                    self._receipt_loop(),
                    self._poll_imports(),
                    self._log_counts(),
                )
            ]
            await stop.wait()
            await self._finish()
            for loop in loops:
                loop.cancel()

    # listener

    def connected(self, connection: MqttConnection, resumed: bool) -> None:
        self._connection, self._resumed = connection, resumed
        self._subscribing = connection.subscribe([f"{ROOT}/+/{leaf}" for leaf in LEAVES], retain_handling=1)
        self.counts["connects"] += 1

    def lost(self, problem: LinkProblem) -> None:
        if not self._closing:
            log.warning("connection lost: %s", _describe(problem))
        self._connection = None
        self.up.clear()
        self._uncommitted.clear()  # not acknowledged: delivered again, and they do not pile up while the store is down
        for head in self._in_flight.values():  # it is unknown whether these arrived
            self._due.setdefault((head.terminal, head.outbox), head.upto)
        self._in_flight.clear()

    def received(self, connection: MqttConnection, message: paho.MQTTMessage) -> None:
        if self._closing:
            return  # not acknowledged: it is delivered again
        try:
            name = message.topic
        except UnicodeDecodeError:
            name = ""
        user: list[tuple[str, str]] = getattr(message.properties, "UserProperty", [])
        arrived = Arrived(name, bytes(message.payload), message.retain, LATE in user, SIMULATED in user)
        if message.qos == 0:
            self._heartbeats[name] = arrived
            return
        self._uncommitted.append(_Uncommitted(connection, message.mid, arrived))
        self._some.set()
        if len(self._uncommitted) >= BATCH:
            self._full.set()

    def acknowledged(self, mid: int, reason: ReasonCode) -> None:
        if mid == self._subscribing:
            self._subscribed(reason)
        head = self._in_flight.pop(mid, None)
        if head is not None and reason.is_failure:
            log.error("the broker rejected a receipt for %s: %s", head.terminal.name, reason)
            self._not_before[head.terminal] = self._now_s() + 30
            self._due.setdefault((head.terminal, head.outbox), head.upto)
        self._any_due.set()

    def _subscribed(self, reason: ReasonCode) -> None:
        """A recorder whose subscription is rejected would appear to work and receive nothing: drop the connection."""
        self._subscribing, connection = None, self._connection
        if reason.is_failure and connection:
            connection.drop(LinkProblem("subscription_refused", str(reason)))
            return
        log.info("connected, the session %s", "goes on" if self._resumed else "is new")
        self.up.set()
        self._any_due.set()

    # storing

    async def _ingest_loop(self) -> None:
        heartbeats_at = self._now_s() + HEARTBEAT_COMMIT_S
        while True:
            try:
                async with asyncio.timeout(max(0.0, heartbeats_at - self._now_s())):
                    await self._some.wait()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BATCH_S):
                        await self._full.wait()
            except TimeoutError:
                pass
            with_heartbeats = self._now_s() >= heartbeats_at
            await self._commit(with_heartbeats)
            if with_heartbeats:
                heartbeats_at = self._now_s() + HEARTBEAT_COMMIT_S

    async def _commit(self, with_heartbeats: bool) -> None:
        """Store the next batch, however long the store takes; then acknowledge it."""
        batch, self._uncommitted = self._uncommitted[:BATCH], self._uncommitted[BATCH:]
        heartbeats, self._heartbeats = (self._heartbeats, {}) if with_heartbeats else ({}, self._heartbeats)
        if not self._uncommitted:
            self._some.clear()
        if len(self._uncommitted) < BATCH:
            self._full.clear()
        arrivals = (*heartbeats.values(), *(message.arrived for message in batch))
        parsed = [facts for arrived in arrivals if (facts := self._parse(arrived))]
        if parsed:
            await self._ingest_with_retries(parsed)
        for message in batch:  # in the order of arrival, as MQTT 5 requires (4.6)
            message.connection.acknowledge(message.mid)

    def _parse(self, arrived: Arrived) -> Parsed | None:
        """None if the station is simulated and simulated stations are not accepted."""
        name, _ = split_topic(arrived.topic) or ("", "")
        parsed = parse(arrived)
        if arrived.simulated or name in self._simulated or (parsed.state and parsed.state[1].simulated):
            if parsed.state and parsed.state[1].simulated:
                self._simulated.add(name)
            if not self._accept_simulated:
                self.counts["simulated, ignored"] += 1
                return None
        return parsed

    async def _ingest_with_retries(self, batch: list[Parsed]) -> None:
        wait_s = 0.5
        while True:
            try:
                try:
                    self._ingest(batch)
                except StoreRejected:
                    self._ingest_singly(batch)
                return
            except StoreError as error:
                log.error("nothing can be stored, and nothing is acknowledged: %s", error)
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
            wait_s = min(30.0, wait_s * 2)

    def _ingest(self, batch: list[Parsed]) -> None:
        ingested = self._store.ingest(batch)
        states = [parsed.state for parsed in batch if parsed.state]
        births = [(terminal, state.outbox) for terminal, state in states if state.state == "online"]
        for head in (*ingested.heads, *(self._store.heads(births) if births else ())):
            self._queue_receipt(head)
        for terminal in ingested.changed_keys:
            log.warning("%s reported another export key; the previous one stays valid", terminal.name)
        self.counts.update(
            stored=ingested.stored,
            duplicates=ingested.duplicates,
            conflicts=ingested.conflicts,
            set_aside=ingested.set_aside,
        )

    def _ingest_singly(self, batch: list[Parsed]) -> None:
        """The database rejects some: those are set aside as bytes, so that they do not block the others."""
        for parsed in batch:
            try:
                self._ingest([parsed])
            except StoreRejected as error:
                log.error("the store rejects a message: %s", error)
                self._ingest([parsed.as_set_aside(str(error)[:500])])

    # receipts

    async def _receipt_loop(self) -> None:
        while True:
            await self._any_due.wait()
            self._any_due.clear()
            self._send_receipts()
            await asyncio.sleep(0.1)
            if self._due and self._connection:
                self._any_due.set()

    async def _poll_imports(self) -> None:
        """Receipts for what `yinong-center import` stored."""
        while True:
            try:
                heads = self._store.imported_outboxes()
            except StoreError as error:
                log.error("cannot poll for imported parcels: %s", error)
                heads = ()
            for head in heads:
                self._queue_receipt(head)
            await asyncio.sleep(IMPORT_POLL_S)

    def _queue_receipt(self, head: Head) -> None:
        self._due[(head.terminal, head.outbox)] = head.upto
        if head.parcels:
            self._parcels[(head.terminal, head.outbox)] = head.parcels
        self._any_due.set()

    def _send_receipts(self, at_once: bool = False) -> None:
        now_s = self._now_s()
        for (terminal, outbox), upto in list(self._due.items()):
            connection = self._connection
            if connection is None or len(self._in_flight) >= min(RECEIPTS_IN_FLIGHT, connection.receive_maximum):
                return
            if not at_once and now_s < self._not_before.get(terminal, 0):
                continue
            parcels = self._parcels.get((terminal, outbox), ())
            receipt = Receipt(
                at=rfc3339(self._clock.now()), store=self._store.id, outbox=outbox, upto=upto, parcels=parcels
            )
            try:
                mid = connection.publish(topic(terminal.name, "receipt"), msgspec.json.encode(receipt), retain=True)
            except Rejected as error:
                log.error("no receipt for %s: %s", terminal.name, error)
                self._not_before[terminal] = now_s + 30
                continue
            if mid is None:
                return
            del self._due[(terminal, outbox)]
            self._in_flight[mid] = Head(terminal, outbox, upto)
            self._not_before[terminal] = now_s + RECEIPT_INTERVAL_S
            self.counts["receipts"] += 1

    async def _finish(self) -> None:
        self._closing = True
        try:
            async with asyncio.timeout(5):
                while self._uncommitted or self._heartbeats:
                    await self._commit(True)
                while self._connection and (self._due or self._in_flight):
                    self._send_receipts(at_once=True)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            log.warning("stopped before every receipt was acknowledged: the terminals request them on the next birth")
        log.info("stopped; %s", self._counts_text())

    async def _log_counts(self) -> None:
        logged: Counter[str] = Counter()
        while True:
            await asyncio.sleep(60)
            if logged != self.counts:
                logged = self.counts.copy()
                log.info("%s", self._counts_text())

    def _counts_text(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in self.counts.items() if count) or "nothing received"

    def _now_s(self) -> float:
        return self._clock.mono_ms() / 1000


def _describe(why: LinkProblem) -> str:
    return f"{link_sentence(why, 'en').says} [{why}]"
