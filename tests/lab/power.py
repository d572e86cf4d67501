"""Power cuts while a gun types and the line comes and goes; then everything that was shown to the officer is searched for.

A cycle: the station comes up, what its disk has kept is judged (`lab.ledger`), the agent is ready without help, the gun
types, the power fails at a moment of chance, and the disk loses what was not flushed. The next cycle, or `close`, judges that
cut. What chance decides comes from the seed, so a seed repeats the plan; what the machine was doing at that moment does not.
"""

import json
import random
import socket
import threading
import time
import uuid
from typing import Any, Literal, NamedTuple, Protocol

from lab.agent import UNIT, Agent
from lab.county import HOST, County
from lab.guns import KeyboardGun
from lab.ledger import AtCounter, Findings, Kept, Row, Stored, check
from lab.network import Network
from lab.places import LabError
from lab.station import Station
from lab.volatile_disk import Lost, VolatileDisk

LONGEST_S = 3.5  # from the first scan shown to the cut
SCANS = 120  # more than a gun can type in that time
PACE_MS = 3.0
DRAINED_WITHIN_S = 240
_AFTER_THE_LAST = "6999999999999"


class Fall(NamedTuple):
    """How the power fails in one cycle."""

    line: Literal["up", "down", "comes", "goes"]  # the line to the broker, from the start or from a random moment
    in_start: bool  # while the agent starts; else while the gun types
    after: float  # share of the longest time until the cut
    turn: float  # share of that time until the line comes or goes
    in_request: int | None  # from then on the disk stops in the n-th write or flush, and the power fails; None: at once
    keep: float  # probability that an unflushed sector is on the medium all the same

    @classmethod
    def by(cls, seed: str) -> "Fall":
        chance = random.Random(seed)
        return cls(
            line=chance.choice(("up", "down", "comes", "goes")),
            in_start=chance.random() < 1 / 8,
            after=chance.random(),
            turn=chance.random(),
            in_request=chance.choice((None, chance.randrange(1, 30))),
            keep=chance.choice((0.0, 0.5, 0.5)),
        )


class Cut(NamedTuple):
    """One cycle, and the sectors that the disk lost at its end."""

    seed: str
    fall: Fall
    shown: int  # scans shown to the officer in it
    stored: int  # entries that reached the county in it
    ready_s: float | None  # from the start of the service (whole reboots: of the kernel) to READY; None: cut before
    took_s: float
    disk: Lost


class Ground(Protocol):
    """How the station starts, and what a cut does to its disk."""

    @property
    def disk(self) -> VolatileDisk: ...

    def up(self, boot_id: str) -> Station:
        """Start the station with the disk as left by the last cut. Errors: LabError if it does not start without help."""
        ...

    @property
    def starts_by_itself(self) -> bool:
        """Whether the station that just came up has booted, so that its service is started by systemd."""
        ...

    def cut(self, station: Station, seed: str, keep: float) -> Lost: ...

    def close(self, station: Station) -> None:
        """A clean end. Errors: LabError if the file system is damaged."""
        ...


