"""The present daemon on the old station's files: what it sends to the broker, answers on its socket and leaves in the files.

`drained`: beside a broker without a recorder. `joined`: beside a recorder on the old center's store.
"""

import contextlib
import json
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from compat.files import FILES, NAME, Place, copy_of, expected, rows_of
from support.broker import Broker
from support.daemon import Gun, Process, Recorder, until
from support.mqtt_county import County, Received

QUICK = Path(__file__).with_name("quick_daemon.py")
SCAN = "the first by the present version"
NOWHERE = "127.0.0.1:1"  # refused at once


class Sent(NamedTuple):
    """A row as the broker delivered it."""

    leaf: str
    body: bytes
    late: bool

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def place(self) -> Place:
        return self.json["outbox"], self.json["seq"]


class Station:
    """A folder with the old state, a configuration like the old one, and the daemon that runs on both."""

    def __init__(self, folder: Path, broker: Broker, gun: Gun, faster: int) -> None:
        self.state = copy_of("state", folder / "state")
        self.outbox = self.state / "outbox.db"
        self.socket, self.config = folder / "agent.sock", folder / "agent.toml"
        port = (
            folder / "gun"
        )  # a path that the old station cannot have had: the number of a pseudo-terminal may be the same
        port.symlink_to(gun.port)
        text = (FILES / "config/run.toml").read_text("utf-8")
        self.config.write_text(
            text.format(
                port=broker.port,
                outbox=self.outbox,
                answers=NOWHERE,
                mini_url=f"http://{NOWHERE}",
                printer=f"ipp://{NOWHERE}/ipp/print",
                gun=port,
                page=f"http://{NOWHERE}/",
            ),
            "utf-8",
        )
        command = [sys.executable, str(QUICK), str(faster), "--config", str(self.config), "--socket", str(self.socket)]
        self.process = Process(command, folder / "log", {"STATE_DIRECTORY": str(self.state)})
        until(self._answers, lambda: self.process.log)

    def _answers(self) -> bool:
        assert self.process.running, self.process.log
        with contextlib.suppress(OSError):
            return bool(self.asked('{"ask": "outbox"}\n'))
        return False

    def asked(self, request: str) -> list[dict[str, Any]]:
        """Send the bytes of a request; return every line of the answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(60)
            client.connect(str(self.socket))
            client.sendall(request.encode())
            with client.makefile("rb") as lines:
                return [json.loads(line) for line in lines]

    def live(self, request: str, gun: Gun, *scans: str) -> list[dict[str, Any]]:
        """The same for a request whose answer has no end: one line for each scan, then the client disconnects."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(20)
            client.connect(str(self.socket))
            client.sendall(request.encode())
            self.asked('{"ask": "outbox"}\n')  # the request before it is being answered
            for text in scans:
                gun.scan(text)
            with client.makefile("rb") as lines:
                return [json.loads(lines.readline()) for _ in scans]

    def depth(self) -> dict[str, Any]:
        return self.asked('{"ask": "outbox"}\n')[-1]["answer"]

    def stop(self) -> None:
        assert self.process.end(signal.SIGTERM) == 0, self.process.log

    def kill(self) -> None:
        """After a failed test."""
        if self.process.running:
            self.process.end(signal.SIGKILL)


class Drained(NamedTuple):
    """What the old station sent to a broker without a recorder, and what its socket answered."""

    backlog: list[
        Sent
    ]  # until all waiting rows were received: later the daemon sends the oldest again, for want of a receipt
    sent: list[Sent]
    received: list[Received]
    answers: dict[str, list[dict[str, Any]]]  # request -> lines
    states: dict[str, Any]  # marks of the outbox file at the end
    log: str

    def new(self, leaf: str) -> list[dict[str, Any]]:
        """Rows of this run, in order, each once."""
        old = expected("outbox")
        last = (old["id"], old["depth"]["last_seq"])
        rows = {one.place: one.json for one in self.sent if one.leaf == leaf and one.place > last}
        return [rows[place] for place in sorted(rows)]

    def entry(self, event: str) -> dict[str, Any]:
        """The one entry of this run's journal."""
        (found,) = [one["details"] for one in self.new("journal") if one["event"] == event]
        return found


