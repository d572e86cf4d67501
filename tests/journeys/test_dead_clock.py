"""A terminal whose clock is dead, wrong or set by hand: it connects over TLS, reports, and its times are corrected."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from support.broker import Broker, Tls
from support.certificates import DAY, NOW, USUAL, Authority, Times
from support.daemon import ALWAYS_OPEN, NAME, Daemon, Gun, Process, Recorder, until

from agent.control.socket import send_request

THEN, AHEAD = datetime(1970, 1, 1, tzinfo=UTC), datetime(2043, 5, 1, tzinfo=UTC)
WITHIN_S = 40


class Terminal(Daemon):
    """The daemon on a clock that the test sets."""

    def __init__(self, folder: Path, port: int, shows: datetime, *, synced: bool = False, **more: Any) -> None:
        super().__init__(folder, port, **more)
        self._clock_file = self.folder / "clock.json"
        self.set_clock(shows, synced=synced)

    def set_clock(self, shows: datetime, *, synced: bool) -> None:
        new = self._clock_file.with_suffix(".new")
        new.write_text(json.dumps([(shows - datetime.now(UTC)).total_seconds(), synced]))
        new.replace(self._clock_file)

    def launch(self) -> Process:
        program = str(Path(__file__).parents[1] / "support/wrong_clock.py")
        arguments = [sys.executable, program, str(self._clock_file), "--config", str(self.config)]
        self._process = Process([*arguments, "--socket", str(self.socket)], self.folder / "log", self.environment)
        return self._process

    def newest_scanned_at(self) -> str | None:
        """As `yinong-agent scans list` gets it."""
        return next(line["scan"] for line in send_request(self.socket, {"ask": "scans"}, 20))["scanned_at"]

    def events(self, event: str) -> list[dict[str, Any]]:
        return [row for row in self.rows("journal") if row["event"] == event]

    def wait_for_event(self, event: str, number: int = 1) -> dict[str, Any]:
        until(lambda: len(self.events(event)) >= number, lambda: f"no {event}\n{self.process.log}", WITHIN_S)
        return self.events(event)[number - 1]


@contextmanager
def over_tls(folder: Path, shows: datetime, gun: Gun, times: Times = USUAL) -> Iterator[tuple[Terminal, Recorder]]:
    """A terminal with a password, the county's listener as shipped, the recorder."""
    authority = Authority(folder, times=(NOW - 800 * DAY, NOW + 800 * DAY))
    server = authority.server(times=times)
    (folder / "password").write_text("geheim")
    (folder / "password").chmod(0o600)
    broker = Broker(folder, tls=Tls(authority.file, server.cert, server.key))
    broker.add_user(NAME, "geheim")
    options = f'tls = true\nca_file = "{authority.file}"\npassword_file = "{folder}/password"'
    with broker, Recorder(folder, broker.port) as recorder:
        terminal = Terminal(folder, broker.tls_port, shows, tables=gun.table)
        text = terminal.config.read_text("utf-8")
        terminal.config.write_text(text.replace("tls = false", options), "utf-8")
        with terminal:
            yield terminal, recorder


def test_a_terminal_with_a_dead_clock_connects_over_tls_and_its_scan_times_are_corrected_when_the_clock_is_set(
    tmp_path: Path,
) -> None:
    with Gun() as gun, over_tls(tmp_path, THEN, gun) as (terminal, recorder):
        gun.wait_until_opened()
        scanned = datetime.now(UTC)
        gun.scan("6901234567892")
        until(lambda: recorder.texts() == ["6901234567892"], lambda: terminal.process.log)
        (capture,) = recorder.rows("scan")
        assert (capture["clock"], capture["at"][:4]) == ("unsynced", "1970")
        assert terminal.newest_scanned_at() is None, "no time is invented"
        terminal.set_clock(datetime.now(UTC), synced=True)
        terminal.wait_for_event("clock_synced")
        step = terminal.wait_for_event("clock_stepped")
        assert abs(timedelta(milliseconds=step["details"]["step_ms"]) - (scanned - THEN)) < timedelta(minutes=2)
        newest = terminal.newest_scanned_at()
        assert newest and abs(datetime.fromisoformat(newest) - scanned) < timedelta(seconds=5)
        assert terminal.request(ask="status")["link"]["up"], "a certificate in its time keeps its connection"


