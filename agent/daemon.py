"""The daemon: one task group that owns every loop.

    hotplug ─┐
    drivers ─┴─> poller ──> debounce, standard ──┐
    scan guns ─> captures ───────────────────────┤
    starts, cuts, outages (journal) ─────────────┴─> writer ─> outbox ─> delivery ─> link ─> county broker
    device states ─> reports (heartbeat, telemetry) ───────────────────────────────────┘         │
    commands, receipts <─────────────────────────────────────────────────────────────────────────┘

Works and keeps its records from the first second without any network; stops cleanly within a few seconds also with a dead broker.
"""

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

from agent.configuration.settings import DEFAULT_PATH, DEFAULT_SOCKET, Loaded, load
from agent.context import Context
from agent.host.fingerprint import fingerprint, parts
from agent.host.log import start_logging
from agent.host.systemd import notify
from agent.outbox.opening import open_outbox
from agent.outbox.outbox import Outbox
from agent.runtime import Runtime
from common.clock import Clock, SystemClock

log = logging.getLogger(__name__)

EX_CONFIG = 78  # sysexits.h; the unit does not restart on it: a wrong file stays wrong
EX_TEMPFAIL = 75  # another daemon runs
EX_IOERR = 74  # the unit tries again: a disk may come back


def main(arguments: Sequence[str], clock: Clock | None = None) -> int:
    """`yinong-agent run`: until SIGTERM or SIGINT. Returns the exit code. `clock`: another than the terminal's own."""
    parser = argparse.ArgumentParser(prog="yinong-agent run")
    parser.add_argument("--config", type=Path, default=Path(os.environ.get("YINONG_AGENT_CONFIG", DEFAULT_PATH)))
    parser.add_argument("--socket", type=Path, default=Path(os.environ.get("YINONG_AGENT_SOCKET", DEFAULT_SOCKET)))
    parser.add_argument("--lang", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    loaded = load(options.config)
    for mistake in loaded.mistakes:
        print(f"{options.config}: {mistake.text('zh')}\n    {mistake.text('en')}", file=sys.stderr)
    if loaded.settings is None:
        print("配置有错，没有启动 / not started: the configuration is wrong", file=sys.stderr)
        notify(f"STATUS=配置有错 / configuration is wrong: {options.config}", "ERRNO=22")
        return EX_CONFIG
    clock = clock or SystemClock()
    start_logging(loaded.settings.log.level, clock.mono_ms)
    path = Path(loaded.settings.outbox.path)
    with contextlib.ExitStack() as locks:
        try:
            locks.enter_context(_alone(path))
            outbox = open_outbox(
                path,
                fingerprint(),
                os.urandom(6).hex(),
                clock.now().strftime("%Y%m%dT%H%M%S"),
                loaded.settings.outbox.max_bytes,
                parts(),
            )
        except BlockingIOError:
            print(f"{path}：监测程序已在运行 / a daemon already runs on it", file=sys.stderr)
            return EX_TEMPFAIL
        except (OSError, sqlite3.Error) as error:
            print(f"{path}：打不开记录库 / the outbox cannot be opened: {error}", file=sys.stderr)
            notify(f"STATUS=打不开记录库 / the outbox cannot be opened: {path}", "ERRNO=5")
            return EX_IOERR
        context = Context.of_run(loaded.settings, loaded.secrets, clock)
        asyncio.run(run(context, loaded, outbox, options.socket))
    return 0


@contextlib.contextmanager
def _alone(outbox: Path) -> Generator[None]:
    """One daemon on an outbox: two would kick each other off the broker and fight for the guns. Raises BlockingIOError."""
    outbox.parent.mkdir(parents=True, exist_ok=True)
    with outbox.with_name(f"{outbox.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


async def run(context: Context, loaded: Loaded, outbox: Outbox, socket: Path) -> None:
    """Until SIGTERM or SIGINT; closes the outbox."""
    runtime = Runtime(context, loaded, outbox, socket)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await runtime.run(stop)
