"""`scan --camera` over the socket: the camera reads codes for as long as the officer asks, one officer at a time.

ask -> desk -> child process -> captures (committed like any other) -> live view -> the officer
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import msgspec

from agent.control.socket import Line, RequestHandler
from agent.scans.captures import Captures
from common.messages import Capture
from drivers.catalogue import Lang, sentence
from drivers.reading import CannotLook
from drivers.scan_gun.capture import RawCapture
from drivers.scan_gun.sources.camera import CAMERA_ID, read_codes

log = logging.getLogger(__name__)

Reader: TypeAlias = Callable[[Path, str, float, Callable[[RawCapture], None]], Awaitable[None]]
MAX_S, DEFAULT_S = 120.0, 20.0
COMMIT_S = 5.0  # what was read last is waited for
TICK_S = 1.0  # a client that left is noticed when something is told to it


class _Request:
    """One officer's ask."""

    def __init__(self, seconds: float, lang: Lang) -> None:
        self.seconds = seconds
        self.lang: Lang = lang
        self.lines: asyncio.Queue[Line] = asyncio.Queue()
        self.client_gone = asyncio.Event()
        self.read = self.shown = 0
        self.caught_up = asyncio.Event()


class CameraRequests:
    """`run` belongs into the daemon's task group. `device` is the camera's path, or "auto"."""

    def __init__(self, captures: Captures, root: Path, device: str, read: Reader = read_codes) -> None:
        self._captures, self._root, self._device, self._reader = captures, root, device, read
        self._requests: asyncio.Queue[_Request] = asyncio.Queue(3)

    def handlers(self) -> dict[str, RequestHandler]:
        return {"camera": self._camera}

    async def run(self) -> None:
        while True:
            asked = await self._requests.get()
            if not asked.client_gone.is_set():
                await self._serve(asked)

    async def _camera(self, asked: Line) -> AsyncIterator[Line]:
        given = asked.get("seconds", DEFAULT_S)
        seconds = min(MAX_S, max(1.0, float(given))) if isinstance(given, int | float) else DEFAULT_S
        mine = _Request(seconds, "en" if asked.get("lang") == "en" else "zh")
        try:
            self._requests.put_nowait(mine)
        except asyncio.QueueFull:
            yield {"error": "已有人在等摄像头,请稍后再试 / others wait for the camera: try again later"}
            return
        try:
            while True:
                line = await self._next(mine)
                yield line
                if "answer" in line or "error" in line:
                    return
        finally:
            mine.client_gone.set()

    async def _next(self, asked: _Request) -> Line:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TICK_S):
                return await asked.lines.get()
        return {"progress": {"read": asked.read}}

    async def _serve(self, asked: _Request) -> None:
        """Until the time is over, the officer has left or the camera failed."""
        async with asyncio.TaskGroup() as group:
            showing = group.create_task(self._show(asked))
            left = group.create_task(asked.client_gone.wait())
            reading = group.create_task(self._read(asked))
            await asyncio.wait((left, reading), return_when=asyncio.FIRST_COMPLETED)
            for task in (showing, left, reading):
                task.cancel()

    async def _read(self, asked: _Request) -> None:
        def deliver(read: RawCapture) -> None:
            asked.read += 1
            asked.caught_up.clear()
            self._captures.accept(read)

        try:
            await self._reader(self._root, self._device, asked.seconds, deliver)
        except CannotLook as error:
            words = sentence("scan_gun", error.reading.reason, asked.lang)
            asked.lines.put_nowait(
                {"error": f"{words.says}。{words.remedy}" if asked.lang == "zh" else f"{words.says}. {words.remedy}"}
            )
            return
        except Exception as error:  # a bug met with one camera must not stop the daemon
            log.exception("camera")
            asked.lines.put_nowait({"error": f"程序出错 / the daemon failed: {error}"})
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COMMIT_S):
                while asked.shown < asked.read:
                    await asked.caught_up.wait()
        asked.lines.put_nowait({"answer": {"read": asked.read, "committed": asked.shown}})

    async def _show(self, asked: _Request) -> None:
        async for one in self._captures.subscribe():
            if one.gun != CAMERA_ID:
                continue
            asked.shown += 1
            if asked.shown >= asked.read:
                asked.caught_up.set()
            form = msgspec.to_builtins(one)
            if isinstance(one, Capture):
                form["start"], form["end"] = one.start_mono_ms / 1000, one.end_mono_ms / 1000
                asked.lines.put_nowait({"capture": form})
            else:
                asked.lines.put_nowait({"card": form})