def test_without_a_clock_an_absent_device_is_unproven_and_the_reason_is_shown(tmp_path: Path, broker: Broker) -> None:
    """1970 begins within opening hours, and 2043-05-01 at eight in the morning as well; neither means anything."""
    absent = '[[device]]\nclass = "scan_gun"\nid = "main"\nport = "/dev/there-is-none"\n'
    terminal = Terminal(tmp_path, broker.port, THEN, tables=absent)
    terminal.config.write_text(terminal.config.read_text("utf-8").replace(ALWAYS_OPEN, ""), "utf-8")

    def gun() -> dict[str, Any]:
        return next(item for item in terminal.request(ask="check")["standard"] if item["item"] == "scan_gun")

    with terminal:
        for dead in (THEN, AHEAD):
            terminal.set_clock(dead + timedelta(hours=1), synced=False)
            item = gun()
            assert (item["verdict"], item["because"]) == ("unproven", "hours_unknown")
            assert "时间未校准" in item["says"]
        monday = datetime(2026, 11, 30, 2, tzinfo=UTC)  # ten o'clock in Beijing
        terminal.set_clock(monday, synced=True)
        assert (gun()["verdict"], gun()["because"]) == ("not_met", "device_absent")
        terminal.set_clock(monday + timedelta(hours=12), synced=True)
        assert (gun()["verdict"], gun()["because"]) == ("unproven", "off_outside_hours")


def test_a_certificate_outside_its_time_is_accepted_while_the_time_is_unknown_and_rejected_once_it_is_known(
    tmp_path: Path,
) -> None:
    with Gun() as gun, over_tls(tmp_path, THEN, gun, (NOW + DAY, NOW + 100 * DAY)) as (terminal, _):
        terminal.until_connected()
        terminal.set_clock(datetime.now(UTC), synced=True)
        terminal.wait_for_event("link_down")
        until(
            lambda: terminal.request(ask="status")["link"]["why"] == "certificate_not_yet_valid",
            lambda: terminal.process.log,
        )


def test_a_clock_that_is_never_synchronised_does_not_stop_reporting_and_is_marked(
    tmp_path: Path, broker: Broker
) -> None:
    with Gun() as gun, Recorder(tmp_path, broker.port) as recorder:
        for boot in range(2):
            gun.reset()
            with Terminal(tmp_path, broker.port, AHEAD, tables=gun.table) as terminal:
                gun.wait_until_opened()
                gun.scan(f"A{boot}")
                until(lambda boot=boot: len(recorder.texts()) == boot + 1, lambda: terminal.process.log)
                until(lambda: terminal.depth()["waiting"] == 0, lambda: terminal.process.log)
                assert terminal.stop() == 0
        assert {row["clock"] for leaf in ("scan", "journal") for row in recorder.rows(leaf)} == {"unsynced"}


def test_a_synchronised_clock_that_is_set_wrong_is_reported_and_not_trusted(tmp_path: Path, broker: Broker) -> None:
    with Gun() as gun, Terminal(tmp_path, broker.port, datetime.now(UTC), synced=True, tables=gun.table) as terminal:
        gun.wait_until_opened()
        gun.scan("before")
        until(lambda: terminal.rows("scan"), lambda: terminal.process.log)
        terminal.set_clock(datetime.now(UTC) + 4000 * DAY, synced=False)
        set_at = datetime.now(UTC)
        gun.scan("after")
        until(lambda: len(terminal.rows("scan")) == 2, lambda: terminal.process.log)
        details = terminal.wait_for_event("clock_stepped")["details"]
        assert (details["quality_before"], details["quality"]) == ("synced", "unsynced")
        assert abs(timedelta(milliseconds=details["step_ms"]) - 4000 * DAY) < timedelta(seconds=10)
        assert [row["clock"] for row in terminal.rows("scan")] == ["synced", "unsynced"]
        newest = terminal.newest_scanned_at()
        assert newest and abs(datetime.fromisoformat(newest) - set_at) < timedelta(seconds=5)
