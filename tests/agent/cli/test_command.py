"""The command as a whole: its languages, its help, and never a traceback."""

import subprocess

from support.command_line import Files, run
from support.daemon import COMMANDS, Daemon


def test_help_is_in_chinese_and_english() -> None:
    assert "check all devices once" in run("--help", lang="en_US.UTF-8").out
    assert "检查一遍所有设备" in run("--help", "--lang=zh", lang="en_US.UTF-8").out


def test_the_language_may_stand_before_or_after_the_command(files: Files) -> None:
    for arguments in (("--lang", "en", "status"), ("status", "--lang=en")):
        assert "no daemon runs" in run(*arguments, "--socket", files.socket).out
    assert "监测程序没有运行" in run("status", "--socket", files.socket).out


def test_an_unknown_command_is_an_error_without_a_traceback() -> None:
    ran = run("reboot")
    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_no_arguments_show_the_help() -> None:
    assert "config" in run().out + run().err


def test_a_closed_pipe_is_not_an_error(daemon: Daemon) -> None:
    command = f"{COMMANDS}/yinong-agent status --json --socket {daemon.socket} | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
    assert done.stdout == b"{"
    assert b"Traceback" not in done.stderr