class Officer:
    """What the officer is shown: the undamaged captures of the live view, as they reach this machine."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self._views: list[threading.Thread] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._take_views, daemon=True).start()

    @property
    def port(self) -> int:
        return self._server.getsockname()[1]

    def has_seen_all(self) -> None:
        """After a cut: wait for everything that was in flight."""
        while self._views:
            self._views.pop().join(30)

    def close(self) -> None:
        self._server.close()

    def _take_views(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            view = threading.Thread(target=self._watch, args=(connection,), daemon=True)
            self._views.append(view)
            view.start()

    def _watch(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            try:
                for line in lines:
                    capture = json.loads(line).get("capture") if line.endswith(b"\n") else None
                    if capture and capture["damage"] is None:
                        self.shown.append(capture["text"])
            except ConnectionError:
                return


class Mains:
    """A series of power cuts of one station, one county and one seed. `close` checks the last one and the delivery."""

    def __init__(self, ground: Ground, county: County, seed: str) -> None:
        self._ground, self._county, self._seed = ground, county, seed
        self._officer = Officer()
        self._typed: list[list[str]] = []
        self._longest_start_s = 3.0
        self.cuts: list[Cut] = []
        self.findings = Findings(frozenset(), frozenset(), ())
        self.ready_again_s = 0.0  # after the last cut, by itself where the station has booted

    def cycle(self) -> Cut:
        """One more cut; `findings` then covers all cuts before it. Errors: LabError if the station needs help to start."""
        began = time.monotonic()
        seed = f"{self._seed}/{len(self.cuts)}"
        fall = Fall.by(seed)
        seen, had = len(self._officer.shown), self._entries()
        station = self._up(seed)
        try:
            ready_s = self._work(station, fall)
        except BaseException:
            station.end()
            raise
        if fall.in_request:
            self._ground.disk.stop_in(fall.in_request)
            self._ground.disk.has_stopped()
        disk = self._ground.cut(station, seed, fall.keep)
        self._officer.has_seen_all()
        shown, stored = len(self._officer.shown) - seen, self._entries() - had
        self.cuts.append(Cut(seed, fall, shown, stored, ready_s, time.monotonic() - began, disk))
        return self.cuts[-1]

    def look(self) -> Findings:
        """Start a last time, only to check the last cut: for a disk or a program that is known to lose data."""
        self._up(f"{self._seed}/end").end()
        self._officer.close()
        return self.findings

    def close(self) -> Findings:
        """Start a last time, one more scan, everything delivered, a clean stop: the check of the whole series."""
        station = self._up(f"{self._seed}/end")
        try:
            agent, gun = self._configured(station)
            self.ready_again_s = _ready(station, starts=not self._ground.starts_by_itself)
            agent.opens(gun.events)
            self._typed.append([_AFTER_THE_LAST])
            gun.type(_AFTER_THE_LAST)
            self._county.waits_for(
                "a scan after the last cut",
                lambda: _AFTER_THE_LAST in self._county.captures(),
                timeout_s=DRAINED_WITHIN_S,
            )
            self._county.waits_for(
                "all that waits", lambda: station.hand("counter.waiting") == 0, timeout_s=DRAINED_WITHIN_S
            )
            station.run(f"systemctl stop {UNIT}")
            self._check(station, running=False, delivered=True)
            self._ground.close(station)
        finally:
            station.end()
            self._officer.close()
        return self.findings

    def _up(self, seed: str) -> Station:
        station = self._ground.up(str(uuid.UUID(int=random.Random(seed).getrandbits(128), version=4)))
        try:
            if self._ground.starts_by_itself:
                _ready(station, starts=False)
            if self.cuts:
                self._check(station, running=self._ground.starts_by_itself)
        except BaseException:
            station.end()
            raise
        return station

    def _work(self, station: Station, fall: Fall) -> float | None:
        """From the station's start to the moment of the cut."""
        agent, gun = self._configured(station)
        network = Network(station)
        if fall.line in ("down", "comes"):
            network.cut("broker", broker_port=self._county.broker.port)
        if fall.in_start and not self._ground.starts_by_itself:
            self._typed.append([])
            station.run(f"systemctl start --no-block {UNIT}")
            time.sleep(fall.after * self._longest_start_s)
            return None
        ready_s = _ready(station, starts=not self._ground.starts_by_itself)
        agent.opens(gun.events)
        self._longest_start_s = max(self._longest_start_s, ready_s)
        station.wait_for(f"ip route get {HOST}", "the network, which the service does not wait for", timeout_s=60)
        station.hand("counter.tell_on", host=HOST, port=self._officer.port)
        seen = len(self._officer.shown)
        self._typed.append([f"69{len(self.cuts):05}{number:06}" for number in range(SCANS)])
        gun.begin(self._typed[-1], pace_ms=PACE_MS)
        self._county.waits_for("the first scan to be shown", lambda: len(self._officer.shown) > seen)
        until = time.monotonic() + fall.after * LONGEST_S
        if fall.line in ("comes", "goes"):
            time.sleep(fall.turn * fall.after * LONGEST_S)
            network.mend() if fall.line == "comes" else network.cut("broker", broker_port=self._county.broker.port)
        time.sleep(max(0.0, until - time.monotonic()))
        return ready_s

    def _configured(self, station: Station) -> tuple[Agent, KeyboardGun]:
        agent, gun = Agent(station, self._county), KeyboardGun(station)
        agent.configure({"class": "scan_gun", "id": "gun", "usb": gun.identity.vendor_product})
        return agent, gun

    def _check(self, station: Station, *, running: bool, delivered: bool = False) -> None:
        rows = [
            Row(outbox, seq, kind, digest.hex(), _says(kind, body))
            for outbox, seq, kind, digest, body in self._county.rows(
                "select outbox, seq, kind, digest, body from entry order by outbox, seq"
            )
        ]
        found: dict[str, list[list[Any]]] = station.hand("counter.kept", running=running) or {"boxes": [], "rows": []}
        kept = Kept([Row(*row) for row in found["rows"]], {box: upto for box, _, upto in found["boxes"]})
        heads = dict(self._county.rows("select outbox, upto from head"))
        (conflicts,), (aside,) = (self._county.rows(f"select count(*) from {t}")[0] for t in ("conflict", "set_aside"))
        stored = Stored(rows, heads, conflicts, aside)
        self.findings = check(AtCounter(self._typed, self._officer.shown), kept, stored, delivered=delivered)

    def _entries(self) -> int:
        return self._county.rows("select count(*) from entry")[0][0]


def _ready(station: Station, *, starts: bool) -> float:
    """Wait until systemd reports the service ready at its first start; return the duration. Errors: LabError."""
    if starts:
        station.run(f"systemctl start {UNIT} || (journalctl -n 50 --no-pager -u {UNIT} >&2; false)", timeout_s=120)
    else:
        station.wait_until_up()
        station.run(f"systemctl is-active {UNIT}")
    names = ("NRestarts", "InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    shown = station.run(f"systemctl show {' '.join(f'-p {name}' for name in names)} {UNIT}")
    fields = dict(line.split("=", 1) for line in shown.splitlines())
    restarts, began_us, ready_us = (int(fields[name]) for name in names)
    if restarts:
        raise LabError(f"the service was started {restarts} times again:\n{station.run(f'journalctl -u {UNIT}')}")
    return (ready_us - (began_us if starts else 0)) / 1e6


def _says(kind: str, body: bytes) -> Any:
    fields = json.loads(body or b"{}")
    if kind == "scan":
        return [fields["number"], fields["text"], fields.get("damage")]
    return [fields.get("event"), fields.get("boot"), fields.get("details")] if kind == "journal" else None


def summary(cuts: list[Cut], findings: Findings) -> str:
    """One line of a series."""
    shown, stored = sum(cut.shown for cut in cuts), sum(cut.stored for cut in cuts)
    return (
        f"{len(cuts)} cuts, {shown} scans shown, {stored} entries at the county meanwhile;"
        f" lost {len(findings.lost)}, twice {len(findings.twice)}, wrong {len(findings.wrong)}"
    )
