"""The PC speaker: events on a pipe in place of its node, times on the loop's own clock."""

import asyncio
import os
import struct
from pathlib import Path

import pytest

from drivers.speaker import NoSpeaker, Speaker, Tone, open_speaker

EVENT = struct.Struct("@LLHHi")
EV_SND, BELL, TONE = 0x12, 1, 2


def events_of(fd: int) -> list[tuple[int, int, int]]:
    return [(kind, code, value) for _, _, kind, code, value in EVENT.iter_unpack(os.read(fd, 4096)) if kind]


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    os.close(read)


async def test_a_tune_is_played_to_its_end_and_then_it_is_silent(pipe):
    speaker = Speaker(pipe[1])
    speaker.play((Tone(400, 1), Tone(0, 1), Tone(800, 1)))
    seen = []
    async with asyncio.timeout(10):
        while len(seen) < 4:
            await asyncio.sleep(0.002)
            seen += readable(pipe[0])
    assert seen == [(EV_SND, TONE, 400), (EV_SND, TONE, 0), (EV_SND, TONE, 800), (EV_SND, TONE, 0)]
    speaker.close()


def readable(fd: int) -> list[tuple[int, int, int]]:
    os.set_blocking(fd, False)
    try:
        return events_of(fd)
    except BlockingIOError:
        return []


async def test_the_next_tune_ends_the_one_before(pipe):
    speaker = Speaker(pipe[1])
    speaker.play((Tone(400, 60_000), Tone(500, 60_000)))
    speaker.play((Tone(2400, 60_000),))
    speaker.close()
    assert readable(pipe[0]) == [(EV_SND, TONE, 400), (EV_SND, TONE, 2400), (EV_SND, TONE, 0)]


async def test_a_speaker_that_only_has_a_bell_rings_it(pipe):
    speaker = Speaker(pipe[1], tones=False)
    speaker.play((Tone(400, 60_000),))
    speaker.close()
    assert readable(pipe[0]) == [(EV_SND, BELL, 1), (EV_SND, BELL, 0)]


async def test_a_speaker_that_went_away_is_silent(pipe):
    speaker = Speaker(os.open(os.devnull, os.O_RDONLY))  # a write fails
    speaker.play((Tone(400, 1),))
    speaker.close()
    os.close(pipe[1])


def test_it_is_found_among_the_input_devices(tmp_path: Path):
    for name, sounds in (("event0", "0"), ("event1", "6"), ("event2", "2")):
        capabilities = tmp_path / "sys/class/input" / name / "device/capabilities"
        capabilities.mkdir(parents=True)
        (capabilities / "snd").write_text(sounds + "\n")
    with pytest.raises(NoSpeaker, match="event2"):
        open_speaker(tmp_path)  # no node can be opened
    (tmp_path / "dev/input").mkdir(parents=True)
    (tmp_path / "dev/input/event1").touch()
    speaker = open_speaker(tmp_path)
    speaker._sound(2400)
    assert EVENT.unpack_from((tmp_path / "dev/input/event1").read_bytes())[2:] == (EV_SND, TONE, 2400)
    speaker.close()


def test_a_machine_without_a_speaker_says_so(tmp_path: Path):
    with pytest.raises(NoSpeaker, match="pcspkr"):
        open_speaker(tmp_path)
