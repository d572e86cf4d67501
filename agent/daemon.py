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
from agent.host.fingerprint import fingerprint, parts
from agent.host.log import start_logging
from agent.host.systemd import notify, watchdog_interval_s
from agent.outbox.opening import open_outbox
from agent.outbox.outbox import Outbox
from agent.runtime import Runtime
from common.clock import Clock, SystemClock
from common.version import VERSION

log = logging.getLogger(__name__)

EX_CONFIG = 78  # sysexits.h; the unit does not restart on it: a wrong file stays wrong
EX_TEMPFAIL = 75  # another daemon runs
EX_IOERR = 74  # the unit tries again: a disk may come back
FAREWELL_S = 3.0


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
        print("配置有错,没有启动 / not started: the configuration is wrong", file=sys.stderr)
        notify(f"STATUS=配置有错 / configuration is wrong: {options.config}", "ERRNO=22")
        return EX_CONFIG
    clock = clock or SystemClock()
    start_logging(loaded.settings.log.level, clock.mono_ms)
    path = Path(loaded.settings.outbox.path)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(_alone(path))
            outbox = open_outbox(
                path, fingerprint(), os.urandom(6).hex(), clock.now().strftime("%Y%m%dT%H%M%S"),
                loaded.settings.outbox.max_bytes, parts(),
            )  # fmt: skip
        except BlockingIOError:
            print(f"{path}: 程序已在运行 / a daemon already runs on it", file=sys.stderr)
            return EX_TEMPFAIL
        except (OSError, sqlite3.Error) as error:
            print(f"{path}: 打不开记录文件 / the outbox cannot be opened: {error}", file=sys.stderr)
            notify(f"STATUS=打不开记录文件 / the outbox cannot be opened: {path}", "ERRNO=5")
            return EX_IOERR
        asyncio.run(run(loaded, outbox, clock, options.socket))
    return 0


@contextlib.contextmanager
def _alone(outbox: Path) -> Generator[None]:
    """One daemon on an outbox: two would kick each other off the broker and fight for the guns. Raises BlockingIOError."""
    outbox.parent.mkdir(parents=True, exist_ok=True)
    with outbox.with_name(f"{outbox.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


async def run(loaded: Loaded, outbox: Outbox, clock: Clock, socket: Path, root: Path = Path("/")) -> None:
    """Until SIGTERM or SIGINT; closes the outbox."""
    runtime = Runtime(loaded, outbox, clock, socket, root, VERSION)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(work, name=name) for name, work in runtime.loops().items()]
            loops.append(group.create_task(_watchdog(runtime), name="watchdog"))
            await stop.wait()
            notify("STOPPING=1", "STATUS=正在停止 / stopping")
            log.info("stopping")
            await runtime.note_stop()
            for task in loops:
                task.cancel()
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await runtime.farewell(clean=stop.is_set())
        runtime.close()


async def _watchdog(runtime: Runtime) -> None:
    """READY once the daemon keeps records, then a sign of life for systemd, from the loop that does the work."""
    await runtime.ready.wait()
    notify("READY=1", f"STATUS={runtime.status_line()}")
    interval_s = watchdog_interval_s() or 60.0
    while True:
        await asyncio.sleep(interval_s)
        await runtime.writer.run_in_thread(lambda box: box.id)  # a hung disk is a hung agent
        notify("WATCHDOG=1", f"STATUS={runtime.status_line()}")
