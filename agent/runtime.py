"""The daemon's parts, built from the bottom up: no part receives what does not exist yet.

    Context, Hotplug, Observables (link state, clock quality, export key)
    Storage ─> Journal ─> Uplink, Devices ─> Scans ─> Reports ─> Control

The writer and the socket start at once, the others when the journal has its start entry. At the stop, what is in memory goes to
the disk (scans first) before the broker gets `closing`, and the outbox is closed last.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from agent.configuration.settings import Loaded
from agent.context import Context
from agent.control.control import Control
from agent.devices.devices import Devices
from agent.host.keys import public_key
from agent.host.systemd import notify, watchdog_interval_s
from agent.journal.journal import Journal
from agent.observable import Observable
from agent.outbox.outbox import Outbox
from agent.outbox.rows import OutboxFull
from agent.reports.reports import Reports
from agent.scans.scans import Scans
from agent.storage import Storage
from agent.uplink.link import LinkState
from agent.uplink.uplink import Uplink
from common.clock import ClockQuality
from common.mqtt.error_texts import link_line
from drivers.hotplug import Hotplug

log = logging.getLogger(__name__)

STOP_S = 3.0  # for what must reach the disk and the broker at the end; systemd waits longer


class Runtime:
    """All parts of a run. `run` returns after `stop` was set and everything has ended; it closes the outbox."""

    def __init__(self, context: Context, loaded: Loaded, outbox: Outbox, socket: Path) -> None:
        self._context, self._loaded = context, loaded
        self.ready = asyncio.Event()
        link_state = Observable(LinkState.at_start(context.clock))
        clock_quality: Observable[ClockQuality] = Observable(context.clock.quality())
        export_key = Observable(public_key(outbox.path))
        kinds = (*(kind for kind, _ in loaded.devices), *(kind for kind, _, _ in loaded.disabled))
        self.hotplug = Hotplug(subsystem for kind in kinds for subsystem in kind.hotplug)
        self.storage = Storage(context, outbox)
        self.journal = Journal(context, self.storage, link_state, clock_quality)
        self.uplink = Uplink(context, self.storage, self.journal, link_state, clock_quality, export_key)
        self.devices = Devices(context, loaded, self.storage, clock_quality, self.hotplug)
        self.scans = Scans(context, loaded, self.storage, self.devices.checks, self.hotplug)
        self.reports = Reports(context, self.storage, self.journal, self.devices, self.uplink.link, link_state)
        self.control = Control(
            context, loaded, socket, self.storage, self.devices, self.scans, self.uplink, self.reports, export_key
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set or a part fails, which raises an ExceptionGroup."""
        tasks: list[asyncio.Task[None]] = []

        def start(work: Coroutine[Any, Any, None], name: str) -> None:
            tasks.append(group.create_task(work, name=name))

        async def start_the_rest() -> None:
            await self.journal.begin(self._loaded)
            await self.devices.begin()
            for part in (self.storage, self.journal, self.uplink, self.devices, self.scans, self.reports, self.control):
                start(part.run(), type(part).__name__)
            start(self.hotplug.run(), "Hotplug")
            start(self._watchdog(), "watchdog")
            self.ready.set()

        try:
            async with asyncio.TaskGroup() as group:
                start(self.storage.writer.run(), "Writer")
                start(self.control.serve(), "socket")
                start(start_the_rest(), "start")
                await stop.wait()
                notify("STOPPING=1", "STATUS=正在停止 / stopping")
                log.info("stopping")
                self.storage.budget.end()
                await self.journal.end()
                for task in tasks:
                    task.cancel()
        finally:
            await self._stop(clean=stop.is_set())

    def status_line(self) -> str:
        """One line for `systemctl status`."""
        state = self.uplink.link.state
        up = ["已连接县中心 / connected"] if state.up else []
        link = "; ".join([*up, *(link_line(one) for one in (state.problem, *state.warnings) if one)])
        counts = ", ".join(f"{verdict} {count}" for verdict, count in self.devices.states.verdict_counts().items())
        number = self._context.settings.terminal.number
        return "; ".join([f"{number} {link}", counts, *self._disk_words()])

    def _disk_words(self) -> list[str]:
        words = {"nearly_full": ["硬盘快满了 / the disk is nearly full"], "full": ["硬盘满了 / the disk is full"]}
        queued = self.scans.captures.queued
        waits = [f"{queued} 条扫码等待保存 / {queued} scans wait to be saved"] if queued else []
        return words.get(self.storage.disk.level, []) + waits

    async def _watchdog(self) -> None:
        """READY once the daemon keeps records, then a sign of life for systemd, from the loop that does the work."""
        notify("READY=1", f"STATUS={self.status_line()}")
        interval_s = watchdog_interval_s() or 60.0
        while True:
            await asyncio.sleep(interval_s)
            await self.storage.writer.run_in_thread(lambda box: box.id)  # a hung disk is a hung agent
            notify("WATCHDOG=1", f"STATUS={self.status_line()}")

    async def _stop(self, *, clean: bool) -> None:
        """Every part gets its turn, all of them together STOP_S."""
        deadline = asyncio.get_running_loop().time() + STOP_S
        stops: dict[str, Callable[[], Awaitable[None]]] = {
            "socket": self.control.stop,
            "writer": self.storage.writer.flush,
            "scans": self.scans.stop,
            "reports": self.reports.stop,
            "uplink": partial(self.uplink.stop, clean=clean),
            "journal": self.journal.stop,
            "outbox": self.storage.stop,
        }
        for part, stop in stops.items():
            try:
                async with asyncio.timeout_at(deadline):
                    await stop()
            except TimeoutError:  # a broker or a disk that does not answer
                log.warning("at the stop: %s: %s s were not enough", part, STOP_S)
            except (OutboxFull, sqlite3.Error, OSError) as error:
                log.error("at the stop: %s: %s", part, error)
            except Exception:
                log.exception("at the stop: %s", part)
