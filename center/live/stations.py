"""What is known of each terminal from the messages that pass: for the live view. Pure, but for the times handed in."""

from datetime import datetime
from itertools import pairwise
from typing import NamedTuple, TypeVar

import msgspec

from center.store.intake import Arrived, split
from center.store.presence import SILENT_AFTER_S, Presence, newer_state, presence
from common.boot_time import BootClocks, scanned_at
from common.clock import rfc3339
from common.messages import Capture, Device, Heartbeat, Scan, Standard, State, type_of
from common.station import BadStation, Terminal
from drivers.reading import Condition

TROUBLE = frozenset({Condition.FAULTY, Condition.ABSENT, Condition.UNREACHABLE, Condition.ATTENTION})
RUNS = 4  # of a terminal that are remembered
RESTART_S = 5  # what an ended run had still under way comes so long after the next one's birth, at most
TWINS_FOR_S = 7200  # terminals with one identity try once an hour in the end (`agent.uplink.backoff`)
M = TypeVar("M", bound=msgspec.Struct)


class Moment(NamedTuple):
    """One instant on both clocks."""

    mono_s: float
    wall: datetime


class _Run(NamedTuple):
    """One run of a terminal's daemon, as heard live."""

    outbox: str
    fingerprint: str  # "" where only heartbeats were heard
    first_mono_s: float
    last_mono_s: float


class Known:
    """What is known of one terminal."""

    def __init__(self, terminal: Terminal, since: Moment) -> None:
        self.terminal, self._since = terminal, since
        self.state: State | None = None
        self.state_at: str | None = None  # since when it stands so; None where nobody can tell
        self.heard_mono_s: float | None = None
        self.heartbeat: Heartbeat | None = None
        self.devices: dict[tuple[str, str], Device] = {}
        self.standard: Standard | None = None
        self.last_scan: Capture | None = None
        self.simulated = False
        self._clocks = BootClocks()  # of its boots: a heartbeat is never late, so its coming tells the time
        self._runs: dict[str, _Run] = {}  # of the daemon, by its id, the newest last

    @property
    def scanned_at(self) -> datetime | None:
        """When the last scan was, also of a terminal with a dead clock; None where nobody can tell."""
        return self.last_scan and scanned_at(self.last_scan, self._clocks)

    def presence(self, now: Moment) -> Presence:
        heard = None if self.heard_mono_s is None else now.mono_s - self.heard_mono_s
        return presence(self.state, heard, now.mono_s - self._since.mono_s)

    @property
    def verdicts(self) -> dict[str, int]:
        """Number of items by verdict; empty where nothing was said yet."""
        if self.standard is None:
            return self.heartbeat.verdicts if self.heartbeat else {}
        counts: dict[str, int] = {}
        for item in self.standard.items:
            counts[item.verdict] = counts.get(item.verdict, 0) + 1
        return counts

    @property
    def troubled(self) -> list[Device]:
        return [device for _, device in sorted(self.devices.items()) if device.condition in TROUBLE]

    def twins(self, now: Moment) -> tuple[str, ...]:
        """Two terminals that use this one's name, by fingerprint and outbox (a copied disk); empty where there is one.

        A run of the daemon that is heard from again after another one began is no restart.
        """
        fresh = [run for run in self._runs.values() if now.mono_s - run.last_mono_s < TWINS_FOR_S]
        for older, newer in pairwise(fresh):
            if older.last_mono_s - newer.first_mono_s > RESTART_S:
                return tuple(f"{run.fingerprint or '?'}/{run.outbox}" for run in (older, newer))
        return ()

    def take(self, leaf: str, arrived: Arrived, now: Moment) -> None:
        """A message of this terminal; one that keeps to no contract says nothing."""
        self.simulated |= arrived.simulated
        kind = type_of(leaf)
        try:
            message = msgspec.json.decode(arrived.payload, type=kind) if kind else None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        match message:
            case State():
                self._state(message, arrived.retained, now)
            case Heartbeat():
                self.heartbeat = message
                self._clocks.learn(message.boot, message.mono_ms, rfc3339(now.wall), "synced")
                born = self.state.fingerprint if self.state and self.state.run == message.run else ""
                self._alive(message.run, message.outbox, born, now)
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
            self.heard_mono_s = now.mono_s

    def _alive(self, run: str, outbox: str, fingerprint: str, now: Moment) -> None:
        known = self._runs.get(run)
        if known is None:
            known = _Run(outbox, fingerprint, now.mono_s, now.mono_s)
            while len(self._runs) >= RUNS:
                del self._runs[next(iter(self._runs))]
        fingerprint = fingerprint or known.fingerprint
        self._runs[run] = known._replace(fingerprint=fingerprint, last_mono_s=now.mono_s)

    def _state(self, state: State, retained: bool, now: Moment) -> None:
        if not retained and state.state != "lost":
            self._alive(state.run, state.outbox, state.fingerprint, now)
        if not newer_state(self.state, state):
            return
        self.state, self.simulated = state, self.simulated or state.simulated
        # a will carries the time of its connect, not of its loss; a dead clock carries none
        told = state.state != "lost" and state.clock == "synced"
        self.state_at = state.at if told else (None if retained else rfc3339(now.wall))
        if state.state == "online":
            age_s = _age_s(state, now.wall) if retained else 0
            if age_s is not None and age_s <= SILENT_AFTER_S:
                self.heard_mono_s = max(self.heard_mono_s or 0, now.mono_s - age_s)


class Board:
    """All terminals that were ever heard."""

    def __init__(self, since: Moment) -> None:
        self._since = since
        self.known: dict[Terminal, Known] = {}

    def take(self, arrived: Arrived, now: Moment) -> None:
        name, leaf = split(arrived.topic) or ("", "")
        try:
            terminal = Terminal.parse(name)
        except BadStation:
            return
        if terminal not in self.known:
            self.known[terminal] = Known(terminal, self._since)
        self.known[terminal].take(leaf, arrived, now)

    def in_order(self, now: Moment) -> list[Known]:
        """Those that want attention first."""
        return sorted(
            self.known.values(),
            key=lambda known: (not known.twins(now), _RANK[known.presence(now)], -len(known.troubled), known.terminal),
        )


_RANK = {
    Presence.LOST: 0, Presence.SILENT: 1, Presence.ONLINE: 2, Presence.CLAIMED: 3, Presence.CLOSED: 4, Presence.UNKNOWN: 5,
}  # fmt: skip


def _newer(old: M | None, new: M) -> M:
    """The highest number of one outbox is the present; of another outbox, what came last."""
    if old is None or getattr(old, "outbox", "") != getattr(new, "outbox", ""):
        return new
    return new if getattr(new, "seq", 0) >= getattr(old, "seq", 0) else old


def _age_s(state: State, now: datetime) -> float | None:
    """How old the birth is; None where the terminal's clock cannot tell."""
    if state.clock != "synced":
        return None
    try:
        age_s = (now - datetime.fromisoformat(state.at)).total_seconds()
    except ValueError:
        return None
    return age_s if age_s >= 0 else None
