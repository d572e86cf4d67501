"""A device that accepts the connection and never answers blocks nothing: scans, requests, watchdog and uplink continue."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.broker import Broker
from support.daemon import TERMINAL, Daemon, Gun, SystemdSocket, keeps_the_contract, until
from support.mqtt_county import County


class SilentServer:
    """Accepts connections and never sends anything."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections.append(connection)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self.connections:
            connection.close()


@pytest.fixture
def silent() -> Iterator[SilentServer]:
    server = SilentServer()
    yield server
    server.close()


def test_everything_continues_while_a_page_hangs_and_then_it_is_unreachable(
    tmp_path: Path, broker: Broker, silent: SilentServer
) -> None:
    page = f'[[device]]\nclass = "web_page"\nid = "main"\ntimeout_s = 3\naddress = "http://127.0.0.1:{silent.port}/"\n'
    with (
        SystemdSocket(tmp_path) as systemd,
        County(broker.host, broker.port) as county,
        Gun() as gun,
        Daemon(
            tmp_path,
            broker.port,
            tables=page + gun.table + TERMINAL,
            environment={"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "400000"},
        ) as daemon,
    ):
        until(lambda: silent.connections, lambda: daemon.process.log)
        hangs_since = time.monotonic()
        gun.wait_until_opened()
        gun.scan("meanwhile")
        county.wait_for(lambda c: c.of("scan") and c.of("heartbeat"))
        alive = systemd.count("WATCHDOG=1")
        until(lambda: systemd.count("WATCHDOG=1") >= alive + 2, lambda: f"{systemd.received}")
        before = {f"{d['class']}": d["reason"] for d in daemon.request(ask="status")["devices"]}
        assert time.monotonic() - hangs_since < 3, "all of this while the page hangs"
        assert before["web_page"] == "not_looked_at"
        assert before["terminal"] != "not_looked_at"
        page_now = daemon.device("web_page/main")
        assert (page_now["condition"], page_now["reason"]) == ("unreachable", "no_answer")
        county.wait_for(lambda c: c.of("standard"))
        keeps_the_contract(county)


def test_a_check_of_one_device_does_not_wait_for_another_that_hangs(tmp_path: Path, silent: SilentServer) -> None:
    page = f'[[device]]\nclass = "web_page"\nid = "main"\naddress = "http://127.0.0.1:{silent.port}/"\n'
    with Daemon(tmp_path, 9, tables=page + TERMINAL) as daemon:
        until(lambda: silent.connections, lambda: daemon.process.log)
        began = time.monotonic()
        report = daemon.request(ask="check", device="terminal")
        assert time.monotonic() - began < 5
    assert [device["class"] for device in report["devices"]] == ["terminal"]
    assert [row["item"] for row in report["standard"]] == ["terminal"]
