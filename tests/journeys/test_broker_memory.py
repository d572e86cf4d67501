"""A broker at its memory limit: status reports it in words, nothing is lost, and it recovers by itself once there is memory."""

from pathlib import Path
from typing import Any

from support.broker import Broker
from support.daemon import TERMINAL, Daemon, Gun, Recorder, until

SCANS = 300
LIMIT = 400_000  # bytes: about a hundred of these scans (mosquitto counts allocations; it logs nothing at the limit)


def test_a_broker_out_of_memory_only_delays(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    conf = broker.folder / "mosquitto.conf"
    shipped = conf.read_text("utf-8")
    conf.write_text(f"memory_limit {LIMIT}\n{shipped}", "utf-8")
    expected = [f"S-{n}-" + "x" * 900 for n in range(SCANS)]
    with broker, Gun() as gun:
        with Recorder(tmp_path, broker.port):
            pass  # the broker queues for its session, in memory
        with Daemon(tmp_path, broker.port, tables=gun.table + TERMINAL) as daemon:
            gun.wait_until_opened()
            daemon.until_connected()
            for n, text in enumerate(expected, 1):
                gun.scan(text)
                until(lambda n=n: n % 10 or len(daemon.rows("scan")) == n, lambda: daemon.process.log)
            for lang in ("zh", "en"):
                [trouble, *_] = until(lambda lang=lang: _troubles(daemon, lang), lambda: daemon.process.log)
                assert trouble["says"]
                assert trouble["remedy"]
            assert daemon.process.running
            assert daemon.depth()["receipted"] == 0
            broker.stop()
            conf.write_text(shipped, "utf-8")
            broker.start()
            (tmp_path / "recorder.log").unlink()
            with Recorder(tmp_path, broker.port) as recorder:
                until(
                    lambda: daemon.depth()["waiting"] == 0,
                    lambda: f"{daemon.depth()} {daemon.request(ask='status')['link']}\n{daemon.process.log}",
                    100,
                )
                assert recorder.texts() == expected
                until(lambda: not _troubles(daemon, "zh"), lambda: f"{_troubles(daemon, 'zh')}\n{daemon.process.log}")


def _troubles(daemon: Daemon, lang: str) -> list[dict[str, Any]]:
    return daemon.request(ask="status", lang=lang)["link"]["troubles"]
