"""The agent, lnxlink, glances and psmqtt in the same two outages, in one run, each through a counting proxy of its own.

The peers are installed from the package index into throw-away environments (`peers.py`) and measure every 30 s; at the agent a
code is scanned every 30 s. A subscriber with a lasting session, and for the agent a recorder, represent the county.

  two minutes without broker       it is stopped, and comes back with its sessions
  killed after its acknowledgement the county is away (its session is kept), every program gets a report acknowledged, the broker
                                   is killed and comes back; mosquitto's own autosave (30 minutes) saves nothing meanwhile

  due        reports that fell into the time; in the second outage those that the broker acknowledged (QoS 0: received) while the
             county was away, as received by another subscriber, the witness
  arrived    of these, at least once; a report is identified by what it measured. glances exports what it measured a cycle before,
             so its first report after an outage may still be of it
  twice      arrived again
  own time   greatest difference between a report's own time and the moment of its measurement; none: it carries no time
  live again seconds from the broker's return to the first new report
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as paho
from counting_proxy import CountingProxy
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from peers import BLOCK, EVERY_S, PEERS, Peer
from scan_latency import open_gun
from stage import NAME, SAMPLE_GUN, Stage, end, parser, print_machine, print_table, staged, wait_for

AGENT = "yinong-agent"
LONGEST_WAIT_S = 300  # every one of them waits up to two minutes between two tries
STARTS = 8
QUIET_S = 10  # wait this long for duplicates
HEAD = ("due", "arrived", "twice", "own time", "live again")
_OWN_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|[+-]\d\d:\d\d)|\b1[6-9]\d{8}(?:\.\d+)?\b")


class Report(NamedTuple):
    """A report that arrived at the county."""

    measured_s: int  # second of the stage's count
    own_time_s: float | None
    arrived_s: float  # time.monotonic()


class Count:
    """The seconds of this run: the folder that peers measure grows by a block in each, a code is scanned every thirty."""

    def __init__(self, folder: Path, gun: int) -> None:
        self.folder, self._gun = folder, gun
        folder.mkdir()
        self._empty_bytes = folder.stat().st_blocks * 512
        self.began, self.began_wall_s = time.monotonic(), time.time()
        self._file = (folder / "grows").open("ab", buffering=0)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def now(self) -> int:
        return int(time.monotonic() - self.began)

    def close(self) -> None:
        self._enough.set()
        self._thread.join()
        self._file.close()

    def measured_s(self, size: int, *, with_folder: bool) -> int:
        return (size - (self._empty_bytes if with_folder else 0)) // BLOCK

    def _run(self) -> None:
        second = 0
        while not self._enough.wait(max(0.0, self.began + second + 1 - time.monotonic())):
            second += 1
            self._file.write(bytes(BLOCK))
            if second % EVERY_S == 0:
                os.write(self._gun, f"69{second:011d}\r".encode())


class County:
    """The subscriber with a lasting session: every program's reports, in order of arrival. The witness is another."""

    def __init__(self, port: int, count: Count, peers: tuple[Peer, ...], client_id: str) -> None:
        self._count, self._peers = count, {peer.topic: peer for peer in peers}
        self.reports: dict[str, list[Report]] = {AGENT: [], **{peer.name: [] for peer in peers}}
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5)
        self._client.on_message = lambda _client, _data, message: self._take(message.topic, message.payload)
        topics = [(f"yinong/1/{NAME}/scan", 1), *((topic, 1) for topic in self._peers)]
        self._client.on_connect = lambda client, *_: client.subscribe(topics)
        self._client.reconnect_delay_set(1, 1)
        self._session = Properties(PacketTypes.CONNECT)
        self._session.SessionExpiryInterval = 3600
        self._port = port

    def come(self) -> None:
        self._client.connect("127.0.0.1", self._port, 30, clean_start=False, properties=self._session)
        self._client.loop_start()
        wait_for("the county's connection", self._client.is_connected)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, topic: str, payload: bytes) -> None:
        arrived_s = time.monotonic()
        if topic not in self._peers:
            for capture in json.loads(payload)["captures"]:
                if capture["text"].startswith("69"):
                    own = datetime.fromisoformat(capture["at"]).timestamp()
                    self.reports[AGENT].append(Report(int(capture["text"][2:]), own, arrived_s))
        elif payload:  # lnxlink empties its topics when it ends
            peer = self._peers[topic]
            measured_s = self._count.measured_s(peer.size(payload), with_folder=peer.name != "glances")
            self.reports[peer.name].append(Report(measured_s, _own_time_s(payload.decode()), arrived_s))


