"""The peer that every figure is compared with: the bare loop that one would write in an afternoon, with paho and psutil.

MQTT 5, a retained birth and will, heartbeat and telemetry with QoS 1 every 30 s; with --numbered instead a numbered message
every --every seconds, whose texts `outage.py` counts. No outbox, no debouncing, no receipts: paho's own queue.
"""

import argparse
import json
import time

import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

BRANCH = "bare/1/loop"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--every", type=float, default=30.0)
    parser.add_argument("--numbered", action="store_true")
    parser.add_argument("--first", type=int, default=1, help="number of the first message")
    options = parser.parse_args()
    client = _connected(options.port)
    number = options.first - 1
    due = time.monotonic()
    while True:
        if options.numbered:
            number += 1
            text, at = f"N{number:06d}", time.time()
            print(text, at, flush=True)
            client.publish(f"{BRANCH}/scan", json.dumps({"text": text, "at": at}), qos=1)
        else:
            client.publish(
                f"{BRANCH}/heartbeat", json.dumps({"at": time.time(), "uptime": int(time.monotonic())}), qos=1
            )
            client.publish(f"{BRANCH}/telemetry", json.dumps(_measures()), qos=1)
        due += options.every
        time.sleep(max(0.0, due - time.monotonic()))


def _connected(port: int) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, "bare-loop", protocol=paho.MQTTv5)
    client.will_set(f"{BRANCH}/state", b"lost", qos=1, retain=True)
    client.on_connect = lambda c, *_: c.publish(f"{BRANCH}/state", b"online", qos=1, retain=True)
    session = Properties(PacketTypes.CONNECT)
    session.SessionExpiryInterval = 3600
    client.connect_async("127.0.0.1", port, keepalive=30, properties=session)
    client.loop_start()
    return client


def _measures() -> dict[str, float]:
    memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
    net = psutil.net_io_counters()
    return {
        "at": time.time(), "cpu_percent": psutil.cpu_percent(), "load_1m": psutil.getloadavg()[0],
        "memory_percent": memory.percent, "memory_available": memory.available, "disk_percent": disk.percent,
        "disk_free": disk.free, "rx_bytes": net.bytes_recv, "tx_bytes": net.bytes_sent,
    }  # fmt: skip


if __name__ == "__main__":
    main()