def rows_received(received: list[Received]) -> list[Sent]:
    """Rows in the order of arrival, captures taken out of their batches, each as the bytes that were sent."""
    found: list[Sent] = []
    for one in received:
        if one.leaf == "scan":
            captures = msgspec.json.decode(one.payload, type=dict[str, msgspec.Raw])["captures"]
            found += [
                Sent("scan", bytes(raw), one.late) for raw in msgspec.json.decode(captures, type=list[msgspec.Raw])
            ]
        elif re.match("journal|standard|device/", one.leaf):
            found.append(Sent(one.leaf, one.payload, one.late))
    return found


@contextlib.contextmanager
def running(folder: Path, faster: int) -> Iterator[tuple[Station, Gun, County]]:
    """The old station beside a broker, with its gun open and its link up; beside a recorder if the folder has a store."""
    with contextlib.ExitStack() as parts:
        broker, gun = parts.enter_context(Broker(folder)), parts.enter_context(Gun())
        county = parts.enter_context(County(broker.host, broker.port))
        if (folder / "center.db").exists():
            parts.enter_context(Recorder(folder, broker.port))
            receipt_that_is_owed(county)
        station = Station(folder, broker, gun, faster)
        parts.callback(station.kill)
        gun.wait_until_opened()
        until(lambda: any(one.leaf == "state" for one in county.received), lambda: station.process.log)
        yield station, gun, county


def receipt_that_is_owed(county: County) -> None:
    """A broker retains one receipt per terminal: here that of the present outbox id, which names the imported parcel."""
    outboxes = {outbox for outbox, _, _ in expected("store")["owed"]}

    def receipts() -> dict[str, Received]:
        return {one.json["outbox"]: one for one in county.received if one.leaf == "receipt"}

    until(lambda: receipts().keys() >= outboxes, lambda: f"no receipts: {county.received}")
    last = receipts()[expected("outbox")["id"]].payload
    county.client.publish(f"yinong/1/{NAME}/receipt", last, 1, retain=True).wait_for_publish(10)


def drained(folder: Path) -> Drained:
    """All waiting rows are received, then scans and the requests of the old command line, then a clean stop."""
    old = expected("outbox")
    waited, again = ({(row["outbox"], row["seq"]) for row in old[name]} for name in ("waiting", "resent"))
    answers: dict[str, list[dict[str, Any]]] = {}
    with running(folder, 10) as (station, gun, county):

        def places() -> set[Place]:
            return {one.place for one in rows_received(county.received)}

        until(lambda: places() >= waited, lambda: station.process.log)
        backlog = rows_received(county.received)
        until(
            lambda: len({one.leaf for one in county.received if one.leaf.startswith("device/")}) == 7, lambda: "devices"
        )
        with contextlib.suppress(AssertionError):  # a test of its own fails then
            until(lambda: places() >= again, lambda: "", 5)
            until(
                lambda: sum(one.leaf == "telemetry" and one.late for one in county.received) >= len(old["spill"]),
                lambda: "",
                8,
            )
        gun.scan(SCAN)
        cards = next(talk for talk in expected("socket") if '"cards"' in talk["request"])["answer"][-1]["answer"][
            "texts"
        ]
        for talk in expected("socket"):
            if talk["request"] == '{"ask": "scan"}\n':
                answers[talk["request"]] = station.live(talk["request"], gun, cards[1], "live")
            else:
                answers[talk["request"]] = station.asked(talk["request"])
        station.stop()
        until(
            lambda: any(one.leaf == "state" and one.json["state"] == "closing" for one in county.received), lambda: ""
        )
        marks = rows_of(station.outbox, "SELECT key, value FROM mark")
        states = {row["key"]: bytes(row["value"]) for row in marks}
        return Drained(
            backlog, rows_received(county.received), list(county.received), answers, states, station.process.log
        )


class Joined(NamedTuple):
    """The old station and the old center together."""

    center: Path
    outbox: Path
    sent: set[Place]
    receipts: list[dict[str, Any]]
    depth: dict[str, Any]


def joined(folder: Path) -> Joined:
    """One scan more, then until no row waits."""
    center = copy_of("county/center.db", folder / "center.db")
    with running(folder, 2) as (station, gun, county):
        gun.scan(SCAN)
        texts = "SELECT body FROM entry WHERE leaf = 'scan'"
        until(lambda: SCAN in str(rows_of(center, texts)), lambda: station.process.log)
        until(lambda: station.depth()["waiting"] == 0, lambda: f"{station.depth()} {station.process.log}", 60)
        depth = station.depth()
        station.stop()
    receipts = [one.json for one in county.received if one.leaf == "receipt"]
    return Joined(center, station.outbox, {one.place for one in rows_received(county.received)}, receipts, depth)