def _own_time_s(text: str) -> float | None:
    found = _OWN_TIME.search(text)
    if not found:
        return None
    return datetime.fromisoformat(found[0]).timestamp() if "T" in found[0] else float(found[0])


class Line(NamedTuple):
    """What passed a program's proxy of its reports: kind of packet, second."""

    leaf: str
    passed: list[tuple[str, int]]

    def accepted(self, since_s: int) -> int:
        """Reports that the broker acknowledged since then; with QoS 0, that were sent to it."""
        acknowledged = sum(kind == "PUBACK" and when >= since_s for kind, when in self.passed)
        return acknowledged or sum(kind == "PUBLISH" and when >= since_s for kind, when in self.passed)


class Outages:
    """Both, one after the other, on one stage."""

    def __init__(self, stage: Stage, environments: Path) -> None:
        self._stage = stage
        self._gun, self._gun_port = open_gun()
        self._peers = tuple(_installed(environments))
        self._bins = {peer.name: environments / f"env-{peer.name}" / "bin" for peer in self._peers}

    def run(self, seconds: float, stack: ExitStack) -> None:
        stage = self._stage
        self._count = Count(stage.folder / "measured", self._gun)
        stack.callback(self._count.close)
        self._county = County(stage.broker.port, self._count, self._peers, "county")
        witness = County(stage.broker.port, self._count, self._peers, "witness")
        for one in (self._county, witness):
            one.come()
            stack.callback(one.leave)
        recorder = stage.recorder()
        self._lines = {AGENT: self._start_agent(stack), **{peer.name: self._start(peer, stack) for peer in self._peers}}
        self._until_all_live(0)
        _as_debian_ships(stage)
        gone, back = self._stopped_for(seconds)
        live = self._until_all_live(back)
        due = dict.fromkeys(self._lines, round(seconds / EVERY_S))
        outage = {name: set(range(gone + 1, back + 1)) for name in self._lines}
        self._show(f"{seconds:.0f} s without broker", due, outage, live)
        left, left_at = self._count.now(), time.monotonic()
        self._county.leave()
        end(recorder)
        print("the county is away; the broker is killed when it has acknowledged a report of each", flush=True)
        alive = [self._lines[name] for name, after_s in live.items() if after_s is not None]
        wait_for("an acknowledged report of each", lambda: all(line.accepted(left + 1) for line in alive), 120)
        stage.broker.kill()
        accepted = {
            name: {r.measured_s for r in witness.reports[name] if r.arrived_s > left_at} for name in self._lines
        }
        killed = self._count.now()
        stage.broker.start()
        self._county.come()
        stage.recorder()
        live = self._until_all_live(killed)
        self._show("killed after its acknowledgement", {n: len(one) for n, one in accepted.items()}, accepted, live)

    def _stopped_for(self, seconds: float) -> tuple[int, int]:
        print(f"the broker is stopped for {seconds:.0f} s", flush=True)
        self._stage.broker.stop()
        gone = self._count.now()
        time.sleep(seconds)
        back = self._count.now()
        self._stage.broker.start()
        return gone, back

    def _until_all_live(self, since_s: int) -> dict[str, int | None]:
        """Wait for a report of each that was measured since then; return how long it took (None: it never arrived)."""
        until = time.monotonic() + LONGEST_WAIT_S
        live: dict[str, int | None] = dict.fromkeys(self._county.reports)
        while None in live.values() and time.monotonic() < until:
            time.sleep(0.2)
            for name, reports in self._county.reports.items():
                if live[name] is None and any(report.measured_s > since_s for report in reports):
                    live[name] = self._count.now() - since_s
        time.sleep(QUIET_S)
        return live

    def _show(self, title: str, due: dict[str, int], seconds: dict[str, set[int]], live: dict[str, int | None]) -> None:
        """`seconds`: of the measurements that are asked for, by program."""
        rows: list[tuple[object, ...]] = []
        for name, reports in self._county.reports.items():
            arrivals = [report for report in reports if report.measured_s in seconds[name]]
            first = {report.measured_s for report in arrivals}
            offs = [
                abs(report.own_time_s - self._count.began_wall_s - report.measured_s)
                for report in arrivals
                if report.own_time_s is not None
            ]
            own = f"{max(offs):.1f} s off" if offs else "none" if arrivals else "-"
            again = f"{live[name]} s" if live[name] is not None else f"not in {LONGEST_WAIT_S} s"
            rows.append((name, due[name], len(first), len(arrivals) - len(first), own, again))
        print_table((title, *HEAD), rows)

    def _start_agent(self, stack: ExitStack) -> Line:
        line, proxy = self._proxied("scan", stack)
        self._stage.agent(proxy.port, SAMPLE_GUN.format(port=self._gun_port))
        return line

    def _start(self, peer: Peer, stack: ExitStack) -> Line:
        line, proxy = self._proxied(peer.leaf, stack)
        folder = self._stage.folder / peer.name
        folder.mkdir()
        command = peer.started_by(self._bins[peer.name], folder, self._count.folder, proxy.port)
        for start in range(1, STARTS + 1):
            log = self._stage.folder / f"{peer.name}-{start}.log"
            process = self._stage.process(log.stem, command)
            time.sleep(4)  # it connects within the first two
            if not peer.wrecked or peer.wrecked not in log.read_text("utf-8", "replace"):
                print(f"{peer.name}: start {start}", flush=True)
                return line
            end(process)
        print(f"{peer.name}: wrecked at each of {STARTS} starts", flush=True)
        return line

    def _proxied(self, leaf: str, stack: ExitStack) -> tuple[Line, CountingProxy]:
        line = Line(leaf, [])
        on_packet: Callable[[str, str, float], object] = lambda kind, message, when: (  # noqa: E731
            line.passed.append((kind, int(when - self._count.began))) if message == leaf else None
        )
        return line, stack.enter_context(CountingProxy(self._stage.broker.port, on_packet))


def _as_debian_ships(stage: Stage) -> None:
    """From the broker's next start on it saves every 30 minutes (our configuration: every minute)."""
    file = stage.broker.folder / "mosquitto.conf"
    text = file.read_text("utf-8")
    assert "autosave_interval 60\n" in text, "config/mosquitto.conf has another autosave_interval than expected"
    file.write_text(text.replace("autosave_interval 60\n", "autosave_interval 1800\n"), "utf-8")


def _installed(environments: Path):
    """The peers that could be installed; prints the others."""
    for peer in PEERS:
        try:
            peer.install(environments)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{peer.name}: not installed: {error}", flush=True)
        else:
            yield peer


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=120, help="that the broker is away (default 120)")
    arguments.add_argument("--environments", type=Path, help="folder in which the peers' environments are kept")
    options = arguments.parse_args()
    if not 60 <= options.seconds <= 86_400:
        arguments.error("--seconds 60 to 86400")
    print_machine()
    with staged() as stage, ExitStack() as stack:
        Outages(stage, options.environments or stage.folder).run(options.seconds, stack)
    return 0


if __name__ == "__main__":
    sys.exit(main())
