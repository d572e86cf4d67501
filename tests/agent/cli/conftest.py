"""Fixtures of the command line's tests: files without a daemon, and a daemon without a broker."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import ABSENT_GUN, Files
from support.daemon import TERMINAL, Daemon


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def nobody() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def daemon(tmp_path: Path, nobody: int) -> Iterator[Daemon]:
    with Daemon(tmp_path, nobody, tables=TERMINAL + ABSENT_GUN) as running:
        running.device("terminal/main")
        running.device("scan_gun/main")
        yield running
