"""From the first second without any network: everything is stored, every request is answered, systemd is notified."""

import socket
from pathlib import Path

import pytest
from support.broker import Broker
from support.daemon import TERMINAL, Daemon, Gun, Recorder, SystemdSocket, keeps_the_contract, until
from support.mqtt_county import County


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_terminal_without_network_scans_polls_and_answers(tmp_path: Path, closed_port: int) -> None:
    with Gun() as gun, Daemon(tmp_path, closed_port, tables=gun.table + TERMINAL) as daemon:
        gun.wait_until_opened()
        for n in range(20):
            gun.scan(f"S-{n}")
        until(lambda: len(daemon.rows("scan")) == 20, lambda: daemon.process.log)
        assert daemon.device("terminal/main")["condition"] in ("working", "attention")
        until(lambda: daemon.rows("standard"), lambda: daemon.process.log)
        status = daemon.request(ask="status")
        assert not status["link"]["up"]
        assert status["link"]["why"] == "server_not_running"
        assert status["heartbeat"]["waiting"] == status["outbox"]["waiting"] == status["outbox"]["last_seq"] >= 23
        report = daemon.request(ask="check", lang="en")
        assert report["station"]["number"] == "桂BRS0001B"
        assert {row["item"] for row in report["standard"]} >= {"terminal", "scan_gun", "broadband"}
        assert next(d for d in report["devices"] if d["class"] == "scan_gun")["reason"] == "ready"


def test_a_broker_that_starts_later_gets_everything_from_the_start(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    with Gun() as gun, Daemon(tmp_path, broker.port, tables=gun.table) as daemon:
        gun.wait_until_opened()
        gun.scan("before there was a broker")
        until(lambda: daemon.rows("scan"), lambda: daemon.process.log)
        with broker, Recorder(tmp_path, broker.port) as recorder:
            until(lambda: recorder.texts() == ["before there was a broker"], lambda: daemon.process.log)
            assert recorder.rows("journal")[0]["event"] == "start"


def test_rows_stored_without_a_network_are_published_late_in_batches_by_the_contract(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    with Gun() as gun, Daemon(tmp_path, broker.port, tables=gun.table) as daemon:
        gun.wait_until_opened()
        for n in range(120):
            gun.scan(f"S-{n}")
        until(lambda: len(daemon.rows("scan")) == 120, lambda: daemon.process.log)
        with broker, County(broker.host, broker.port) as county:
            county.wait_for(lambda c: sum(len(h.json["captures"]) for h in c.of("scan")) >= 120)
            keeps_the_contract(county)
    late = [message for message in county.of("scan") if message.late]
    assert [c["text"] for message in late for c in message.json["captures"]] == [f"S-{n}" for n in range(120)]
    assert len(late) <= 4


def test_a_host_name_that_cannot_be_resolved_does_not_end_the_daemon(tmp_path: Path, closed_port: int) -> None:
    daemon = Daemon(tmp_path, closed_port)
    daemon.config.write_text(daemon.config.read_text("utf-8").replace('"127.0.0.1"', '"a..b"'), "utf-8")
    with daemon:
        why = until(lambda: daemon.request(ask="status")["link"]["why"].removeprefix("connecting"), lambda: "up?")
        assert why == "no_such_server"
        assert daemon.stop() == 0


def test_systemd_receives_ready_watchdog_and_stopping(tmp_path: Path, broker: Broker) -> None:
    with SystemdSocket(tmp_path) as systemd:
        environment = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "400000"}
        with Daemon(tmp_path, broker.port, environment=environment) as daemon:
            until(lambda: systemd.count("READY=1") == 1, lambda: f"{systemd.received}")
            until(lambda: systemd.count("WATCHDOG=1") >= 3, lambda: f"{systemd.received}")
            assert daemon.rows("journal")[0]["event"] == "start", "READY means that records are stored"
            daemon.until_connected()
            until(lambda: "已连接县中心" in _last_status(systemd), lambda: f"{systemd.received}")
            assert systemd.count("STOPPING=1") == 0
            assert daemon.stop() == 0
        assert systemd.count("STOPPING=1") == 1
        assert systemd.count("READY=1") == 1


def test_systemds_status_shows_a_problem_in_both_languages_as_long_as_it_lasts(tmp_path: Path, broker: Broker) -> None:
    with SystemdSocket(tmp_path) as systemd:
        environment = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "400000"}
        with Daemon(tmp_path, broker.port, environment=environment) as daemon:
            until(lambda: "已连接县中心 / connected" in _last_status(systemd), lambda: f"{systemd.received}")
            broker.stop()
            problem = "县中心服务器的接收服务没有启动 / The county's broker is not running"
            until(lambda: problem in _last_status(systemd), lambda: f"{systemd.received}\n{daemon.process.log}")
            assert "已连接" not in _last_status(systemd)
            broker.start()
            until(lambda: "已连接县中心 / connected" in _last_status(systemd), lambda: f"{systemd.received}")
            assert problem not in _last_status(systemd)


def _last_status(systemd: SystemdSocket) -> str:
    systemd.count("")
    return next((line for line in reversed(systemd.received) if line.startswith("STATUS=")), "")


def test_a_terminal_whose_secret_is_wrong_keeps_its_records_and_reports_why(
    tmp_path: Path, secured_broker: Broker
) -> None:
    secured_broker.add_user("450225-GXBRS0001B-1", "right")
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    with Daemon(tmp_path, secured_broker.port, broker=f'password_file = "{secret}"') as daemon:
        until(lambda: daemon.request(ask="status")["link"]["why"] == "not_admitted", lambda: daemon.process.log)
        until(lambda: daemon.rows("standard"), lambda: daemon.process.log)


def test_the_shipped_acl_lets_a_terminal_publish_every_kind_of_message(tmp_path: Path, secured_broker: Broker) -> None:
    secured_broker.add_user("450225-GXBRS0001B-1", "right")
    secured_broker.add_user("recorder", "r")
    secret = tmp_path / "secret"
    secret.write_text("right\n")
    secret.chmod(0o600)
    with (
        County(secured_broker.host, secured_broker.port, "recorder", "r") as county,
        Gun() as gun,
        Daemon(
            tmp_path, secured_broker.port, tables=gun.table + TERMINAL, broker=f'password_file = "{secret}"'
        ) as daemon,
    ):
        gun.wait_until_opened()
        gun.scan("x")
        kinds = {"state", "heartbeat", "journal", "standard", "device", "scan"}
        county.wait_for(lambda c: {h.leaf.partition("/")[0] for h in c.received} >= kinds)
        assert daemon.request(ask="status")["link"]["warning"] in ("", "nobody_listens")
        keeps_the_contract(county)
