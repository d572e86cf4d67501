"""Evidence of causes, left by the real daemon: how it ended, until when it ran, which configuration changed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.broker import Broker
from support.daemon import Daemon, until

SEEN = [
    (signal.SIGKILL, {"SERVICE_RESULT": "watchdog", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}),
    (signal.SIGSEGV, {"SERVICE_RESULT": "core-dump", "EXIT_CODE": "dumped", "EXIT_STATUS": "SEGV"}),
]


def starts(daemon: Daemon, number: int) -> list[dict[str, Any]]:
    """Details of the start entries, at least `number`: the socket may answer a moment before the newest is committed."""

    def entries() -> list[dict[str, Any]]:
        return [row["details"] for row in daemon.rows("journal") if row["event"] == "start"]

    until(lambda: len(entries()) >= number, lambda: f"{entries()}\n{daemon.process.log}")
    return entries()


@pytest.mark.parametrize(("how", "systemd"), SEEN, ids=["watchdog", "segmentation fault"])
def test_a_crash_is_reported_at_the_next_start_with_what_systemd_recorded(
    tmp_path: Path, broker: Broker, how: signal.Signals, systemd: dict[str, str]
) -> None:
    state = {"STATE_DIRECTORY": str(tmp_path)}
    daemon = Daemon(tmp_path, broker.port, environment={**state, "INVOCATION_ID": "1" * 32})
    with daemon:
        starts(daemon, 1)
        daemon.process.end(how)
        note = [sys.executable, "-I", "-m", "agent.journal.exit_note"]  # as the unit's ExecStopPost
        subprocess.run(note, env={**os.environ, **daemon.environment, **systemd}, check=True, timeout=60)
        daemon.environment["INVOCATION_ID"] = "2" * 32
        daemon.start()
        first, second = starts(daemon, 2)
    assert "previous_exit" not in first
    assert (second["previous_end"], second["previous_run"]) == ("crashed", first["run"])
    assert second["previous_exit"] == {
        "result": systemd["SERVICE_RESULT"],
        "code": systemd["EXIT_CODE"],
        "status": systemd["EXIT_STATUS"],
    }


def test_the_next_start_reports_until_when_the_previous_run_was_alive(tmp_path: Path, broker: Broker) -> None:
    with Daemon(tmp_path, broker.port) as daemon:
        mark = daemon.folder / "outbox.db.alive"
        until(lambda: b'"number"' in mark.read_bytes(), lambda: daemon.process.log)
        starts(daemon, 1)
        daemon.kill()
        daemon.start()
        first, second = starts(daemon, 2)
        began, _ = (row for row in daemon.rows("journal") if row["event"] == "start")
    alive = second["last_alive"]
    assert "last_alive" not in first
    assert (alive["run"], alive["boot"]) == (first["run"], began["boot"])
    assert began["mono_ms"] <= alive["mono_ms"]


def test_a_daemon_whose_last_alive_file_cannot_be_written_still_runs(tmp_path: Path, broker: Broker) -> None:
    daemon = Daemon(tmp_path, broker.port)
    (daemon.folder / "outbox.db.alive").mkdir()
    with daemon:
        daemon.until_connected()
        assert "no last-alive mark" in daemon.process.log
        assert daemon.stop() == 0


def test_a_changed_configuration_is_reported_by_section_and_without_its_content(tmp_path: Path, broker: Broker) -> None:
    with Daemon(tmp_path, broker.port) as daemon:
        assert daemon.stop() == 0
        text = daemon.config.read_text("utf-8")
        daemon.config.write_text(text.replace("reconnect_cap_s = 1", "reconnect_cap_s = 3"), "utf-8")
        daemon.start()
        until(
            lambda: any(row["event"] == "configuration_changed" for row in daemon.rows("journal")),
            lambda: daemon.process.log,
        )
        (changed,) = (row["details"] for row in daemon.rows("journal") if row["event"] == "configuration_changed")
    assert changed["sections"] == ["broker"]
    assert "reconnect" not in json.dumps(changed)
