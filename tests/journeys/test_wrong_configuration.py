"""A configuration with mistakes: one in a device's table disables that device, one in [station] prevents the start."""

import socket
from pathlib import Path

import pytest
from support.broker import Broker
from support.daemon import TERMINAL, Daemon, SystemdSocket, keeps_the_contract, until
from support.mqtt_county import County

BAD_PRINTER = '[[device]]\nclass = "printer"\nid = "office"\ncolour = "blue"\naddress = 5\n'


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_mistake_in_a_devices_table_disables_that_device_and_is_reported_to_the_county(
    tmp_path: Path, broker: Broker
) -> None:
    with (
        County(broker.host, broker.port) as county,
        Daemon(tmp_path, broker.port, tables=BAD_PRINTER + TERMINAL) as daemon,
    ):
        printer = daemon.device("printer/office")
        assert (printer["condition"], printer["reason"]) == ("unknown", "table_wrong")
        assert "colour" in printer["params"]["error"]
        assert "address" in printer["params"]["error"]
        assert printer["says"]
        assert printer["remedy"]
        assert daemon.device("terminal/main")["condition"] in ("working", "attention")
        county.wait_for(lambda c: c.of("standard") and len(c.of("device")) >= 2 and c.of("journal"))
        reported = next(message.json for message in county.of("device") if message.leaf == "device/printer/office")
        assert (reported["condition"], reported["reason"]) == ("unknown", "table_wrong")
        items = {item["item"]: item["verdict"] for item in county.of("standard")[-1].json["items"]}
        assert items["printer"] == "unproven", "a wrong table proves nothing, in either direction"
        assert daemon.rows("journal")[0]["details"]["configuration_mistakes"] == 2
        assert "colour" in daemon.process.log
        keeps_the_contract(county)


@pytest.mark.parametrize("lang", ["zh_CN.UTF-8", "en_US.UTF-8"])
def test_mistakes_in_the_station_stop_the_start_and_are_all_reported_in_both_languages(
    tmp_path: Path, closed_port: int, lang: str
) -> None:
    with SystemdSocket(tmp_path) as systemd:
        daemon = Daemon(tmp_path, closed_port, environment={"LANG": lang, "NOTIFY_SOCKET": str(systemd.path)})
        text = daemon.config.read_text("utf-8").replace('"450225"', "450225").replace("桂BRS0001B", "桂BRS1")
        daemon.config.write_text(text.replace(f"port = {closed_port}", "port = 99999"), "utf-8")
        process = daemon.launch()
        assert process.wait() == 78
        for path in ("station.division", "station.number", "broker.port"):
            assert process.log.count(path) == 2, "once in each language"
        assert "没有启动 / not started" in process.log
        assert "Traceback" not in process.log
        until(lambda: systemd.count("ERRNO=22"), lambda: f"{systemd.received}")
        assert systemd.count("READY=1") == 0
    assert not daemon.outbox_file.exists()


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"[station", b""])
def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path, closed_port: int, content: bytes | None) -> None:
    daemon = Daemon(tmp_path, closed_port)
    daemon.config.unlink()
    if content is not None:
        daemon.config.write_bytes(content)
    process = daemon.launch()
    assert process.wait() == 78
    assert str(daemon.config) in process.log
    assert "Traceback" not in process.log


def test_a_corrected_table_is_polled_after_the_next_start(tmp_path: Path, closed_port: int) -> None:
    page = '[[device]]\nclass = "web_page"\nid = "main"\n'
    with Daemon(tmp_path, closed_port, tables=page + "adress = 1\n") as daemon:
        assert daemon.device("web_page/main")["reason"] == "table_wrong"
        until(lambda: daemon.rows("device/web_page/main"), lambda: daemon.process.log)
        assert daemon.stop() == 0
        daemon.config.write_text(daemon.config.read_text("utf-8").replace("adress = 1\n", ""), "utf-8")
        daemon.start()
        assert daemon.device("web_page/main")["reason"] == "no_address"
        until(lambda: len(daemon.rows("device/web_page/main")) == 2, lambda: daemon.process.log)
        assert [row["reason"] for row in daemon.rows("device/web_page/main")] == ["table_wrong", "no_address"]
