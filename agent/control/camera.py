"""`scan --camera` over the socket: the camera reads codes for the requested time, for one officer at a time.

request -> queue -> child process -> captures (committed like any other) -> live view -> the officer
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
COMMIT_S = 5.0  # wait this long for the commit of the last codes
TICK_S = 1.0  # progress is sent this often: a client that disconnected is noticed only by sending


class _Request:
    """One request: its options, the lines of its answer, and its progress."""

    def __init__(self, seconds: float, lang: Lang) -> None:
        self.seconds = seconds
        self.lang: Lang = lang
        self.lines: asyncio.Queue[Line] = asyncio.Queue()
        self.client_gone = asyncio.Event()
        self.read = self.shown = 0
        self.caught_up = asyncio.Event()


class CameraRequests:
    """`run` belongs in the daemon's task group. `device` is the camera's path, or "auto"."""

    def __init__(self, captures: Captures, root: Path, device: str, read: Reader = read_codes) -> None:
        self._captures, self._root, self._device, self._reader = captures, root, device, read
        self._requests: asyncio.Queue[_Request] = asyncio.Queue(3)

    def handlers(self) -> dict[str, RequestHandler]:
        return {"camera": self._camera}

    async def run(self) -> None:
        while True:
            request = await self._requests.get()
            if not request.client_gone.is_set():
                await self._serve(request)

    async def _camera(self, line: Line) -> AsyncIterator[Line]:
        given = line.get("seconds", DEFAULT_S)
        seconds = min(MAX_S, max(1.0, float(given))) if isinstance(given, int | float) else DEFAULT_S
        request = _Request(seconds, "en" if line.get("lang") == "en" else "zh")
        try:
            self._requests.put_nowait(request)
        except asyncio.QueueFull:
            yield {"error": "已有人在等摄像头，请稍后再试 / others wait for the camera: try again later"}
            return
        try:
            while True:
                reply = await self._next(request)
                yield reply
                if "answer" in reply or "error" in reply:
                    return
        finally:
            request.client_gone.set()

    async def _next(self, request: _Request) -> Line:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TICK_S):
                return await request.lines.get()
        return {"progress": {"read": request.read}}

    async def _serve(self, request: _Request) -> None:
        """Read until the time is over, the client has disconnected or the camera has failed."""
        async with asyncio.TaskGroup() as group:
            showing = group.create_task(self._show(request))
            left = group.create_task(request.client_gone.wait())
            reading = group.create_task(self._read(request))
            await asyncio.wait((left, reading), return_when=asyncio.FIRST_COMPLETED)
            for task in (showing, left, reading):
                task.cancel()

    async def _read(self, request: _Request) -> None:
        def deliver(read: RawCapture) -> None:
            request.read += 1
            request.caught_up.clear()
            self._captures.accept(read)

        try:
            await self._reader(self._root, self._device, request.seconds, deliver)
        except CannotLook as error:
            words = sentence("scan_gun", error.reading.reason, request.lang)
            request.lines.put_nowait(
                {"error": f"{words.says}。{words.remedy}" if request.lang == "zh" else f"{words.says}. {words.remedy}"}
            )
            return
        except Exception as error:  # a bug with one camera must not stop the daemon
            log.exception("camera")
            request.lines.put_nowait({"error": f"监测程序出错 / the daemon failed: {error}"})
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COMMIT_S):
                while request.shown < request.read:
                    await request.caught_up.wait()
        request.lines.put_nowait({"answer": {"read": request.read, "committed": request.shown}})

    async def _show(self, request: _Request) -> None:
        async for one in self._captures.subscribe():
            if one.gun != CAMERA_ID:
                continue
            request.shown += 1
            if request.shown >= request.read:
                request.caught_up.set()
            form = msgspec.to_builtins(one)
            if isinstance(one, Capture):
                form["start"], form["end"] = one.start_mono_ms / 1000, one.end_mono_ms / 1000
                request.lines.put_nowait({"capture": form})
            else:
                request.lines.put_nowait({"card": form})
