"""From the scan gun's last byte to the county's broker: a serial gun on a pseudo-terminal, 1,000 scans, one after the other.

  committed    the capture arrives over the daemon's socket (`scan`), which sends it after the commit
  PUBACK       the broker's acknowledgement of the scan passes the proxy
  subscriber   the message is at an MQTT subscriber on loopback

Each is counted from just before the scan's bytes are written. The next scan is typed when the one before has arrived everywhere
(or after two seconds, when it counts as lost), and --pause later. The gun's own 9600 baud are left out: a pty has none.
"""

import json
import os
import pty
import socket
import sys
import threading
import time
import tty
from pathlib import Path

import paho.mqtt.client as paho
from counting_proxy import CountingProxy
from paho.mqtt.enums import CallbackAPIVersion
from stage import SAMPLE_GUN, Stage, parser, percentile, print_machine, print_table, staged, wait_for

LOST_S = 2.0
MOST_FAILURES = 10


class Ways:
    """When each text arrived by each way."""

    def __init__(self) -> None:
        self.typed = ""  # the text that is in flight: one at a time
        self.arrivals: dict[str, list[tuple[str, float]]] = {"committed": [], "PUBACK": [], "subscriber": []}
        self.changed = threading.Condition()

    def note(self, way: str, text: str, when: float) -> None:
        with self.changed:
            self.arrivals[way].append((text, when))
            self.changed.notify_all()

    def wait(self, text: str) -> bool:
        """Wait until it has arrived by every way (True), or two seconds have passed."""
        with self.changed:
            return self.changed.wait_for(lambda: all(text in dict(times) for times in self._newest()), LOST_S)

    def _newest(self) -> list[list[tuple[str, float]]]:
        return [times[-5:] for times in self.arrivals.values()]


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--scans", type=int, default=1000, help="(default 1000)")
    arguments.add_argument("--pause", type=float, default=0.02, help="seconds between two scans (default 0.02)")
    options = arguments.parse_args()
    if not 1 <= options.scans <= 1_000_000 or not 0 <= options.pause <= 60:
        arguments.error("--scans 1 to 1000000, --pause 0 to 60")
    print_machine()
    ways, (gun, port) = Ways(), open_gun()
    with staged() as stage:
        stage.recorder()
        with CountingProxy(stage.broker.port, lambda *packet: _acknowledged(ways, *packet)) as proxy:
            subscriber = _subscriber(stage, ways)
            stage.agent(proxy.port, SAMPLE_GUN.format(port=port))
            wait_for("the agent's connection", lambda: proxy.tally().first_publish)
            viewer = _viewer(stage.socket, ways)
            _wait_until_opened(gun, ways)
            typed = _type(gun, ways, options.scans, options.pause)
            viewer.shutdown(socket.SHUT_RDWR)
            subscriber.disconnect()
            subscriber.loop_stop()
    _show(typed, ways)
    return 0


def open_gun() -> tuple[int, str]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    return master, os.ttyname(slave)


def _wait_until_opened(gun: int, ways: Ways) -> None:
    """Type until the daemon reads the gun; these scans are not counted."""

    def is_read() -> bool:
        ways.typed = "READY"
        os.write(gun, b"READY\r")
        return ways.wait("READY")

    wait_for("the gun to be opened", is_read)
    time.sleep(1)
    with ways.changed:
        for times in ways.arrivals.values():
            times.clear()


def _type(gun: int, ways: Ways, scans: int, pause_s: float) -> list[tuple[str, float]]:
    typed: list[tuple[str, float]] = []
    failures = 0
    for number in range(1, scans + 1):
        text = ways.typed = f"69{number:011d}"
        typed.append((text, time.monotonic()))
        os.write(gun, text.encode() + b"\r")
        failures += not ways.wait(text)
        if failures > MOST_FAILURES:
            print(f"ended after {number} scans: {failures} did not come every way within {LOST_S:.0f} s")
            break
        time.sleep(pause_s)
        if number % 200 == 0:
            print(f"  {number} of {scans}", flush=True)
    return typed


def _viewer(path: Path, ways: Ways) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(str(path))
    sock.sendall(b'{"ask": "scan"}\n')

    def read() -> None:
        for line in sock.makefile("rb"):
            when = time.monotonic()
            if capture := json.loads(line).get("capture"):
                ways.note("committed", capture["text"], when)

    threading.Thread(target=read, daemon=True).start()
    return sock


def _subscriber(stage: Stage, ways: Ways) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, "latency", protocol=paho.MQTTv5)
    ready = threading.Event()

    def on_message(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        when = time.monotonic()
        for capture in json.loads(message.payload)["captures"]:
            ways.note("subscriber", capture["text"], when)

    client.on_message = on_message
    client.on_subscribe = lambda *_: ready.set()
    client.on_connect = lambda c, *_: c.subscribe("yinong/1/+/scan", qos=1)
    client.connect(stage.broker.host, stage.broker.port)
    client.loop_start()
    assert ready.wait(10), "no subscription"
    return client


def _acknowledged(ways: Ways, kind: str, message: str, when: float) -> None:
    if kind == "PUBACK" and message == "scan":
        ways.note("PUBACK", ways.typed, when)


def _show(typed: list[tuple[str, float]], ways: Ways) -> None:
    texts = [text for text, _ in typed]
    rows: list[tuple[object, ...]] = []
    for way, budget in (("committed", "10"), ("PUBACK", "25"), ("subscriber", "")):
        arrivals = ways.arrivals[way]
        first = dict(reversed(arrivals))
        took = [(first[text] - when) * 1000 for text, when in typed if text in first]
        lost, wrong = len(set(texts) - set(first)), len(set(first) - set(texts))
        figures = [f"{percentile(took, p):.2f}" for p in (50, 99, 100)] if took else ["-"] * 3
        rows.append((way, len(arrivals), lost, wrong, len(arrivals) - len(first), *figures, budget))
    committed, acknowledged = (dict(reversed(ways.arrivals[way])) for way in ("committed", "PUBACK"))
    between = [(acknowledged[t] - committed[t]) * 1000 for t in texts if t in acknowledged and t in committed]
    if between:
        rows.append(
            ("committed -> PUBACK", "", "", "", "", *(f"{percentile(between, p):.2f}" for p in (50, 99, 100)), "")
        )
    print_table(("last byte -> (ms)", "arrived", "lost", "wrong", "twice", "p50", "p99", "most", "p99 wanted"), rows)


if __name__ == "__main__":
    sys.exit(main())
