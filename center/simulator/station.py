"""One simulated station: realistic events on a real connection, marked as simulated in everything that it sends.

life (heartbeats, telemetry, events) -> MemoryOutbox -> MqttConnection -> broker -> recorder -> receipt
"""

import random
from collections import Counter
from typing import Any

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from center.broker import Retry, stay_connected
from center.simulator.outbox import MemoryOutbox, Row
from center.simulator.scenes import CODES, EQUIPMENT, SCENES, standard_items
from common.clock import Clock, rfc3339
from common.events import Event, Layer, LinkDown, LinkUp, Start
from common.messages import (
    LATE,
    SIMULATED,
    Capture,
    Device,
    Heartbeat,
    Journal,
    Message,
    OutboxId,
    Receipt,
    Receipted,
    Standard,
    State,
    Telemetry,
    topic,
)
from common.mqtt.connection import MqttConnection
from common.mqtt.errors import LinkProblem
from common.mqtt.session import BrokerAddress, ConnectOptions, Will
from common.station import Terminal
from drivers.reading import Reading

VERSION = "simulated"
INFLIGHT_WINDOW = 10
HEARTBEAT_S, TELEMETRY_S = 60.0, 300.0
WILL_DELAY_S, EXPIRY_S = 60, 600
RECEIPT_TIMEOUT_S = (30.0, 600.0)  # publish again without a receipt: after this long at first, and at most


class _Batch(Message, frozen=True, kw_only=True):
    """A Scan whose captures are the rows' own bytes."""

    outbox: OutboxId
    captures: tuple[msgspec.Raw, ...]


