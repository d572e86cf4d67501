"""`yinong-center record`: what the terminals send is stored, and only then acknowledged and receipted.

    broker -> heard -> [batch: 200 messages or 50 ms] -> intake -> Store.keep, commit -> PUBACK -> receipt (retained)

The broker keeps a persistent session for the recorder's fixed client id; a PUBACK goes out after the commit, so that a
recorder that dies gets what it had not stored again. Stored twice is stored once.
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
from common.mqtt.connection import Wire
from common.mqtt.error_texts import link_sentence
from common.mqtt.errors import Refused, Trouble
from common.mqtt.session import Broker, Session
from common.station import Terminal

log = logging.getLogger("yinong.record")

BATCH = 200  # messages in one commit, at most
BATCH_S = 0.05  # and no message waits longer for the others
HEARTBEAT_COMMIT_S = 10  # last values of heartbeats are worth a commit of their own so often
RECEIPT_INTERVAL_S = 1.0  # a terminal gets one receipt in so long, at most
RECEIPTS_IN_FLIGHT = 20
IMPORT_POLL_S = 5  # what came by hand is looked for so often
LEAVES = ("state", "heartbeat", "device/#", "standard", "journal", "scan", "telemetry", "reply")
RECEIVE_MAXIMUM = 2 * BATCH


class _Uncommitted(NamedTuple):
    """A message that is not committed yet, and where its PUBACK goes."""

    wire: Wire
    mid: int
    arrived: Arrived


class Recorder:
    """Listens on its connections (`common.mqtt.connection.Ears`); `run` is all that is called."""

    def __init__(self, store: Store, clock: Clock, *, simulated: bool = False) -> None:
        self._store, self._clock, self._accept_simulated = store, clock, simulated
        self._wire: Wire | None = None
        self._subscribing: int | None = None  # message id; None once it is granted
        self._resumed = False
        self._uncommitted: list[_Uncommitted] = []
        self._heartbeats: dict[str, Arrived] = {}  # by topic: a newer one replaces the older, as none is a row
        self._some, self._full, self._closing = asyncio.Event(), asyncio.Event(), False
        self._due: dict[tuple[Terminal, str], int] = {}
        self._parcels: dict[tuple[Terminal, str], tuple[str, ...]] = {}  # of those few whose rows came by hand
        self._any_due = asyncio.Event()
        self._not_before: dict[Terminal, float] = {}
        self._in_flight: dict[int, Head] = {}
        self._simulated: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.up = asyncio.Event()  # connected, and subscribed

    async def run(self, broker: Broker, client_id: str, session_expiry_s: int, stop: asyncio.Event) -> None:
        """Until `stop`; then what was heard is committed and receipted, within 5 s."""
        session = Session(
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

    # ears

    def connected(self, wire: Wire, resumed: bool) -> None:
        self._wire, self._resumed = wire, resumed
        self._subscribing = wire.subscribe([f"{ROOT}/+/{leaf}" for leaf in LEAVES], retain_handling=1)
        self.counts["connects"] += 1

    def lost(self, why: Trouble) -> None:
        if not self._closing:
            log.warning("connection lost: %s", _describe(why))
        self._wire = None
        self.up.clear()
        self._uncommitted.clear()  # not acknowledged: they come again, and do not pile up while the store is down
        for head in self._in_flight.values():  # nobody knows whether these arrived
            self._due.setdefault((head.terminal, head.outbox), head.upto)
        self._in_flight.clear()

    def heard(self, wire: Wire, message: paho.MQTTMessage) -> None:
        if self._closing:
            return  # not acknowledged: it comes again
        try:
            where = message.topic
        except UnicodeDecodeError:
            where = ""
        user: list[tuple[str, str]] = getattr(message.properties, "UserProperty", [])
        arrived = Arrived(where, bytes(message.payload), message.retain, LATE in user, SIMULATED in user)
        if message.qos == 0:
            self._heartbeats[where] = arrived
            return
        self._uncommitted.append(_Uncommitted(wire, message.mid, arrived))
        self._some.set()
        if len(self._uncommitted) >= BATCH:
            self._full.set()

    def acknowledged(self, mid: int, reason: ReasonCode) -> None:
        if mid == self._subscribing:
            self._subscribed(reason)
        head = self._in_flight.pop(mid, None)
        if head is not None and reason.is_failure:
            log.error("the broker refused a receipt for %s: %s", head.terminal.name, reason)
            self._not_before[head.terminal] = self._now_s() + 30
            self._due.setdefault((head.terminal, head.outbox), head.upto)
        self._any_due.set()

    def _subscribed(self, reason: ReasonCode) -> None:
        """A recorder that may not read what terminals send looks well and hears nothing: that is no connection."""
        self._subscribing, wire = None, self._wire
        if reason.is_failure and wire:
            wire.drop(Trouble("subscription_refused", str(reason)))
            return
        log.info("connected, the session %s", "goes on" if self._resumed else "is new")
        self.up.set()
        self._any_due.set()

    # storing

    async def _ingest_loop(self) -> None:
        beats_at = self._now_s() + HEARTBEAT_COMMIT_S
        while True:
            try:
                async with asyncio.timeout(max(0.0, beats_at - self._now_s())):
                    await self._some.wait()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BATCH_S):
                        await self._full.wait()
            except TimeoutError:
                pass
            beats = self._now_s() >= beats_at
            await self._commit(beats)
            if beats:
                beats_at = self._now_s() + HEARTBEAT_COMMIT_S

    async def _commit(self, beats: bool) -> None:
        """Store the next batch, however long the store needs; then acknowledge it."""
        batch, self._uncommitted = self._uncommitted[:BATCH], self._uncommitted[BATCH:]
        quiet, self._heartbeats = (self._heartbeats, {}) if beats else ({}, self._heartbeats)
        if not self._uncommitted:
            self._some.clear()
        if len(self._uncommitted) < BATCH:
            self._full.clear()
        worth = [
            taken for arrived in (*quiet.values(), *(held.arrived for held in batch)) if (taken := self._parse(arrived))
        ]
        if worth:
            await self._ingest_with_retries(worth)
        for held in batch:  # in the order of arrival, as MQTT 5 wants it (4.6)
            held.wire.acknowledge(held.mid)

    def _parse(self, arrived: Arrived) -> Parsed | None:
        """None for a simulated station, where none is wanted."""
        name, _ = split_topic(arrived.topic) or ("", "")
        taken = parse(arrived)
        if arrived.simulated or name in self._simulated or (taken.state and taken.state[1].simulated):
            if taken.state and taken.state[1].simulated:
                self._simulated.add(name)
            if not self._accept_simulated:
                self.counts["simulated, ignored"] += 1
                return None
        return taken

    async def _ingest_with_retries(self, worth: list[Parsed]) -> None:
        wait_s = 0.5
        while True:
            try:
                try:
                    self._ingest(worth)
                except StoreRejected:
                    self._ingest_singly(worth)
                return
            except StoreError as error:
                log.error("nothing can be stored, and nothing is acknowledged: %s", error)
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
            wait_s = min(30.0, wait_s * 2)

    def _ingest(self, worth: list[Parsed]) -> None:
        kept = self._store.ingest(worth)
        born = [
            (terminal, state.outbox)
            for terminal, state in (t.state for t in worth if t.state)
            if state.state == "online"
        ]
        for head in (*kept.heads, *(self._store.heads(born) if born else ())):
            self._queue_receipt(head)
        for terminal in kept.changed_keys:
            log.warning("%s told another export key: it stands beside the one before", terminal.name)
        self.counts.update(
            stored=kept.stored, duplicates=kept.duplicates, conflicts=kept.conflicts, set_aside=kept.set_aside
        )

    def _ingest_singly(self, worth: list[Parsed]) -> None:
        """The database takes all but some: those are set aside as bytes, so that nothing stands still for them."""
        for taken in worth:
            try:
                self._ingest([taken])
            except StoreRejected as error:
                log.error("the store refuses a message: %s", error)
                self._ingest([taken.as_set_aside(str(error)[:500])])

    # receipts

    async def _receipt_loop(self) -> None:
        while True:
            await self._any_due.wait()
            self._any_due.clear()
            self._send_receipts()
            await asyncio.sleep(0.1)
            if self._due and self._wire:
                self._any_due.set()

    async def _poll_imports(self) -> None:
        """Receipts for what `yinong-center import` stored beside this recorder."""
        while True:
            try:
                heads = self._store.imported_outboxes()
            except StoreError as error:
                log.error("what came by hand cannot be looked for: %s", error)
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
            wire = self._wire
            if wire is None or len(self._in_flight) >= min(RECEIPTS_IN_FLIGHT, wire.receive_maximum):
                return
            if not at_once and now_s < self._not_before.get(terminal, 0):
                continue
            parcels = self._parcels.get((terminal, outbox), ())
            receipt = Receipt(
                at=rfc3339(self._clock.now()), store=self._store.id, outbox=outbox, upto=upto, parcels=parcels
            )
            try:
                mid = wire.publish(topic(terminal.name, "receipt"), msgspec.json.encode(receipt), retain=True)
            except Refused as error:
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
                while self._wire and (self._due or self._in_flight):
                    self._send_receipts(at_once=True)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            log.warning("stopped before every receipt was acknowledged: the terminals ask again")
        log.info("stopped; %s", self._counts_text())

    async def _log_counts(self) -> None:
        said: Counter[str] = Counter()
        while True:
            await asyncio.sleep(60)
            if said != self.counts:
                said = self.counts.copy()
                log.info("%s", self._counts_text())

    def _counts_text(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in self.counts.items() if count) or "nothing came"

    def _now_s(self) -> float:
        return self._clock.mono_ms() / 1000


def _describe(why: Trouble) -> str:
    return f"{link_sentence(why, 'en').says} [{why}]"
