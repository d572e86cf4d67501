"""How the previous run ended, for every kind of evidence."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.journal.previous_run import MACHINE, Run, exit_of, previous_end, stop_of
from common.events import Exit

WATCHDOG = Exit(result="watchdog", code="dumped", status="ABRT")
GOOD = Exit(result="success", code="exited", status="0")
INVOCATION = "5f1c1b9ef0e94c0f9a3d9f1c1b9ef0e9"


def run(boot: str = "b0070001", *, stopped: bool = False) -> Run:
    return Run("0000aaaa", boot, stopped, "0.0.9", INVOCATION)


@pytest.mark.parametrize(
    ("before", "seen", "end"),
    [
        (run(stopped=True), None, "clean"),
        (run("b0070000", stopped=True), None, "clean"),
        (run(), None, "crashed"),
        (run("b0070000"), None, "cut"),
        (run(), WATCHDOG, "crashed"),
        (run("b0070000"), WATCHDOG, "crashed"),
        (run("b0070000"), GOOD, "clean"),
        (None, None, "unknown"),
    ],
    ids=[
        "stopped", "stopped, then another boot", "same boot", "another boot", "killed by the watchdog",
        "killed by the watchdog and then the machine was started again", "a clean end without room for its state", "unreadable",
    ],
)  # fmt: skip
def test_how_the_last_run_ended(before: Run | None, seen: Exit | None, end: str) -> None:
    assert previous_end(before, "b0070001", seen) == end


def noted(folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the exit note as systemd does after the service has ended."""
    variables = {**os.environ, "STATE_DIRECTORY": str(folder), **environment}
    return subprocess.run(
        [sys.executable, "-I", "-m", "agent.journal.exit_note"], env=variables, check=True, timeout=60
    )


def test_what_systemd_saw_of_the_end_is_stored_for_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    assert exit_of(run()) is None, "there is no note yet"
    noted(tmp_path, SERVICE_RESULT="watchdog", EXIT_CODE="dumped", EXIT_STATUS="ABRT", INVOCATION_ID=INVOCATION)
    assert exit_of(run()) == WATCHDOG
    assert exit_of(None) is None
    noted(tmp_path, SERVICE_RESULT="exit-code", EXIT_CODE="exited", EXIT_STATUS="1", INVOCATION_ID="another")
    assert exit_of(run()) is None, "of another run"
    assert [file.name for file in tmp_path.iterdir()] == ["last-exit.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"service_result": 1}'])
def test_an_unreadable_note_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    (tmp_path / "last-exit.json").write_bytes(content)
    assert exit_of(run()) is None


def test_a_run_that_systemd_did_not_start_has_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    note = {"service_result": "success", "exit_code": "exited", "exit_status": "0", "invocation_id": ""}
    (tmp_path / "last-exit.json").write_text(json.dumps(note))
    assert exit_of(Run("0000aaaa", "b0070001", False, "0.0.9")) is None


@pytest.mark.parametrize(
    ("files", "of"),
    [((), "unknown"), (("up",), "service"), (("up", "stopping"), "machine"), (("stopping",), "machine")],
)
def test_a_stop_of_the_machine_is_distinguished_from_a_stop_of_the_service(
    tmp_path: Path, files: tuple[str, ...], of: Any
) -> None:
    (tmp_path / MACHINE).mkdir(parents=True)
    for file in files:
        (tmp_path / MACHINE / file).touch()
    assert stop_of(tmp_path) == of
