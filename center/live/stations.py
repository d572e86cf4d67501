"""The state of each terminal as far as received messages show it: for the live view. Pure; the caller passes the time."""

from datetime import datetime
from itertools import pairwise
from typing import NamedTuple, TypeVar

import msgspec

from center.store.intake import Arrived, split_topic
from center.store.presence import SILENT_AFTER_S, Presence, is_newer, presence
from common.boot_time import BootClocks, scanned_at
from common.clock import rfc3339
from common.messages import Capture, Device, Heartbeat, Scan, Standard, State, type_of
from common.station import BadStation, Terminal
from drivers.reading import Condition

PROBLEMS = frozenset({Condition.FAULTY, Condition.ABSENT, Condition.UNREACHABLE, Condition.ATTENTION})
MAX_RUNS = 4  # of a terminal's daemon, at most
RESTART_S = 5  # messages of an ended run arrive at most this long after the next one's birth
CLONE_WINDOW_S = 7200  # terminals with one identity try once an hour in the end (`agent.uplink.backoff`)
M = TypeVar("M", bound=msgspec.Struct)


class Instant(NamedTuple):
    """One instant on both clocks."""

    mono_s: float
    wall: datetime


class _Run(NamedTuple):
    """One run of a terminal's daemon, as seen live."""

    outbox: str
    fingerprint: str  # "" if only heartbeats were received
    first_mono_s: float
    last_mono_s: float


class StationView:
    """What the live view shows of one terminal."""

    def __init__(self, terminal: Terminal, since: Instant) -> None:
        self.terminal, self._since = terminal, since
        self.state: State | None = None
        self.state_at: str | None = None  # since when; None if unknown
        self.received_mono_s: float | None = None
        self.heartbeat: Heartbeat | None = None
        self.devices: dict[tuple[str, str], Device] = {}
        self.standard: Standard | None = None
        self.last_scan: Capture | None = None
        self.simulated = False
        self._clocks = BootClocks()  # a heartbeat is never late, so its arrival dates its boot clock
        self._runs: dict[str, _Run] = {}  # by run id, the newest last

    @property
    def scanned_at(self) -> datetime | None:
        """When the last scan was, even if the terminal's clock is dead; None if unknown."""
        return self.last_scan and scanned_at(self.last_scan, self._clocks)

    def presence(self, now: Instant) -> Presence:
        last_s_ago = None if self.received_mono_s is None else now.mono_s - self.received_mono_s
        return presence(self.state, last_s_ago, now.mono_s - self._since.mono_s)

    @property
    def verdicts(self) -> dict[str, int]:
        """Number of items by verdict; empty if none was received yet."""
        if self.standard is None:
            return self.heartbeat.verdicts if self.heartbeat else {}
        counts: dict[str, int] = {}
        for item in self.standard.items:
            counts[item.verdict] = counts.get(item.verdict, 0) + 1
        return counts

    @property
    def problems(self) -> list[Device]:
        return [device for _, device in sorted(self.devices.items()) if device.condition in PROBLEMS]

    def clones(self, now: Instant) -> tuple[str, ...]:
        """Two terminals that use this one's name (a copied disk), as fingerprint/outbox; empty if there is only one.

        A run of the daemon that sends again after another run began was not restarted: it runs on another terminal.
        """
        fresh = [run for run in self._runs.values() if now.mono_s - run.last_mono_s < CLONE_WINDOW_S]
        for older, newer in pairwise(fresh):
            if older.last_mono_s - newer.first_mono_s > RESTART_S:
                return tuple(f"{run.fingerprint or '?'}/{run.outbox}" for run in (older, newer))
        return ()

    def receive(self, leaf: str, arrived: Arrived, now: Instant) -> None:
        """Update by a message of this terminal; an invalid one is ignored."""
        self.simulated |= arrived.simulated
        kind = type_of(leaf)
        try:
            message = msgspec.json.decode(arrived.payload, type=kind) if kind else None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        match message:
            case State():
                self._update_state(message, arrived.retained, now)
            case Heartbeat():
                self.heartbeat = message
                self._clocks.learn(message.boot, message.mono_ms, rfc3339(now.wall), "synced")
                fingerprint = self.state.fingerprint if self.state and self.state.run == message.run else ""
                self._update_run(message.run, message.outbox, fingerprint, now)
            case Device():
                key = (message.device_class, message.id)
                self.devices[key] = _newer(self.devices.get(key), message)
            case Standard():
                self.standard = _newer(self.standard, message)
            case Scan(captures=captures):
                for capture in captures:
                    self.last_scan = _newer(self.last_scan, capture)
            case _:
                return
        if not arrived.retained and not isinstance(message, State):
            self.received_mono_s = now.mono_s

    def _update_run(self, run: str, outbox: str, fingerprint: str, now: Instant) -> None:
        entry = self._runs.get(run)
        if entry is None:
            entry = _Run(outbox, fingerprint, now.mono_s, now.mono_s)
            while len(self._runs) >= MAX_RUNS:
                del self._runs[next(iter(self._runs))]
        fingerprint = fingerprint or entry.fingerprint
        self._runs[run] = entry._replace(fingerprint=fingerprint, last_mono_s=now.mono_s)

    def _update_state(self, state: State, retained: bool, now: Instant) -> None:
        if not retained and state.state != "lost":
            self._update_run(state.run, state.outbox, state.fingerprint, now)
        if not is_newer(self.state, state):
            return
        self.state, self.simulated = state, self.simulated or state.simulated
        # a will has the time of its connect, not of its loss; a dead clock has no time
        dated = state.state != "lost" and state.clock == "synced"
        self.state_at = state.at if dated else (None if retained else rfc3339(now.wall))
        if state.state == "online":
            age_s = _age_s(state, now.wall) if retained else 0
            if age_s is not None and age_s <= SILENT_AFTER_S:
                self.received_mono_s = max(self.received_mono_s or 0, now.mono_s - age_s)


class Stations:
    """All terminals of which a message was received."""

    def __init__(self, since: Instant) -> None:
        self._since = since
        self.views: dict[Terminal, StationView] = {}

    def receive(self, arrived: Arrived, now: Instant) -> None:
        name, leaf = split_topic(arrived.topic) or ("", "")
        try:
            terminal = Terminal.parse(name)
        except BadStation:
            return
        if terminal not in self.views:
            self.views[terminal] = StationView(terminal, self._since)
        self.views[terminal].receive(leaf, arrived, now)

    def by_urgency(self, now: Instant) -> list[StationView]:
        """Those that need attention first."""
        return sorted(
            self.views.values(),
            key=lambda view: (not view.clones(now), _RANK[view.presence(now)], -len(view.problems), view.terminal),
        )


_RANK = {
    Presence.LOST: 0, Presence.SILENT: 1, Presence.ONLINE: 2, Presence.CLAIMED: 3, Presence.CLOSED: 4, Presence.UNKNOWN: 5,
}  # fmt: skip


def _newer(old: M | None, new: M) -> M:
    """The higher number of one outbox is newer; of two outboxes, the later arrival."""
    if old is None or getattr(old, "outbox", "") != getattr(new, "outbox", ""):
        return new
    return new if getattr(new, "seq", 0) >= getattr(old, "seq", 0) else old


def _age_s(state: State, now: datetime) -> float | None:
    """The age of the birth; None if the terminal's clock is not synchronised."""
    if state.clock != "synced":
        return None
    try:
        age_s = (now - datetime.fromisoformat(state.at)).total_seconds()
    except ValueError:
        return None
    return age_s if age_s >= 0 else None
