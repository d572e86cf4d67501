"""The two readers of the same guns, each a process of its own: `ours FOLDER FD FD FD`, `model FD FD FD`.

Guns are pipes that carry struct input_event. Each reported scan is a line `{"text": …, "damaged": …}` on standard
output; a line on standard input blocks the consumer for two seconds.

`model` is a model of the approach of the closest existing tool, written from a description of what it was seen to do, not that
tool: characters by key names, one shift flag, one reader that all devices share, a line read to its Enter and the rest of the
same read thrown away, a queue in memory.
"""

import asyncio
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from evdev import ecodes as e
from stage import ROOT  # noqa: F401 - puts the repository on the path

from agent.outbox.opening import open_outbox
from agent.outbox.outbox import Outbox
from agent.outbox.writer import Writer
from agent.scans.captures import Captures
from common.clock import SystemClock
from common.messages import Capture
from drivers.scan_gun.capture import RawCapture
from drivers.scan_gun.decoding.framing import Framer
from drivers.scan_gun.decoding.keys import US
from drivers.scan_gun.driver import ScanGun
from drivers.scan_gun.session import read_until_gone
from drivers.scan_gun.sources.evdev import EVENT, EvdevDecoder

GUNS = ("left", "right", "seed")
BLOCKED_S = 2.0
ONE_READ = 64  # events


def report(text: str, *, damaged: bool = False) -> None:
    print(json.dumps({"text": text, "damaged": damaged}), flush=True)


# --- ours: the daemon's reader, decoder, captures and outbox ---


class PipedGun(ScanGun, frozen=True, kw_only=True):
    fd: int

    async def listen(self, root: Path, deliver: Callable[[RawCapture], None], changed: asyncio.Event) -> None:
        framer = Framer(self.id, f"pipe:{self.id}", "evdev", self.framing)
        await read_until_gone(self.fd, EvdevDecoder(framer, self.caps), deliver)
        await asyncio.Event().wait()


async def ours(folder: Path, fds: list[int]) -> None:
    outbox = open_outbox(folder / "outbox.db", "f00d00000001", "0123456789ab", "t")
    writer = Writer(outbox)
    guns = tuple(PipedGun(id=name, fd=fd, multi_line=name == "seed") for name, fd in zip(GUNS, fds, strict=True))
    captures = Captures(guns, Path("/"), SystemClock(), writer)

    async def show() -> None:
        async for one in captures.subscribe():
            if isinstance(one, Capture):
                report(one.text, damaged=one.damage is not None)

    def hold(_: Outbox) -> None:
        time.sleep(BLOCKED_S)

    loop = asyncio.get_running_loop()
    on_line(lambda: asyncio.run_coroutine_threadsafe(writer.run_in_thread(hold), loop))
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        group.create_task(show())
        group.create_task(captures.run())


# --- the model ---


class SharedReader:
    """One for all devices, as their state is."""

    def __init__(self) -> None:
        self._line, self._shift = "", False
        self._alt: str | None = None

    def read_line(self, fd: int) -> str:
        """A line; the rest of the read that contained its Enter is thrown away."""
        while True:
            data = os.read(fd, EVENT.size * ONE_READ)
            if not data:
                raise EOFError
            for _, _, kind, code, value in EVENT.iter_unpack(data):
                if kind == e.EV_KEY and self._take(code, value):
                    line, self._line = self._line, ""
                    return line

    def _take(self, code: int, value: int) -> bool:
        """Whether this ended a line: Enter's way up does."""
        if code in (e.KEY_LEFTSHIFT, e.KEY_RIGHTSHIFT):
            self._shift = value == 1
        elif code in (e.KEY_LEFTALT, e.KEY_RIGHTALT):
            self._line += self._alt_text() if value == 0 else ""
            self._alt = "" if value == 1 else None
        elif code in (e.KEY_ENTER, e.KEY_KPENTER):
            return value == 0
        elif value == 1:
            self._type(code)
        return False

    def _type(self, code: int) -> None:
        plain, shifted = US.get(code, ("", ""))
        if self._alt is not None and plain.isdigit():
            self._alt += plain
        else:
            name = e.KEY.get(code, "?")
            self._line += (shifted if self._shift else plain) or str(name).removeprefix("KEY_").lower()

    def _alt_text(self) -> str:
        """The number's own bytes, read as UTF-8."""
        if not self._alt:
            return ""
        number = int(self._alt)
        return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big").decode("utf-8", "replace")


def model(fds: list[int]) -> None:
    lines: queue.Queue[str] = queue.Queue()
    hold = threading.Event()
    reader = SharedReader()

    def read(fd: int) -> None:
        while True:
            lines.put(reader.read_line(fd))

    for fd in fds:
        threading.Thread(target=read, args=(fd,), daemon=True).start()
    on_line(hold.set)
    while True:
        line = lines.get()
        if hold.is_set():
            hold.clear()
            time.sleep(BLOCKED_S)
        if line:
            report(line)


def on_line(do: Callable[[], object]) -> None:
    def wait() -> None:
        for _ in sys.stdin:
            do()

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    side, *rest = sys.argv[1:]
    if side == "ours":
        asyncio.run(ours(Path(rest[0]), [int(fd) for fd in rest[1:]]))
    else:
        model([int(fd) for fd in rest])
