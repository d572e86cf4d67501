"""`status` and `outbox`: of a daemon, of its file, and without either."""

import pytest
from support.command_line import Files, one_line, run
from support.daemon import TERMINAL, Daemon


def test_status_without_a_daemon_has_exit_code_2(files: Files) -> None:
    ran = run("status", "--socket", files.socket)
    assert (ran.code, ran.err) == (2, "")
    assert "sudo systemctl start yinong-agent" in ran.out
    assert str(files.socket) in run("status", "--lang", "en", "--socket", files.socket).out  # no path for an officer


def test_status_of_a_daemon_without_a_link_has_exit_code_1(daemon: Daemon) -> None:
    ran = run("status", "--socket", daemon.socket)
    assert ran.code == 1
    assert "桂BRS0001B" in ran.out
    assert "未连接县中心" in ran.out
    form = run("status", "--json", "--socket", daemon.socket).json
    assert set(form) >= {"station", "version", "link", "heartbeat", "outbox", "flash", "devices"}


def test_status_shows_what_was_written_to_flash_and_when_the_budget_is_spent(daemon: Daemon) -> None:
    flash = run("status", "--json", "--socket", daemon.socket).json["flash"]
    if flash["day_bytes"] is None:
        pytest.skip("this kernel keeps no account of I/O")
    assert flash["budget_bytes"] == 30_000_000
    assert not flash["met"]
    assert "已写入硬盘" in run("status", "--socket", daemon.socket).out
    assert "of 30 MB" in run("--lang", "en", "status", "--socket", daemon.socket).out


def test_outbox_is_read_from_the_file_if_no_daemon_runs(files: Files, daemon: Daemon) -> None:
    asked = run("outbox", "--json", "--config", daemon.config, "--socket", daemon.socket)
    assert asked.code == 0
    daemon.kill()
    peeked = run("outbox", "--json", "--config", daemon.config, "--socket", daemon.socket)
    assert peeked.code == 0
    assert peeked.json == asked.json
    assert "待县中心签收" in run("outbox", "--config", daemon.config, "--socket", daemon.socket).out


@pytest.mark.parametrize("content", [None, b"", b"no database"])
def test_an_invalid_outbox_is_one_line(files: Files, content: bytes | None) -> None:
    if content is not None:
        (files.folder / "outbox.db").write_bytes(content)
    ran = run("outbox", "--config", files.config(TERMINAL), "--socket", files.socket)
    assert "outbox.db" in one_line(ran)


@pytest.mark.parametrize("command", ["status", "check"])
def test_an_impossible_socket_is_one_line(files: Files, command: str) -> None:
    config = () if command == "status" else ("--config", files.config(TERMINAL))
    ran = run(command, *config, "--socket", "/" + "x" * 200)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert "AF_UNIX path too long" in ran.err
