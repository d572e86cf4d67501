"""A drain of stored captures: its time and rate, what the agent needs, and how long a live scan and a heartbeat take meanwhile.

The outbox is filled before the agent starts (--captures); then the agent, with a serial gun on a pseudo-terminal, drains it at
the shipped pace ([delivery] backlog_kbit_s) to a real mosquitto and the real recorder, while a scan is typed each second and
a second subscriber measures the age of each heartbeat on arrival.
"""

import os
import sqlite3
import sys
import time
from datetime import datetime
from pathlib import Path

import msgspec
import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion
from scan_latency import open_gun
from stage import SAMPLE_GUN, parser, percentile, print_machine, print_table, staged, wait_for

from agent.host.fingerprint import fingerprint
from agent.outbox.opening import open_outbox
from agent.outbox.stamps import draft, sequenced
from common.clock import SystemClock
from common.messages import ROOT, Capture, Heartbeat


def fill(file: Path, captures: int) -> int:
    """Fill the outbox with captures, as committed while the line was cut; return their total bytes."""
    clock = SystemClock()
    box = open_outbox(file, fingerprint(), os.urandom(6).hex(), "bench")
    size = 0
    for start in range(0, captures, 500):
        made = [
            Capture(
                **sequenced(clock),
                gun="gun",
                identity="bench",
                number=n + 1,
                source="serial",
                text=f"69{n:011d}",
                raw=f"69{n:011d}".encode().hex(),
                charset="ascii",
                charset_because="ascii",
                symbology=None,
                start_mono_ms=1,
                end_mono_ms=2,
            )
            for n in range(start, min(start + 500, captures))
        ]
        size += sum(len(row.body) for row in box.append([draft(clock, "scan", one) for one in made]))
    box.close()
    return size


class Heartbeats:
    """Subscribes to heartbeats while open; `age_s`: the age of each on arrival, by its own stamp."""

    def __init__(self, port: int) -> None:
        self.age_s: list[float] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_message = lambda _client, _data, message: self._received(message.payload)
        self._client.on_connect = lambda *_: self._client.subscribe(f"{ROOT}/+/heartbeat")
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _received(self, payload: bytes) -> None:
        at = msgspec.json.decode(payload, type=Heartbeat).at
        self.age_s.append(time.time() - datetime.fromisoformat(at).timestamp())


def stored(file: Path) -> dict[str, int]:
    """Captures at the recorder by text (of all that it holds), with how often each is there."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=20) as db:
        rows = db.execute(
            "SELECT json_extract(CAST(body AS TEXT), '$.text'), count(*) FROM entry WHERE kind = 'scan' GROUP BY 1"
        )
        return dict(rows.fetchall())


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--captures", type=int, default=10_000)
    options = arguments.parse_args()
    print_machine()
    with staged() as stage:
        size = fill(stage.folder / "outbox.db", options.captures)
        gun, port = open_gun()
        stage.recorder()
        store = stage.folder / "center.db"
        beats = Heartbeats(stage.broker.port)
        agent = psutil.Process(stage.agent(stage.broker.port, SAMPLE_GUN.format(port=port)).pid)
        wait_for("the first of the backlog", lambda: len(stored(store)) > 0, 60)
        beats.age_s.clear()  # the first may have arrived before the drain
        began, before_mb = time.monotonic(), agent.memory_info().rss / 1e6
        cpu_before, peak_mb, live_s, number = sum(agent.cpu_times()[:2]), before_mb, [], 0
        while len(stored(store)) < options.captures + number:
            number += 1
            text, typed = f"LIVE{number}", time.monotonic()
            os.write(gun, text.encode() + b"\r")
            wait_for("a live scan", lambda text=text: text in stored(store), 60)
            live_s.append(time.monotonic() - typed)
            peak_mb = max(peak_mb, agent.memory_info().rss / 1e6)
            time.sleep(max(0.0, typed + 1 - time.monotonic()))
        took_s = time.monotonic() - began
        beats.close()
        cpu_s = sum(agent.cpu_times()[:2]) - cpu_before
        twice = sum(count - 1 for count in stored(store).values())
    print_table(
        ("drain", "captures", "MB", "took s", "kbit/s", "RSS MB before", "peak", "CPU s", "twice"),
        [
            (
                "agent",
                options.captures,
                f"{size / 1e6:.1f}",
                f"{took_s:.0f}",
                f"{size * 8 / took_s / 1000:.0f}",
                f"{before_mb:.1f}",
                f"{peak_mb:.1f}",
                f"{cpu_s:.1f}",
                twice,
            )
        ],
    )
    print_table(
        ("received during the drain", "number", "p50 ms", "most ms"),
        [
            (what, len(ages_s), f"{percentile(ages_s, 50) * 1000:.0f}", f"{max(ages_s) * 1000:.0f}")
            for what, ages_s in (("live scans", live_s), ("heartbeats", beats.age_s))
            if ages_s
        ],
    )
    print("a heartbeat's age is from its stamp to its arrival at a second subscriber;")
    print("the live latency is from the last byte typed to the recorder's commit; the pace configured is 320 kbit/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
