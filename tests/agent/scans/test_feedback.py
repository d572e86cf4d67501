"""The officer hears a sound after the commit, and it never delays a capture."""

import asyncio
import contextlib
import logging
import os
import pty
import tty
from pathlib import Path

import msgspec
import pytest
from support.running import running

from agent.outbox.opening import read_only
from agent.scans.captures import Captures
from agent.scans.feedback import OK, REFUSED, SoundFeedback, open_feedback
from common.messages import Capture
from drivers.scan_gun.driver import ScanGun
from drivers.speaker import Speaker


class SpeakerNode:
    """A speaker's node: what was played, in order."""

    def __init__(self) -> None:
        self.read, self.node = os.pipe()
        os.set_blocking(self.read, False)

    @property
    def tones(self) -> list[int]:
        data = os.read(self.read, 65536)
        # each with its SYN_REPORT
        return [int.from_bytes(data[at + 20 : at + 24], "little") for at in range(0, len(data), 48)]


def kept(path: Path) -> list[str]:
    with read_only(path) as box:
        return [msgspec.json.decode(r.body, type=Capture).text for r in box.waiting(0, 100) if r.leaf == "scan"]


@contextlib.asynccontextmanager
async def capturing(gun, clock, writer, feedback):
    captures = Captures((gun,), Path("/"), clock, writer, None, feedback)
    async with running(captures.run()):
        yield


@pytest.fixture
def line():
    end, port = pty.openpty()
    tty.setraw(port)  # no echo, also before the gun is opened
    yield end, os.ttyname(port)
    os.close(end), os.close(port)


async def test_the_gun_beeps_when_its_scan_is_in_the_outbox_and_not_before(line, clock, writer, outbox):
    end, port = line
    gun = ScanGun(id="main", port=port, acknowledge="bel")
    async with capturing(gun, clock, writer, SoundFeedback([gun], None)):
        os.write(end, b"6901234567892\r")
        assert await asyncio.wait_for(asyncio.to_thread(os.read, end, 10), 20) == b"\x07"
        assert kept(outbox.path) == ["6901234567892"]


async def test_a_scan_that_waits_for_room_on_the_disk_is_not_acknowledged(line, clock, writer, outbox, room, until):
    end, port = line
    gun = ScanGun(id="main", port=port, acknowledge="ack")
    async with capturing(gun, clock, writer, SoundFeedback([gun], None)):
        os.write(end, b"first\r")
        assert await asyncio.wait_for(asyncio.to_thread(os.read, end, 10), 20) == b"\x06"
        room.none()
        os.write(end, b"x" * 9000 + b"\r")
        await until(lambda: clock._sleepers)  # its commit failed, and is tried again later
        os.set_blocking(end, False)
        with pytest.raises(BlockingIOError):
            os.read(end, 10)
        room.plenty()
        await clock.advance(3)
        os.set_blocking(end, True)
        assert await asyncio.wait_for(asyncio.to_thread(os.read, end, 10), 20) == b"\x06"
        assert [len(text) for text in kept(outbox.path)] == [5, 9000]


async def test_the_speaker_signals_kept_or_scan_again():
    ear = SpeakerNode()
    both = SoundFeedback([ScanGun(id="main")], Speaker(ear.node))
    both.ok("main")
    both.refused("main")
    both.ok("a camera, which is no gun of the table")
    assert ear.tones == [OK[0].hz, REFUSED[0].hz, OK[0].hz]
    both.close()
    os.close(ear.read)


def test_a_terminal_without_a_speaker_logs_it_and_goes_on(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    guns = (ScanGun(id="main"),)
    open_feedback(guns, tmp_path, beep=True).ok("main")
    assert "no beep" in caplog.text
    caplog.clear()
    open_feedback(guns, tmp_path, beep=False).ok("main")
    open_feedback((), tmp_path, beep=True).refused("main")
    assert caplog.text == ""
