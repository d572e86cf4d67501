"""A station in compressed time: the daemon's own parts in this process, on a clock that advances as fast as their work is done.

    SimClock ──> Runtime (poller, captures, outbox, link, delivery, reports, control) ──> a real mosquitto ──> TinyCounty

Only time is made up. Devices are real drivers on a tree of files and a pseudo-terminal, the outbox is a real SQLite file, the
broker a process, the county a second connection in the same loop that receipts what it receives and keeps nothing of it.
"""

import asyncio
import gc
import os
import pty
import sys
import threading
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from support.broker import Broker
from support.sim_clock import SimClock
from support.tiny_county import TinyCounty

from agent.configuration.settings import load
from agent.context import Context
from agent.control.socket import NoDaemon, send_request
from agent.host.fingerprint import fingerprint
from agent.outbox.opening import open_outbox
from agent.runtime import Runtime
from common.clock import ClockQuality
from drivers.hotplug import HotplugEvent
from drivers.reading import YinongError
from drivers.table import CLASSES

_EDID = Path(__file__).parents[1] / "drivers/led_screen/cases/tv_60_inch/edid.bin"
SCREEN = "sys/class/drm/card0-HDMI-A-1"
# fewer polls, otherwise the same
EVERY_S = {"terminal": 300, "led_screen": 60, "scan_gun": 60, "printer": 300, "video": 3600}


class Footprint(NamedTuple):
    """The resources of the daemon at one moment, with the link up and nothing waiting."""

    day: float
    rss_kb: int
    blocks: int  # allocated by Python
    descriptors: int
    threads: int
    tasks: int
    file_kb: int
    rows: int
    spilled_bytes: int
    flash_mb_day: float  # of the last whole day
    log_lines: int  # since the start
    captures: int  # at the county


class CompressedStation:
    """One station in `folder`. Use it with `async with`; then let time pass and cause events."""

    def __init__(
        self,
        folder: Path,
        broker: Broker,
        *,
        archive_days: int = 90,
        max_mb: int = 512,
        flash_budget_mb: int = 30,
        quality: ClockQuality = "synced",
    ) -> None:
        self.folder, self.broker, self.clock = folder, broker, SimClock(quality)
        self.county = TinyCounty(broker.port)
        self._gun, self._line = pty.openpty()
        tty.setraw(self._line)
        self.root = _tree(folder / "root")
        (self.root / "state").mkdir()
        self._uptime = _in_memory(self.root / "proc/uptime", "1000.00 1.0\n")
        self._screen = _in_memory(self.root / SCREEN / "status", "connected\n")
        config = folder / "agent.toml"
        config.write_text(
            _CONFIG.format(
                port=broker.port,
                outbox=folder / "outbox.db",
                gun=os.ttyname(self._line),
                archive_days=archive_days,
                max_mb=max_mb,
                flash_budget_mb=flash_budget_mb,
            ),
            "utf-8",
        )
        classes = {name: CLASSES[name]._replace(every_s=every_s) for name, every_s in EVERY_S.items()}
        loaded = load(config, classes=classes)
        assert loaded.settings is not None and not loaded.mistakes, loaded.mistakes
        box = open_outbox(folder / "outbox.db", fingerprint(self.root), "0123456789ab", "t", max_mb * 1_000_000)
        self.socket = folder / "agent.sock"
        context = Context.of_run(loaded.settings, loaded.secrets, self.clock, self.root)
        self.runtime = Runtime(context, loaded, box, self.socket)
        self._stop = asyncio.Event()
        self.scanned = 0
        self._screen_on = True
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> "CompressedStation":
        await _all_threads_of_the_loop()
        await self._group.__aenter__()
        self._group.create_task(self.runtime.run(self._stop))
        await self.county.connect()
        await self.until(self.runtime.ready.is_set)
        await self.pass_s(300)
        await self.until(lambda: self.runtime.uplink.link.up.is_set())
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._stop.set()
        await self._group.__aexit__(*error)
        self.county.disconnect()
        for file in (self._gun, self._line, self._uptime, self._screen):
            os.close(file)

    async def pass_s(self, seconds: float) -> None:
        """Let this time pass."""
        end = self.clock.mono_ms() + int(seconds * 1000)
        _set_content(self._uptime, f"{end / 1000:.2f} 1.0\n")
        await self.clock.run_to(end, self.quiet)

    async def quiet(self) -> None:
        """Wait until all caused work is done: polls, commits, acknowledgements, receipts."""
        for _ in range(3):
            await asyncio.sleep(0)
        await self.runtime.storage.writer.run_in_thread(lambda box: None)
        await asyncio.sleep(0)
        while self._busy():
            self.county.publish_receipts()
            await asyncio.sleep(0.0005)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait in real time for the work of a thread or a process."""
        async with asyncio.timeout(60):
            while not condition():
                self.county.publish_receipts()
                await asyncio.sleep(0.002)

    async def scan(self) -> None:
        """Scan a code; it is committed when this returns."""
        self.scanned += 1
        os.write(self._gun, f"69{self.scanned:011d}\r".encode())
        await self.until(lambda: self.runtime.scans.captures._states["gun"].number >= self.scanned)
        await self.quiet()

    async def lose_broker(self, minutes: int, *, killed: bool) -> None:
        self.broker.kill() if killed else self.broker.stop()
        await self.until(self.runtime.uplink.link.down.is_set)
        for _ in range(minutes):
            await self.pass_s(60)
        await self.broker_back()

    async def broker_back(self) -> None:
        """Start it again. The port may be in use for a moment: a client that often dials a free loopback port can meet itself."""
        for _ in range(20):
            try:
                self.broker.start()
                break
            except RuntimeError:
                await self.pass_s(60)
        await self.county.connect()
        await self.until_connected()

    async def until_connected(self) -> None:
        while not self.runtime.uplink.link.up.is_set():
            await self.pass_s(5)
            await asyncio.sleep(0.01)
        await self.quiet()

    async def turn_screen(self, then_s: float = 10) -> None:
        """The screen goes off or on, and the kernel reports it; then `then_s` pass."""
        self._screen_on = not self._screen_on
        _set_content(self._screen, "connected\n" if self._screen_on else "disconnected\n")
        self.runtime.devices._poller.on_hotplug(HotplugEvent("change", "drm", "/devices/x/drm/card0"))
        await self.pass_s(then_s)

    async def ask(self, what: str, *, leave: bool = False) -> None:
        """A client of the control socket; with `leave` it disconnects before the answer."""

        def client() -> None:
            try:
                for _ in send_request(self.socket, {"ask": what}, 0.0 if leave else 20):
                    pass
            except (NoDaemon, YinongError):
                pass

        await asyncio.to_thread(client)

    async def bad_message(self, number: int) -> None:
        """Publish an invalid receipt or command."""
        self.county.publish("receipt" if number % 2 else f"command/nonsense{number}", b"\xff{" * (number % 50))
        await self.quiet()

    async def drained(self) -> None:
        """Wait until the county has everything; a month of telemetry takes a day and a half, behind the live messages."""
        for _ in range(10_000):
            depth = await self.runtime.storage.writer.run_in_thread(lambda box: box.depth())
            spilled = await self.runtime.storage.writer.run_in_thread(_spilled)
            if not depth.waiting and not spilled:
                return
            await self.pass_s(30)
        raise AssertionError(f"never drained: {depth}, telemetry {spilled}")

    async def footprint(self, log_lines: int, *, drained: bool = True) -> Footprint:
        if drained:
            await self.drained()
        await asyncio.sleep(0.05)
        gc.collect()
        depth = await self.runtime.storage.writer.run_in_thread(lambda box: box.depth())
        flash = self.runtime.storage.budget.status()["days_before"]
        return Footprint(
            day=(self.clock.mono_ms() - 1_000_000) / 86_400_000,
            rss_kb=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024,
            blocks=sys.getallocatedblocks(),
            descriptors=_entries("fd"),
            threads=_entries("task"),
            tasks=len(asyncio.all_tasks()),
            file_kb=sum(file.stat().st_size for file in self.folder.glob("outbox.db*")) // 1024,
            rows=depth.waiting + depth.archived,
            spilled_bytes=await self.runtime.storage.writer.run_in_thread(_spilled),
            flash_mb_day=flash[0] / 1e6 if flash else 0.0,
            log_lines=log_lines,
            captures=self.county.scans,
        )

    def _busy(self) -> bool:
        connection = self.runtime.uplink.link._connection
        return bool(
            self.county.busy
            or self.runtime.uplink.received.waiting
            or self.runtime.control.commands.waiting
            or (connection is not None and connection._acks and self.broker.running)
            or any(watch.busy.locked() for watch in self.runtime.devices._poller._devices.values())
        )


async def _all_threads_of_the_loop() -> None:
    """The loop's executor starts threads on demand: start all at the beginning, so that their number stays constant."""
    count = min(32, (os.cpu_count() or 1) + 4)  # concurrent.futures.ThreadPoolExecutor's default
    barrier = threading.Barrier(count, timeout=20)
    await asyncio.gather(*(asyncio.to_thread(barrier.wait) for _ in range(count)))


