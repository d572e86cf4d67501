"""How the daemon's parts start and stop together, in this process and without a broker."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.daemon import TERMINAL

from agent.configuration.settings import load
from agent.context import Context
from agent.outbox import spool
from agent.outbox.opening import open_outbox
from agent.outbox.outbox import Outbox
from agent.runtime import Runtime
from common.clock import SystemClock
from drivers.scan_gun.capture import RawCapture

SCAN = RawCapture(
    gun="main", identity="usb:1eab:1", source="serial", text="6901234567892", raw="", charset="ascii",
    charset_because="ascii", symbology=None, start_mono_ms=1, end_mono_ms=2,
)  # fmt: skip
SAMPLE = spool.Sample(1, b'{"v":1}')


class Started:
    """A runtime in a folder, with its own connection to the file for what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "outbox.db"
        config = folder / "agent.toml"
        config.write_text(
            f'[station]\ndivision = "450225"\nnumber = "桂BRS0001B"\n[broker]\nhost = "127.0.0.1"\nport = 1\ntls = false\n'
            # what this process wrote before, in other tests, is no reason to spare the flash
            f'[outbox]\npath = "{self.file}"\nflash_budget_mb_day = 100000\n{TERMINAL}',
            "utf-8",
        )
        loaded = load(config)
        assert loaded.settings is not None and not loaded.mistakes, loaded.mistakes
        self.outbox: Outbox = open_outbox(self.file, "f00d00000001", "0123456789ab", "t")
        self.socket = folder / "agent.sock"
        context = Context.of_run(loaded.settings, loaded.secrets, SystemClock())
        self.runtime = Runtime(context, loaded, self.outbox, self.socket)
        self.stop = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.timeout(20):
            await self.runtime.run(self.stop)

    def rows(self, leaf: str) -> list[dict[str, Any]]:
        with contextlib.closing(sqlite3.connect(self.file)) as db:
            found = db.execute("SELECT body FROM entry WHERE leaf = ? ORDER BY id", (leaf,)).fetchall()
        return [msgspec.json.decode(body) for (body,) in found]


@pytest.fixture
def started(tmp_path: Path) -> Started:
    return Started(tmp_path)


async def test_a_run_that_is_stopped_while_it_starts_is_recorded_as_started_and_then_stopped(started: Started) -> None:
    started.stop.set()
    await started.run()
    assert [row["event"] for row in started.rows("journal")] == ["start", "stop"]


async def test_at_the_stop_scans_are_written_before_telemetry(started: Started) -> None:
    written: list[str] = []

    def note(statement: str) -> None:
        words = statement.split()
        written.extend(words[2:3] if words[:2] == ["INSERT", "INTO"] else [])

    started.runtime.scans.captures.accept(SCAN)
    started.runtime.reports.periodic._unsent.append(SAMPLE)
    started.outbox.db.set_trace_callback(note)
    started.stop.set()
    await started.run()
    assert written[-2:] == ["entry", "spill"]


async def test_a_part_that_fails_ends_the_daemon_and_the_others_still_stop(
    started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    """The socket's path is a folder: the socket can neither be made nor removed."""
    started.socket.mkdir()
    started.runtime.scans.captures.accept(SCAN)
    with pytest.raises(ExceptionGroup):
        await started.run()
    assert "at the stop: socket" in caplog.text
    assert started.rows("scan")
    with pytest.raises(sqlite3.ProgrammingError):
        started.outbox.db.execute("SELECT 1")
