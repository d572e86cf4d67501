"""A recorder that was down for a week: the broker acknowledged everything and dropped most of it, and nothing is lost."""

from pathlib import Path

import paho.mqtt.subscribe
from support.broker import Broker
from support.daemon import TERMINAL, Daemon, Gun, Recorder, until
from support.mqtt_county import County

DAYS = 7
SCANS_A_DAY = 120  # of both guns
AT_ONCE = 20  # fewer than what is sent live at a time: each scan is a message of its own in the broker's queue
SESSIONS_QUEUE = 300  # mosquitto's default of 1000, scaled to the number of scans; the shipped configuration raises it


def test_a_week_without_recorder_and_a_queue_that_was_cut_lose_nothing_and_keep_each_guns_order(tmp_path: Path) -> None:
    broker = Broker(tmp_path, extra=("sys_interval 1",))
    conf = broker.folder / "mosquitto.conf"
    shipped = conf.read_text("utf-8")
    assert "max_queued_messages 100000" in shipped
    conf.write_text(shipped.replace("max_queued_messages 100000", f"max_queued_messages {SESSIONS_QUEUE}"), "utf-8")
    with broker, Gun("left") as left, Gun("right") as right:
        guns = {"left": left, "right": right}
        expected: dict[str, list[str]] = {"left": [], "right": []}
        with Recorder(tmp_path, broker.port):
            pass  # its session stays at the broker for a week
        with (
            County(broker.host, broker.port) as county,
            Daemon(tmp_path, broker.port, tables=left.table + right.table + TERMINAL) as daemon,
        ):
            for day in range(DAYS):
                if day:
                    daemon.stop()
                    for gun in guns.values():
                        gun.reset()
                    daemon.start()
                for gun in guns.values():
                    gun.wait_until_opened()
                daemon.until_connected()
                _scan_for_a_day(daemon, guns, expected, day)
            total = DAYS * SCANS_A_DAY
            until(lambda: _dropped(broker) > total // 2, lambda: f"{_dropped(broker)} dropped\n{broker.log[-2000:]}")
            assert daemon.depth()["receipted"] == 0, "a PUBACK does not mean stored at the county"
            waiting = [beat.json["waiting"] for beat in county.of("heartbeat")]
            assert waiting == sorted(waiting), "each morning more rows wait"
            assert waiting[-1] > SCANS_A_DAY * (DAYS - 1)

            (tmp_path / "recorder.log").unlink()
            with Recorder(tmp_path, broker.port) as recorder:
                assert "the session goes on" in recorder.process.log
                left.scan("after")  # a receipt below it shows that the queue was cut
                expected["left"].append("after")
                until(
                    lambda: daemon.depth()["waiting"] == 0,
                    lambda: f"{daemon.depth()}\n{daemon.process.log}\n{recorder.process.log}",
                    100,
                )
                stored = recorder.rows("scan")
                conflicts = recorder.count("conflict")
    for gun, texts in expected.items():
        mine = [capture for capture in stored if capture["gun"] == gun]
        assert [capture["text"] for capture in mine] == texts
    assert conflicts == 0


def _scan_for_a_day(daemon: Daemon, guns: dict[str, Gun], expected: dict[str, list[str]], day: int) -> None:
    for start in range(0, SCANS_A_DAY, AT_ONCE):
        for n in range(start, start + AT_ONCE):
            name = "left" if n % 2 else "right"
            expected[name].append(f"D{day}-{n}")
            guns[name].scan(expected[name][-1])
        until(
            lambda: len(daemon.rows("scan")) == sum(len(texts) for texts in expected.values()),
            lambda: daemon.process.log,
        )


def _dropped(broker: Broker) -> int:
    """Messages that the broker dropped after acknowledging them, by its own count."""
    count = paho.mqtt.subscribe.simple("$SYS/broker/publish/messages/dropped", hostname=broker.host, port=broker.port)
    return int(count.payload)  # type: ignore[union-attr]
