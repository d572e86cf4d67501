"""How a daemon ends and starts again: killed, stopped, with a dead broker, and a second one."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
from support.broker import Broker
from support.daemon import TERMINAL, Daemon, Gun, Recorder, keeps_the_contract, until
from support.mqtt_county import County, Received

STOP_WITHIN_S = 6.0


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never sends anything, like a broker behind a dead line."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        yield listening.getsockname()[1]


def test_a_killed_daemon_reports_it_at_its_next_start_and_loses_no_stored_scan(tmp_path: Path, broker: Broker) -> None:
    with Gun() as gun, Recorder(tmp_path, broker.port) as recorder:
        with Daemon(tmp_path, broker.port, tables=gun.table) as daemon:
            for run in range(3):
                if run:
                    gun.reset()
                    daemon.start()
                gun.wait_until_opened()
                for n in range(20):
                    gun.scan(f"R{run}-{n}")
                until(lambda run=run: len(daemon.rows("scan")) == 20 * (run + 1), lambda: daemon.process.log)
                daemon.kill()
            gun.reset()
            daemon.start()
            until(lambda: len(recorder.texts()) == 60, lambda: daemon.process.log)
            until(lambda: daemon.depth()["waiting"] == 0, lambda: daemon.process.log)
            starts = [row["details"] for row in daemon.rows("journal") if row["event"] == "start"]
            assert daemon.stop() == 0
        stored = recorder.rows("scan")
    assert [start["previous_end"] for start in starts] == ["first", "crashed", "crashed", "crashed"]
    assert [start["outbox"] for start in starts] == ["new", "kept", "kept", "kept"]
    assert len({start["run"] for start in starts}) == 4
    assert [later["previous_run"] for later in starts[1:]] == [start["run"] for start in starts[:-1]]
    assert [(c["number"], c["text"]) for c in stored] == [
        (20 * run + n + 1, f"R{run}-{n}") for run in range(3) for n in range(20)
    ]


def test_a_killed_daemon_is_reported_by_its_will_and_a_stopped_one_publishes_closing(
    tmp_path: Path, broker: Broker
) -> None:
    with (
        County(broker.host, broker.port) as county,
        Daemon(tmp_path, broker.port, broker="will_delay_s = 1") as daemon,
    ):
        county.wait_for(lambda c: _states(c) == ["online"])
        daemon.kill()
        county.wait_for(lambda c: _states(c) == ["online", "lost"])
        daemon.start()
        county.wait_for(lambda c: c.of("state")[-1].json["state"] == "online")
        assert daemon.stop() == 0
        county.wait_for(lambda c: c.of("state")[-1].json["state"] == "closing")
    first, lost, again, closing = (list(same)[-1].json for _, same in _changes(county))
    assert (lost["run"], lost["connection"]) == (first["run"], first["connection"])
    assert again["run"] == closing["run"] != first["run"]
    assert again["outbox"] == first["outbox"]
    assert all(message.retained for message in county.of("state"))
    keeps_the_contract(county)


def test_after_a_clean_stop_the_next_start_reports_clean(tmp_path: Path, silent_port: int) -> None:
    with Daemon(tmp_path, silent_port) as daemon:
        assert daemon.stop() == 0
        assert not daemon.socket.exists()
        daemon.start()
        events = [(row["event"], row["details"].get("previous_end")) for row in daemon.rows("journal")]
    assert events == [("start", "first"), ("stop", None), ("start", "clean")]


def _changes(county: County) -> Iterator[tuple[str, Iterator[Received]]]:
    """States without repeats: a birth is published again once the key for parcels exists, with the same state."""
    return groupby(county.of("state"), key=lambda message: message.json["state"])


def _states(county: County) -> list[str]:
    return [state for state, _ in _changes(county)]


def _stopped_within(daemon: Daemon) -> None:
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < STOP_WITHIN_S
    assert [row["event"] for row in daemon.rows("journal")][-1] == "stop"
    assert "Traceback" not in daemon.process.log


def test_a_clean_stop_is_bounded_with_a_broker_that_froze(tmp_path: Path, broker: Broker) -> None:
    with Gun() as gun, Daemon(tmp_path, broker.port, tables=gun.table) as daemon:
        gun.wait_until_opened()
        daemon.until_connected()
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            gun.scan("while frozen")
            until(lambda: daemon.rows("scan"), lambda: daemon.process.log)
            _stopped_within(daemon)
        finally:
            os.kill(broker.pid, signal.SIGCONT)


def test_a_clean_stop_is_bounded_while_a_connection_is_being_made(tmp_path: Path, silent_port: int) -> None:
    with Daemon(tmp_path, silent_port) as daemon:
        _stopped_within(daemon)


def test_a_clean_stop_waits_for_no_client_of_the_socket(tmp_path: Path, silent_port: int) -> None:
    with Daemon(tmp_path, silent_port) as daemon, socket.socket(socket.AF_UNIX) as viewer:
        viewer.connect(str(daemon.socket))
        viewer.sendall(b'{"ask": "scan"}\n')
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(daemon.socket))
            _stopped_within(daemon)


def test_a_clean_stop_is_bounded_while_a_device_is_being_polled(tmp_path: Path, silent_port: int) -> None:
    page = f'[[device]]\nclass = "web_page"\nid = "main"\naddress = "http://127.0.0.1:{silent_port}/"\n'
    with Daemon(tmp_path, silent_port, tables=page) as daemon:
        _stopped_within(daemon)


def test_a_second_daemon_on_the_same_outbox_ends_with_one_line_and_the_first_keeps_running(
    tmp_path: Path, silent_port: int
) -> None:
    with Daemon(tmp_path, silent_port) as daemon:
        second = Daemon(tmp_path, silent_port)
        second.socket = second.folder / "other.sock"
        process = second.launch()
        assert process.wait() == 75
        assert "已在运行" in process.log
        assert "Traceback" not in process.log
        assert daemon.depth()["waiting"] >= 1


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path, silent_port: int) -> None:
    daemon = Daemon(tmp_path, silent_port)
    daemon.outbox_file.mkdir()
    process = daemon.launch()
    assert process.wait() == 74
    assert "outbox" in process.log
    assert "Traceback" not in process.log


def test_an_outbox_that_is_damaged_under_the_running_daemon_ends_it_and_the_next_start_recovers(
    tmp_path: Path, broker: Broker
) -> None:
    with (
        County(broker.host, broker.port) as county,
        Gun() as gun,
        Daemon(tmp_path, broker.port, tables=gun.table, broker="will_delay_s = 1") as daemon,
    ):
        gun.wait_until_opened()
        county.wait_for(lambda c: c.of("standard"))
        for suffix in ("", "-wal", "-shm"):
            file = daemon.outbox_file.with_name(daemon.outbox_file.name + suffix)
            with file.open("r+b") as content:
                content.write(b"\x5a" * file.stat().st_size)
        gun.scan("after the damage")
        assert daemon.process.wait() == 1
        county.wait_for(lambda c: _states(c) == ["online", "lost"])
        gun.reset()
        daemon.start()
        gun.wait_until_opened()
        gun.scan("after the restart")
        county.wait_for(lambda c: c.of("scan"))
        assert daemon.rows("journal")[0]["details"]["outbox"] == "corrupt"


def test_a_damaged_outbox_is_moved_aside_and_the_daemon_starts(tmp_path: Path, broker: Broker) -> None:
    with County(broker.host, broker.port) as county:
        daemon = Daemon(tmp_path, broker.port, tables=TERMINAL)
        daemon.outbox_file.write_bytes(b"no database at all" * 1000)
        with daemon:
            daemon.until_connected()
            county.wait_for(lambda c: c.of("journal"))
            start = daemon.rows("journal")[0]["details"]
        assert start["outbox"] == "corrupt"
        aside = daemon.folder / start["outbox_details"]["moved_to"]
        assert aside.read_bytes().startswith(b"no database at all")
        keeps_the_contract(county)
