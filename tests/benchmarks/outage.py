"""What becomes of scans while the county's broker is away: the agent and the bare paho loop, in one run.

A serial gun on a pseudo-terminal is read by the agent, the bare loop publishes a numbered message; one each second, before,
during and after the broker is stopped for --seconds. With --kill the broker ends as by a power cut (nothing saved, no will);
with --cut agent and bare loop are killed (SIGKILL) in the middle of the outage and started again, as by a power cut at the
station (nothing is scanned for five seconds then). A subscriber with a lasting session writes down what arrives.

  arrived      of those that were sent, at least once
  twice        arrived again (the recorder drops them by their key)
  late         marked as backlog by the sender
  order        whether first arrivals are in the order sent, backlog and live each for itself: live goes first
  own time     greatest difference between a message's own time and the moment when it was sent
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as paho
from bare_loop import BRANCH
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from scan_latency import open_gun
from stage import BIN, SAMPLE_GUN, Broker, Stage, end, parser, print_machine, print_table, staged, wait_for

QUIET_S = 5  # wait this long for duplicates
LONGEST_WAIT_S = 300  # the reconnect's cap is 120 s


class Arrival(NamedTuple):
    """A message at the subscriber."""

    text: str
    at_s: float  # its own time
    late: bool
    arrived_s: float  # time.monotonic()


class County:
    """The subscriber: arrivals by sender, in order."""

    def __init__(self, broker: Broker) -> None:
        self.agent: list[Arrival] = []
        self.bare: list[Arrival] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "outage", protocol=paho.MQTTv5)
        self._client.on_message = self._take
        self._client.on_connect = lambda c, *_: c.subscribe([("yinong/1/+/scan", 1), (f"{BRANCH}/scan", 1)])
        self._client.reconnect_delay_set(1, 1)
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600
        self._client.connect(broker.host, broker.port, 30, clean_start=False, properties=session)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        body, arrived_s = json.loads(message.payload), time.monotonic()
        late = ("late", "1") in getattr(message.properties, "UserProperty", [])
        if message.topic.startswith(BRANCH):
            self.bare.append(Arrival(body["text"], body["at"], late, arrived_s))
        else:
            for capture in body["captures"]:
                at_s = datetime.fromisoformat(capture["at"]).timestamp()
                self.agent.append(Arrival(capture["text"], at_s, late, arrived_s))


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=120, help="that the broker is away (default 120)")
    arguments.add_argument("--kill", action="store_true", help="the broker is killed, not stopped")
    arguments.add_argument("--cut", action="store_true", help="agent and bare loop are killed in the middle of it")
    options = arguments.parse_args()
    if not 12 <= options.seconds <= 86_400:
        arguments.error("--seconds 12 to 86400")
    print_machine()
    with staged() as stage:
        Outage(stage, options).run()
    return 0


class Outage:
    """One run of it."""

    def __init__(self, stage: Stage, options: argparse.Namespace) -> None:
        self._stage, self._options = stage, options
        self._gun, self._gun_port = open_gun()
        self._scanned: dict[str, float] = {}  # text: wall time
        self._paused, self._enough = threading.Event(), threading.Event()
        self._county = County(stage.broker)

    def run(self) -> None:
        self._stage.recorder()
        self._start_both(1)
        wait_for("the gun to be opened", self._listening)
        scanning = threading.Thread(target=self._scan_each_second)
        scanning.start()
        try:
            back = self._without_broker()
            time.sleep(10)
        finally:
            self._enough.set()
            scanning.join()
        sent_by_bare = _sent_by_bare(self._stage.folder / "bare.log")
        self._wait_for_the_rest(sent_by_bare)
        self._county.close()
        _show(self._scanned, self._county.agent, sent_by_bare, self._county.bare, back)

    def _without_broker(self) -> float:
        """Stop the broker and start it again; return when it was back."""
        time.sleep(5)
        broker, half_s = self._stage.broker, self._options.seconds / 2
        print(f"broker {'killed' if self._options.kill else 'stopped'} for {2 * half_s:.0f} s", flush=True)
        broker.kill() if self._options.kill else broker.stop()
        time.sleep(half_s - (5 if self._options.cut else 0))
        if self._options.cut:
            self._cut_both()
        time.sleep(half_s)
        broker.start()
        return time.monotonic()

    def _cut_both(self) -> None:
        self._paused.set()
        time.sleep(1)
        for process in (self._agent, self._bare):
            end(process, signal.SIGKILL)
        self._start_both(1 + len(_sent_by_bare(self._stage.folder / "bare.log")))
        time.sleep(4)
        self._paused.clear()
        print("agent and bare loop were killed and started again", flush=True)

    def _start_both(self, first: int) -> None:
        stage, port = self._stage, self._stage.broker.port
        self._agent = stage.agent(port, SAMPLE_GUN.format(port=self._gun_port))
        script = Path(__file__).with_name("bare_loop.py")
        command = [str(BIN / "python"), str(script), "--port", str(port), "--every", "1", "--numbered"]
        self._bare = stage.process("bare", [*command, "--first", str(first)])

    def _listening(self) -> bool:
        os.write(self._gun, b"READY\r")
        time.sleep(0.3)
        received = bool(self._county.agent)
        if received:
            time.sleep(1)
            self._county.agent.clear()
        return received

    def _scan_each_second(self) -> None:
        while not self._enough.wait(1):
            if not self._paused.is_set():
                text = f"69{len(self._scanned) + 1:011d}"
                self._scanned[text] = time.time()
                os.write(self._gun, text.encode() + b"\r")

    def _wait_for_the_rest(self, sent_by_bare: Mapping[str, float]) -> None:
        """Wait until everything has arrived from both (bounded); then for duplicates."""
        until = time.monotonic() + (LONGEST_WAIT_S if not self._options.cut else 150)
        while time.monotonic() < until:
            missing = _missing(self._scanned, self._county.agent) | _missing(sent_by_bare, self._county.bare)
            if not missing:
                break
            time.sleep(0.5)
        time.sleep(QUIET_S)


def _sent_by_bare(log: Path) -> dict[str, float]:
    """What the bare loop passed to paho, by its log: text and wall time."""
    lines = [line.split() for line in log.read_text("utf-8").splitlines()]
    return {words[0]: float(words[1]) for words in lines if len(words) == 2 and words[0].startswith("N")}


def _missing(sent: Mapping[str, float], arrivals: Sequence[Arrival]) -> set[str]:
    return set(sent) - {arrival.text for arrival in arrivals}


def _show(
    scanned: Mapping[str, float],
    agent: Sequence[Arrival],
    sent_by_bare: Mapping[str, float],
    bare: Sequence[Arrival],
    back: float,
) -> None:
    head = (
        "broker away",
        "sent",
        "arrived",
        "lost",
        "twice",
        "late",
        "order late",
        "order live",
        "own time",
        "all there after",
    )
    print_table(head, [("agent", *_row(scanned, agent, back)), ("bare paho loop", *_row(sent_by_bare, bare, back))])


def _row(sent: Mapping[str, float], arrivals: Sequence[Arrival], back: float) -> tuple[object, ...]:
    arrivals = [arrival for arrival in arrivals if arrival.text in sent]  # the bare loop continues after the count
    first = {arrival.text: arrival for arrival in reversed(arrivals)}
    order = list(sent)
    arrived = sorted(first.values(), key=lambda arrival: arrivals.index(arrival))

    def in_order(late: bool) -> str:
        places = [order.index(arrival.text) for arrival in arrived if arrival.late is late]
        return ("yes" if places == sorted(places) else "no") if places else "-"

    apart_s = max((abs(arrival.at_s - sent[arrival.text]) for arrival in arrived), default=0.0)
    last = max((arrival.arrived_s for arrival in arrived), default=back)
    return (
        len(sent), len(first), len(sent) - len(first), len(arrivals) - len(first), sum(a.late for a in arrived),
        in_order(late=True), in_order(late=False), f"{apart_s * 1000:.0f} ms", f"{last - back:.0f} s",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