def _in_memory(path: Path, text: str) -> int:
    """A file that changes without a write to the disk, so that every disk write of this process is the daemon's."""
    file = os.memfd_create(path.name)
    path.symlink_to(f"/proc/self/fd/{file}")
    _set_content(file, text)
    return file


def _set_content(file: int, text: str) -> None:
    os.pwrite(file, text.encode(), 0)
    os.ftruncate(file, len(text.encode()))


def _entries(folder: str) -> int:
    return sum(1 for _ in Path("/proc/self", folder).iterdir())


def _spilled(box: Any) -> int:
    return int(box.db.execute("SELECT coalesce(sum(length(body)), 0) FROM spill").fetchone()[0])


def _tree(root: Path) -> Path:
    """A terminal's files: a screen that can go off, /proc with an uptime, the real devices and the real own process."""
    (root / "proc").mkdir(parents=True)
    (root / "proc/self").symlink_to("/proc/self")
    (root / "dev").symlink_to("/dev")
    for name in ("stat", "meminfo", "loadavg"):
        (root / "proc" / name).write_text(Path("/proc", name).read_text())
    (root / SCREEN).mkdir(parents=True)
    (root / SCREEN / "edid").write_bytes(_EDID.read_bytes())
    return root


_CONFIG = """\
[station]
division = "450225"
number = "桂BRS0001B"
[broker]
host = "127.0.0.1"
port = {port}
tls = false
[delivery]
backlog_kbit_s = 20000
[outbox]
path = "{outbox}"
archive_days = {archive_days}
max_mb = {max_mb}
flash_budget_mb_day = {flash_budget_mb}
[[device]]
class = "terminal"
id = "main"
state_folder = "/state"
[[device]]
class = "led_screen"
id = "main"
[[device]]
class = "printer"
id = "main"
[[device]]
class = "video"
id = "main"
[[device]]
class = "scan_gun"
id = "gun"
source = "serial"
port = "{gun}"
suffix = "cr"
"""