class SimulatedStation:
    """The `Listener` of its own connection (`common.mqtt.connection`). `counts` is shared by the fleet."""

    def __init__(
        self, terminal: Terminal, broker: BrokerAddress, clock: Clock, rng: random.Random, counts: Counter[str]
    ) -> None:
        self.terminal, self._broker, self._clock, self._rng = terminal, broker, clock, rng
        self._counts = counts
        self._boot = f"{rng.getrandbits(32):08x}"
        self._run_id = f"{rng.getrandbits(32):08x}"
        self._fingerprint = f"{rng.getrandbits(48):012x}"
        self._connection_number = 0
        self._boot_mono_ms = clock.mono_ms() - rng.randrange(3_600_000, 200_000_000)
        self.outbox = MemoryOutbox(f"{rng.getrandbits(48):012x}", self._void)
        self.readings: dict[str, Reading] = {name: SCENES[name].normal for name in EQUIPMENT[terminal.number.type]}
        self._items = standard_items(terminal.number.type, self.readings)
        self._captures = 0
        self._connection: MqttConnection | None = None
        self._in_flight: dict[int, tuple[int, ...]] = {}  # message id -> numbers of its rows
        self._progress_s, self._receipt_timeout_s = 0.0, RECEIPT_TIMEOUT_S[0]
        self._loss_expected = False  # the next loss of the connection is simulated or a clean stop
        self.powered, self.stopping = True, False

    @property
    def in_flight(self) -> int:
        """Messages that the broker has not acknowledged."""
        return self._connection.in_flight if self._connection else 0

    # life

    def start(self) -> None:
        """The first rows: a start, every device, the standard."""
        self._journal(Start(run=self._run_id, version=VERSION, previous_end="first", outbox="new"))
        for name in self.readings:
            self._device(name, None)
        self._standard()

    async def run_connection(self) -> None:
        """Connect and reconnect until cancelled."""
        retry = Retry(first_s=1, cap_s=30)
        await stay_connected(self._broker, self._session, self, self._rng, retry, lambda _why: self._connect_failed())

    def cut_line(self) -> None:
        """The line is cut, the station keeps running: the connection ends without DISCONNECT."""
        self._drop()
        self._journal(LinkDown(connection=self._connection_number, why="closed"))

    def line_back(self, away_s: float) -> None:
        """The agent of a station that kept its power reports which layer failed."""
        down_ms = round(away_s * 1000)
        layers: tuple[tuple[Layer, int], ...] = (("access_line", self._mono_ms() - down_ms),)
        self._journal(
            LinkUp(connection=self._connection_number + 1, down_ms=down_ms, cause="access_line", layers=layers)
        )

    def cut_power(self) -> None:
        """The terminal stops without notice; its outbox survives on the disk."""
        self.powered = False
        self._drop()

    def power_back(self) -> None:
        """A new boot after an unclean end."""
        self.powered = True
        previous_run, previous_boot = self._run_id, self._boot
        self._boot, self._run_id, self._connection_number = (
            f"{self._rng.getrandbits(32):08x}", f"{self._rng.getrandbits(32):08x}", 0,
        )  # fmt: skip
        self._boot_mono_ms = self._clock.mono_ms() - 25_000
        start = Start(
            run=self._run_id, version=VERSION, previous_end="cut", outbox="kept", new_boot=True,
            previous_run=previous_run, previous_boot=previous_boot, previous_version=VERSION,
        )  # fmt: skip
        self._journal(start)

    def _drop(self) -> None:
        self._loss_expected = True
        if self._connection:
            self._connection.drop(LinkProblem("closed", "line cut"))

    def _journal(self, event: Event) -> None:
        self._add_row("journal", Journal(**self._row_fields(), event=event.name, details=event.details()))

    def change_device(self, name: str, reading: Reading) -> None:
        """A device's condition changes (after debouncing)."""
        before, self.readings[name] = self.readings[name], reading
        self._device(name, before)
        items = standard_items(self.terminal.number.type, self.readings)
        if [(i.item, i.verdict, i.because) for i in items] != [(i.item, i.verdict, i.because) for i in self._items]:
            self._items = items
            self._standard()

    def scan(self) -> None:
        """Add one capture."""
        self._captures += 1
        text = self._rng.choice(CODES)
        mono_ms = self._mono_ms()
        self._add_row("scan", Capture(
            **self._row_fields(), gun="main", identity="simulated", number=self._captures, source="simulated", text=text,
            raw=text.encode().hex(), charset="ascii", charset_because="all bytes below 0x80", symbology=None,
            start_mono_ms=mono_ms - 40, end_mono_ms=mono_ms,
        ))  # fmt: skip

    def heartbeat(self) -> None:
        verdicts = Counter(item.verdict for item in self._items)
        beat = Heartbeat(
            **self._stamp_fields(), run=self._run_id, connection=self._connection_number, uptime_s=self._mono_ms() // 1000,
            waiting=self.outbox.waiting, oldest_waiting_s=None, verdicts=dict(verdicts), last_seq=self.outbox.last_seq,
            outbox=self.outbox.receipt_state.outbox,
        )  # fmt: skip
        self._publish("heartbeat", beat, 0)

    def telemetry(self) -> None:
        measures = {
            f"{name}.main.{measure}": round(value * self._rng.uniform(0.97, 1.03), 2)
            for name, reading in self.readings.items()
            for measure, value in reading.measures.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        self._publish("telemetry", Telemetry(**self._stamp_fields(), measures=measures), 1)

    def publish_closing(self) -> None:
        """Announce a clean stop."""
        self._loss_expected = True
        self._publish("state", self._state("closing"), 1, retain=True)

    def check_receipt_timeout(self) -> None:
        """Publish rows again that the broker acknowledged and nobody receipted, at growing intervals."""
        now_s = self._now_s()
        if self._connection and self.outbox.waiting and now_s - self._progress_s > self._receipt_timeout_s:
            self._progress_s, self._receipt_timeout_s = now_s, min(RECEIPT_TIMEOUT_S[1], self._receipt_timeout_s * 2)
            self._counts["resent"] += 1
            self._resend()

    # listener

    def connected(self, connection: MqttConnection, resumed: bool) -> None:  # noqa: ARG002  # nothing in the session is needed
        self._connection, self._loss_expected = connection, False
        self._counts["connects"] += 1
        connection.subscribe([topic(self.terminal.name, "receipt"), topic(self.terminal.name, "command/+")])
        self._publish("state", self._state("online"), 1, retain=True)
        self.heartbeat()
        self._in_flight.clear()
        self._progress_s, self._receipt_timeout_s = self._now_s(), RECEIPT_TIMEOUT_S[0]
        self._resend()

    def lost(self, problem: LinkProblem) -> None:
        self._connection = None
        self._in_flight.clear()
        if not self._loss_expected and not self.stopping:
            self._counts["reconnects"] += 1
            self._counts[f"lost: {problem.code}"] += 1

    def received(self, connection: MqttConnection, message: paho.MQTTMessage) -> None:  # noqa: ARG002
        if not message.topic.endswith("/receipt"):
            return
        try:
            receipt = msgspec.json.decode(message.payload, type=Receipt)
        except msgspec.MsgspecError:
            self._counts["invalid receipts"] += 1
            return
        before = self.outbox.receipt_state.upto
        resend = self.outbox.apply_receipt(receipt, message.retain)
        gained = self.outbox.receipt_state.upto - before
        if gained:
            self._progress_s, self._receipt_timeout_s = self._now_s(), RECEIPT_TIMEOUT_S[0]
            self._counts["receipted"] += gained
        if resend:
            self._resend()

    def acknowledged(self, mid: int, reason: ReasonCode) -> None:
        if self._in_flight.pop(mid, None) and reason.is_failure:
            self._counts[f"refused: {reason}"] += 1
        self._publish_waiting()

    # sending

    def _resend(self) -> None:
        self.outbox.requeue(seq for numbers in self._in_flight.values() for seq in numbers)
        self._publish_waiting()

    def _publish_waiting(self) -> None:
        while (connection := self._connection) and len(self._in_flight) < min(
            INFLIGHT_WINDOW, connection.receive_maximum
        ):
            rows, late = self.outbox.next_batch()
            if not rows:
                return
            mid = self._publish_rows(connection, rows, late)
            if mid is None:
                return
            self._in_flight[mid] = tuple(row.seq for row in rows)

    def _publish_rows(self, connection: MqttConnection, rows: list[Row], late: bool) -> int | None:
        first = rows[0]
        body = first.body
        if first.leaf == "scan":
            batch = _Batch(
                **self._stamp_fields(),
                outbox=self.outbox.receipt_state.outbox,
                captures=tuple(msgspec.Raw(r.body) for r in rows),
            )
            body = msgspec.json.encode(batch)
        user = (SIMULATED, LATE) if late else (SIMULATED,)
        self._counts["sent"] += len(rows)
        return connection.publish(topic(self.terminal.name, first.leaf), body, 1, self.outbox.may_retain(first), user)

    def _publish(self, leaf: str, message: Message, qos: int, retain: bool = False) -> None:
        if self._connection:
            self._connection.publish(
                topic(self.terminal.name, leaf), msgspec.json.encode(message), qos, retain, (SIMULATED,)
            )

    def _add_row(self, leaf: str, message: Receipted, retained: bool = False) -> None:
        self.outbox.add(leaf, msgspec.json.encode(message), retained, live=self._connection is not None)
        self._counts["rows"] += 1
        self._publish_waiting()

    def _device(self, name: str, before: Reading | None) -> None:
        reading = self.readings[name]
        self._add_row(f"device/{name}/main", Device(
            **self._row_fields(), device_class=name, id="main", condition=reading.condition, reason=reading.reason.code,
            params=reading.reason.params, measures=reading.measures, evidence=reading.evidence,
            previous=before.condition if before else None,
        ), retained=True)  # fmt: skip

    def _standard(self) -> None:
        self._add_row(
            "standard",
            Standard(**self._row_fields(), profile=self.terminal.number.type.value, items=self._items),
            retained=True,
        )

    def _void(self, seq: int) -> bytes:
        placed: dict[str, Any] = {**self._row_fields(), "seq": seq}
        return msgspec.json.encode(Journal(**placed, event="void", details={"reason": "not_in_archive", "was": "?"}))

    def _session(self) -> ConnectOptions:
        self._connection_number += 1
        will = Will(
            topic(self.terminal.name, "state"), msgspec.json.encode(self._state("lost")), WILL_DELAY_S, (SIMULATED,)
        )
        client_id = f"{self.terminal.name}-{self._fingerprint}"
        return ConnectOptions(client_id, keepalive_s=30, clean_start=False, expiry_s=EXPIRY_S, will=will)

    def _state(self, state: str) -> State:
        return State(
            **self._stamp_fields(), state=state, connection=self._connection_number, run=self._run_id,  # type: ignore[arg-type]
            outbox=self.outbox.receipt_state.outbox, fingerprint=self._fingerprint, version=VERSION,
            division=self.terminal.division, number=str(self.terminal.number), terminal=self.terminal.terminal,
            simulated=True,
        )  # fmt: skip

    def _connect_failed(self) -> None:
        self._counts["reconnects"] += 1

    def _stamp_fields(self) -> dict[str, Any]:
        return {
            "boot": self._boot, "at": rfc3339(self._clock.now()), "mono_ms": self._mono_ms(), "clock": "synced",
        }  # fmt: skip

    def _row_fields(self) -> dict[str, Any]:
        return {**self._stamp_fields(), "outbox": self.outbox.receipt_state.outbox, "seq": self.outbox.last_seq + 1}

    def _mono_ms(self) -> int:
        return self._clock.mono_ms() - self._boot_mono_ms

    def _now_s(self) -> float:
        return self._clock.mono_ms() / 1000
