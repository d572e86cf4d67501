"""`scan --camera`: what the camera reads is committed like any other scan, and only during a request."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.cli.output import Terms
from agent.cli.scan import camera
from agent.control import camera as camera_requests
from agent.control.camera import CameraRequests
from agent.control.socket import serve
from agent.outbox.opening import read_only
from agent.scans.captures import Captures
from common.messages import Capture
from drivers.reading import YinongError
from drivers.scan_gun.sources.camera import capture_of


class Lens:
    """A camera that reads these texts, for the requested time."""

    def __init__(self, *texts: str, stays: bool = False) -> None:
        self.texts, self.stays, self.open = texts, stays, 0

    async def __call__(self, root: Path, device: str, seconds: float, deliver: Any) -> None:
        self.open += 1
        try:
            for n, text in enumerate(self.texts):
                deliver(capture_of((b"]Q1" + text.encode()).hex(), 1000 * n, 1000 * n + 100, "usb-046d:0825-SN1"))
            if self.stays:
                await asyncio.Event().wait()
        finally:
            self.open -= 1


@contextlib.asynccontextmanager
async def served(captures: Captures, *lens: Lens, root: Path = Path("/")) -> AsyncIterator[CameraRequests]:
    one = CameraRequests(captures, root, "auto", *lens)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(captures.run()), group.create_task(one.run())]
        yield one
        for task in tasks:
            task.cancel()


async def lines_of(one: CameraRequests, **asked: Any) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        return [line async for line in one.handlers()["camera"]({"ask": "camera", **asked})]


async def next_capture(lines: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    """The next shown line; on a slow disk, progress may come first."""
    async with asyncio.timeout(20):
        while "capture" not in (line := await anext(lines)):
            assert line.keys() == {"progress"}
    return line["capture"]


def kept(path: Path) -> list[tuple[str, int, str, str]]:
    with read_only(path) as box:
        scans = [msgspec.json.decode(r.body, type=Capture) for r in box.waiting(0, 100) if r.leaf == "scan"]
    return [(c.gun, c.number, c.source, c.text) for c in scans]


@pytest.fixture
def captures(clock, writer) -> Captures:
    return Captures((), Path("/"), clock, writer)


async def test_what_the_camera_reads_is_committed_and_shown(captures, outbox):
    async with served(captures, Lens("6901234567892", "益农")) as one:
        lines = await lines_of(one, seconds=5)
    assert [line["capture"]["text"] for line in lines if "capture" in line] == ["6901234567892", "益农"]
    assert lines[-1] == {"answer": {"read": 2, "committed": 2}}
    assert kept(outbox.path) == [("camera", 1, "camera", "6901234567892"), ("camera", 2, "camera", "益农")]


async def test_its_numbers_continue_after_a_restart(clock, writer, outbox):
    for _ in range(2):
        async with served(Captures((), Path("/"), clock, writer), Lens("a")) as one:
            await lines_of(one)
    assert [number for _, number, _, _ in kept(outbox.path)] == [1, 2]


async def test_the_camera_is_released_when_the_officer_disconnects(captures, until, monkeypatch):
    lens = Lens("a", stays=True)
    async with served(captures, lens) as one:
        lines = one.handlers()["camera"]({"ask": "camera"})
        assert (await next_capture(lines))["text"] == "a"
        assert lens.open == 1
        await lines.aclose()
        await until(lambda: lens.open == 0)


async def test_a_second_officer_waits_for_the_first(captures, until, monkeypatch):
    monkeypatch.setattr(camera_requests, "TICK_S", 0.01)
    lens = Lens("a", stays=True)
    async with served(captures, lens) as one:
        first, second = (one.handlers()["camera"]({"ask": "camera"}) for _ in range(2))
        assert (await next_capture(first))["number"] == 1
        assert await anext(second) == {"progress": {"read": 0}}
        assert lens.open == 1
        await first.aclose()
        assert (await next_capture(second))["number"] == 2
        await second.aclose()


async def test_without_a_camera_the_officer_gets_a_sentence(captures, tmp_path):
    async with served(captures, root=tmp_path) as one:
        assert await lines_of(one, lang="en") == [{"error": "No camera is there. Plug the camera in and try again"}]
        assert "摄像头" in (await lines_of(one))[0]["error"]


async def test_a_bug_with_one_camera_does_not_end_the_requests(captures):
    async def broken(root: Path, device: str, seconds: float, deliver: Any) -> None:
        raise ZeroDivisionError("bug")

    async with served(captures, broken) as one:
        for _ in range(2):
            assert "bug" in (await lines_of(one))[0]["error"]


async def test_the_command_line_shows_them_through_the_socket(captures, tmp_path, until, capsys):
    socket = tmp_path / "agent.sock"
    say = Terms("en")
    async with served(captures, Lens("6901234567892")) as one, asyncio.TaskGroup() as group:
        serving = group.create_task(serve(socket, one.handlers()))
        await until(socket.exists)
        assert await asyncio.to_thread(camera, say, socket, 5, as_json=False) == 0
        serving.cancel()
    assert "6901234567892" in capsys.readouterr().out
    with pytest.raises(YinongError, match="systemctl start"):
        camera(say, tmp_path / "none.sock", 5, as_json=False)
