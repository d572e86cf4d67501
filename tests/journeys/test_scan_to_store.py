"""From the gun to the row in the county's store, and out of the terminal's waiting rows."""

import json
import socket
import time
from pathlib import Path

from support.broker import Broker
from support.daemon import NAME, TERMINAL, Daemon, Gun, Recorder, keeps_the_contract, until
from support.mqtt_county import County


def test_a_scan_is_committed_sent_stored_and_receipted(tmp_path: Path, broker: Broker) -> None:
    with (
        Gun() as gun,
        County(broker.host, broker.port) as county,
        Recorder(tmp_path, broker.port) as recorder,
        Daemon(tmp_path, broker.port, tables=gun.table + TERMINAL) as daemon,
    ):
        gun.wait_until_opened()
        daemon.until_connected()
        gun.scan("6901234567892")
        until(lambda: recorder.texts() == ["6901234567892"], lambda: daemon.process.log)
        until(lambda: daemon.depth()["waiting"] == 0, lambda: f"{daemon.depth()}\n{recorder.process.log}")
        depth = daemon.depth()
        stored, kept = recorder.rows("scan"), daemon.rows("scan")
        assert daemon.stop() == 0
        county.wait_for(lambda c: c.of("state")[-1].json["state"] == "closing")
    assert stored == kept  # byte for byte what the terminal committed
    assert (kept[0]["gun"], kept[0]["number"], kept[0]["source"]) == ("main", 1, "serial")
    assert depth["archived"] == depth["last_seq"] == depth["receipted"]
    assert [h.late for h in county.of("scan")] == [False]
    assert county.of("state")[0].json["state"] == "online"
    keeps_the_contract(county)


def test_the_live_view_shows_a_scan_only_after_it_is_committed(tmp_path: Path) -> None:
    with Gun() as gun, Daemon(tmp_path, _closed_port(), tables=gun.table) as daemon:
        gun.wait_until_opened()
        with socket.socket(socket.AF_UNIX) as viewer:
            viewer.connect(str(daemon.socket))
            viewer.sendall(b'{"ask": "scan"}\n')
            daemon.depth()  # requested after it, so the viewer is registered
            with viewer.makefile("rb") as lines:
                for n in range(3):
                    gun.scan(f"A-{n}")
                    shown = json.loads(lines.readline())["capture"]
                    assert shown["text"] == f"A-{n}"
                    assert shown["seq"] in [row["seq"] for row in daemon.rows("scan")]


def test_two_guns_have_numbers_of_their_own_and_both_arrive(tmp_path: Path, broker: Broker) -> None:
    with (
        Gun("left") as left,
        Gun("right") as right,
        Recorder(tmp_path, broker.port) as recorder,
        Daemon(tmp_path, broker.port, tables=left.table + right.table) as daemon,
    ):
        left.wait_until_opened()
        right.wait_until_opened()
        for n in range(5):
            left.scan(f"L{n}")
            right.scan(f"R{n}")
        until(lambda: len(recorder.texts()) == 10, lambda: daemon.process.log)
        stored = recorder.rows("scan")
    for gun, letter in (("left", "L"), ("right", "R")):
        assert [(c["number"], c["text"]) for c in stored if c["gun"] == gun] == [
            (n + 1, f"{letter}{n}") for n in range(5)
        ]


def test_a_half_sent_scan_at_the_stop_is_stored_as_damaged(tmp_path: Path) -> None:
    with Gun() as gun, Daemon(tmp_path, _closed_port(), tables=gun.table) as daemon:
        gun.wait_until_opened()
        gun.scan("whole")
        until(lambda: daemon.rows("scan"), lambda: daemon.process.log)
        gun.send(b"cut sho")
        time.sleep(0.1)  # until the reader's thread has it: nothing is visible from outside before the scan ends
        assert daemon.stop() == 0
        whole, cut = daemon.rows("scan")
    assert (whole["text"], whole["damage"]) == ("whole", None)
    assert (cut["number"], cut["text"], cut["seen"], cut["damage"]) == (2, "", "cut sho", "stopped")


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_topics_of_a_terminal_are_all_below_its_own_branch(tmp_path: Path, broker: Broker) -> None:
    with County(broker.host, broker.port) as county, Daemon(tmp_path, broker.port):
        county.wait_for(
            lambda c: {h.leaf for h in c.received} >= {"state", "journal", "device/terminal/main", "standard"}
        )
        county.wait_for(lambda c: c.of("heartbeat"))
    assert county.of("state")[0].json["number"] == "桂BRS0001B"
    assert NAME == "450225-GXBRS0001B-1"
    keeps_the_contract(county)
