"""The disk blocks for two seconds while a gun types at full speed: nothing is lost, nothing is acknowledged before its commit."""

import asyncio
import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evdev import ecodes as e

from agent.outbox.outbox import Outbox
from agent.outbox.writer import Writer
from drivers.scan_gun.capture import RawCapture
from drivers.scan_gun.decoding.framing import Framer
from drivers.scan_gun.driver import ScanGun
from drivers.scan_gun.session import read_until_gone
from drivers.scan_gun.sources.evdev import EVENT, EvdevDecoder
from drivers.scan_gun.sources.reader import boottime_ms
from tests.agent.scans.test_captures import Terminal
from tests.drivers.scan_gun.conftest import Typist

BLOCKED_S, REPORT_S = 2.0, 0.0015
CODES = [f"69012345{n:05}" for n in range(70)]  # 28 reports each: three seconds at gun speed


class PipedGun(ScanGun, frozen=True, kw_only=True):
    """A keyboard gun whose node is a pipe of struct input_event, read like any other."""

    fd: int

    async def listen(self, root: Path, deliver: Callable[[RawCapture], None], changed: asyncio.Event) -> None:
        await read_until_gone(self.fd, EvdevDecoder(Framer(self.id, "pipe", "evdev", self.framing), "ignore"), deliver)
        await asyncio.Event().wait()


class Ring(threading.Thread):
    """Types as a gun does, one report every 1.5 ms, into a pipe; without room a report is dropped, as evdev does.

    The pipe holds half a second of it, the kernel's ring 48 ms: a busy machine is not what is tried here, a reader that waits is.
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd, self.dropped = fd, 0
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 16_384)
        os.set_blocking(fd, False)

    def run(self) -> None:
        gun = Typist(1000, step_s=0)
        for code in CODES:
            gun.type(code + "\n")
        events = [one for one in gun.events if one[1] != e.EV_MSC]  # masked, as `open_evdev` does
        for at in range(0, len(events), 2):
            time.sleep(REPORT_S)
            self._report(events[at : at + 2])
        os.close(self._fd)

    def _report(self, events: list[Any]) -> None:
        seconds, ms = divmod(boottime_ms(), 1000)
        try:
            os.write(self._fd, b"".join(EVENT.pack(seconds, ms * 1000, *event[1:]) for event in events))
        except BlockingIOError:
            self.dropped += 1


async def test_a_disk_that_blocks_for_two_seconds_loses_nothing_at_gun_speed(
    writer: Writer, outbox: Outbox, clock: Any, until: Any
) -> None:
    read, write = os.pipe()
    terminal = Terminal(writer, outbox, clock, PipedGun(id="main", fd=read))
    blocked, gun = threading.Event(), Ring(write)

    def block(_: Outbox) -> None:
        """Block the outbox's thread, like an fsync that does not return."""
        blocked.set()
        time.sleep(BLOCKED_S)

    async with terminal.running():
        holding = asyncio.create_task(writer.run_in_thread(block))
        await asyncio.to_thread(blocked.wait)
        gun.start()
        while not holding.done():
            assert not terminal.kept  # what is not committed is shown nowhere
            await asyncio.sleep(0.1)
        await until(lambda: gun.dropped or len(terminal.kept) == len(CODES))
    gun.join()
    os.close(read)
    assert gun.dropped == 0
    assert [(c.number, c.text, c.damage) for c in terminal.kept] == [(n, c, None) for n, c in enumerate(CODES, 1)]
