"""The broker goes and comes back: nothing is lost, the order is kept, and every scan has its own time."""

import contextlib
import os
import time
from datetime import datetime
from pathlib import Path

import pytest
from support.broker import Broker
from support.daemon import TERMINAL, Daemon, Gun, Recorder, until
from support.mqtt_county import County

LONG = pytest.mark.skipif(not os.environ.get("YINONG_LONG_TESTS"), reason="two minutes: set YINONG_LONG_TESTS=1")


@pytest.mark.parametrize(
    ("away_s", "every_s", "others_subscribe"),
    [
        (4, 0.02, False),
        # PUBACKs of a console hide that the recorder is missing: rows are resent after the receipt timeout of a minute.
        pytest.param(4, 0.02, True, marks=[LONG, pytest.mark.timeout(200)]),
        pytest.param(120, 0.2, True, marks=[LONG, pytest.mark.timeout(300)]),
    ],
)
def test_scans_of_an_outage_arrive_complete_in_order_and_with_their_own_times(
    tmp_path: Path, broker: Broker, away_s: float, every_s: float, others_subscribe: bool
) -> None:
    expected: list[str] = []

    def scan(text: str) -> None:
        expected.append(text)
        gun.scan(text)

    with (
        Gun() as gun,
        Recorder(tmp_path, broker.port) as recorder,
        Daemon(tmp_path, broker.port, tables=gun.table + TERMINAL) as daemon,
    ):
        gun.wait_until_opened()
        daemon.until_connected()
        for n in range(10):
            scan(f"before-{n}")
        until(lambda: len(recorder.texts()) == 10, lambda: daemon.process.log)
        broker.kill()
        began = time.clock_gettime(time.CLOCK_BOOTTIME)
        while time.clock_gettime(time.CLOCK_BOOTTIME) < began + away_s:
            scan(f"away-{len(expected)}")
            time.sleep(every_s)
        broker.start()
        with County(broker.host, broker.port) if others_subscribe else contextlib.nullcontext():
            daemon.until_connected()
            scan("after")
            until(
                lambda: len(recorder.texts()) == len(expected),
                lambda: (
                    f"{len(recorder.texts())} of {len(expected)}; {daemon.depth()}\n{daemon.process.log}\n"
                    f"{recorder.process.log}\n{broker.log[-3000:]}"
                ),
                100,  # rows that only the console received are resent after a minute
            )
            until(lambda: daemon.depth()["waiting"] == 0, lambda: daemon.process.log)
        stored, journal = recorder.rows("scan"), recorder.rows("journal")
    assert [capture["text"] for capture in stored] == expected
    assert [capture["number"] for capture in stored] == list(range(1, len(expected) + 1))
    own = [capture["start_mono_ms"] for capture in stored]
    assert own == sorted(own)
    away = [at for capture, at in zip(stored, own, strict=True) if capture["text"].startswith("away")]
    assert all(began * 1000 - 100 < at < (began + away_s) * 1000 + 5000 for at in away)
    spread_ms = away[-1] - away[0]
    assert spread_ms > away_s * 1000 * 0.6, "the times are those of the scans, not of the sending"
    stamps = [datetime.fromisoformat(capture["at"]) for capture in stored]
    assert (max(stamps) - min(stamps)).total_seconds() > away_s * 0.6
    events = [row["event"] for row in journal][:5]
    assert events == ["start", "link_up", "link_down", "link_layer", "link_up"]
    assert (journal[3]["details"]["layer"], journal[4]["details"]["cause"]) == ("county", "county")


def test_a_recorder_that_was_down_gets_everything_and_the_terminal_keeps_it_until_then(
    tmp_path: Path, broker: Broker
) -> None:
    with Gun() as gun, Daemon(tmp_path, broker.port, tables=gun.table) as daemon:
        gun.wait_until_opened()
        daemon.until_connected()
        for n in range(30):
            gun.scan(f"S-{n}")
        until(lambda: len(daemon.rows("scan")) == 30, lambda: daemon.process.log)
        until(lambda: daemon.request(ask="status")["link"]["warning"] == "nobody_listens", lambda: daemon.process.log)
        assert daemon.depth()["receipted"] == 0, "a PUBACK is no receipt"
        with Recorder(tmp_path, broker.port) as recorder:
            until(lambda: daemon.depth()["waiting"] == 0, lambda: f"{daemon.depth()}\n{daemon.process.log}", 60)
            assert recorder.texts() == [f"S-{n}" for n in range(30)]
