"""What the child process computes from frames, and that its structs are the kernel's."""

import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import v4l2
from drivers.v4l2 import Capability, Format
from drivers.video.capture import look_at
from drivers.video.luma import RAW, brightness, difference, samples

GREY = Format("GREY", 640, 480, 640, 640 * 480)
YUYV = Format("YUYV", 640, 480, 1280, 1280 * 480)


def test_a_black_frame_has_mean_sixteen_and_no_deviation() -> None:
    points = samples(memoryview(b"\x10\x80" * (640 * 480)), YUYV)
    assert brightness(points) == (16.0, 0.0)
    assert len(points) == 64 * 37


def test_brightness_is_read_between_the_colours_in_every_packed_order() -> None:
    for fourcc, pixel in (("YUYV", b"\xc8\x07"), ("YVYU", b"\xc8\x07"), ("UYVY", b"\x07\xc8"), ("VYUY", b"\x07\xc8")):
        picture = YUYV._replace(fourcc=fourcc)
        assert brightness(samples(memoryview(pixel * (640 * 480)), picture)) == (200.0, 0.0)


def test_half_black_half_white_has_the_deviation_of_both() -> None:
    data = (b"\x00" * 320 + b"\xff" * 320) * 480
    assert brightness(samples(memoryview(data), GREY)) == (127.5, 127.5)


def test_padding_at_the_end_of_a_line_is_not_part_of_the_picture() -> None:
    picture = Format("GREY", 100, 50, 128, 128 * 50)
    assert brightness(samples(memoryview((b"\x64" * 100 + b"\xff" * 28) * 50), picture)) == (100.0, 0.0)


def test_noise_differs_from_frame_to_frame_and_the_same_frame_does_not() -> None:
    noise = random.Random(7)
    one, two = (samples(memoryview(noise.randbytes(640 * 480)), GREY) for _ in range(2))
    assert difference(one, one) == 0.0
    assert (difference(one, two) or 0) == pytest.approx(85, rel=0.05)
    assert difference(one, b"") is None


@given(
    st.binary(max_size=4000),
    st.sampled_from([*RAW, "MJPG", "", "XR24"]),
    st.integers(0, 2000),
    st.integers(0, 2000),
    st.integers(0, 5000),
)
def test_no_frame_however_short_or_odd_breaks_the_statistics(
    data: bytes, fourcc: str, width: int, height: int, line: int
) -> None:
    points = samples(memoryview(data), Format(fourcc, width, height, line, len(data)))
    if points:
        mean, sigma = brightness(points)
        assert 0 <= mean <= 255 and 0 <= sigma <= 128


@pytest.mark.skipif(
    struct.calcsize("P") != 8 or sys.byteorder != "little", reason="numbers of 64-bit little-endian Linux"
)
def test_ioctl_numbers_are_those_of_the_c_compiler() -> None:
    assert (v4l2.QUERYCAP, v4l2.ENUM_FMT, v4l2.G_FMT, v4l2.S_FMT) == (0x80685600, 0xC0405602, 0xC0D05604, 0xC0D05605)
    assert (v4l2.REQBUFS, v4l2.QUERYBUF, v4l2.QBUF, v4l2.DQBUF) == (0xC0145608, 0xC0585609, 0xC058560F, 0xC0585611)
    assert (v4l2.STREAMON, v4l2.STREAMOFF) == (0x40045612, 0x40045613)


@pytest.mark.parametrize(
    ("caps", "camera"),
    [
        (0x05230005, True),  # vivid: video capture
        (0x04200001, True),  # uvcvideo: picture
        (0x04A00000, False),  # uvcvideo: metadata
        (0x15200001, False),  # vivid: touch, also reports video capture
        (0x05230050, False),  # vivid: VBI
        (0x05220002, False),  # vivid: output
        (0x05A30000, False),  # vivid: metadata capture
        (0x04204000, False),  # a codec, memory to memory
        (0x04201000, False),  # multi-planar capture
        (0x00200001, False),  # capture without any way to get a frame
    ],
)
def test_only_a_node_that_captures_pictures_is_a_camera(caps: int, camera: bool) -> None:
    assert Capability("d", "c", "b", caps).is_camera is camera


def test_a_file_that_is_no_video_device_is_distinguished_from_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "video0").write_bytes(b"")
    nodes = look_at([str(tmp_path / "video0"), str(tmp_path / "video1")])["nodes"]
    assert [(node["step"], node["errno"]) for node in nodes] == [("querycap", "ENOTTY"), ("open", "ENOENT")]


def test_the_child_is_a_command_that_prints_json_and_loads_no_library(tmp_path: Path) -> None:
    question = json.dumps({"nodes": [str(tmp_path / "video0")]})
    command = [sys.executable, "-X", "importtime", "-m", "drivers.video.capture", question]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["nodes"][0]["errno"] == "ENOENT"
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"msgspec", "asyncio", "drivers.reading", "numpy"}
