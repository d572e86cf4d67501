"""The camera in the gun's place: rendered codes as raw frames of real formats, through the decoder; and the child process."""

from pathlib import Path

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.screen_codes import ean13, qr
from drivers.catalogue import reason_codes
from drivers.reading import CannotLook
from drivers.scan_gun.sources.camera import capture_of, read_codes
from drivers.scan_gun.sources.camera_child import Views, codes_in
from drivers.v4l2 import LUMA, Format

WIDTH, HEIGHT = 640, 480


def grey(modules, scale: int) -> list[bytearray]:
    """A code in the middle of a grey wall, as rows of brightness."""
    wall = [bytearray([128]) * WIDTH for _ in range(HEIGHT)]
    top, left = (HEIGHT - len(modules) * scale) // 2, (WIDTH - len(modules[0]) * scale) // 2
    for y, row in enumerate(modules):
        line = b"".join(bytes([16 if dark else 235]) * scale for dark in row)
        for dy in range(scale):
            wall[top + y * scale + dy][left : left + len(line)] = line
    return wall


def frame(rows: list[bytearray], fourcc: str, padding: int = 0) -> tuple[memoryview, Format]:
    """The rows as the driver of a camera lays them out; what is not brightness is noise of some kind."""
    pixel, first = LUMA[fourcc]
    data = bytearray()
    for row in rows:
        line = bytearray([90]) * (len(row) * pixel)
        line[first::pixel] = row
        data += line + bytes([255]) * padding
    if pixel == 1 and fourcc != "GREY":
        data += bytes([128]) * (WIDTH * HEIGHT // 2)  # the planes of colour
    return memoryview(bytes(data)), Format(fourcc, WIDTH, HEIGHT, WIDTH * pixel + padding, len(data))


def barcode(digits: str):
    return [ean13(digits)] * 40


@pytest.mark.parametrize("fourcc", ["YUYV", "UYVY", "GREY", "NV12", "YU12"])
@pytest.mark.parametrize("padding", [0, 64])
def test_codes_are_read_from_raw_frames_of_every_kind(fourcc, padding):
    (found,) = codes_in(*frame(grey(qr("桂AB1234 益农"), 8), fourcc, padding))
    capture = capture_of(found, 10, 20, "usb-046d:0825-SN1")
    assert (capture.text, capture.symbology, capture.source) == ("桂AB1234 益农", "Q1", "camera")
    (found,) = codes_in(*frame(grey(barcode("6901234567892"), 4), fourcc, padding))
    assert capture_of(found, 10, 20, "x").text == "6901234567892"
    assert bytes.fromhex(found).startswith(b"]E0")


def test_chinese_is_read_by_the_rule_and_a_declared_eci_wins():
    def read(text: str, **how) -> tuple[str, str]:
        code = segno.make_qr(text, mode="byte", **how)
        (found,) = codes_in(*frame(grey(list(code.matrix_iter(border=4)), 8), "GREY"))
        capture = capture_of(found, 1, 2, "x")
        return capture.text, capture.charset_because

    assert read("桂AB1234", encoding="gb18030") == ("桂AB1234", "not_utf8")
    assert read("隆隆", encoding="gb18030") == ("隆隆", "utf8_without_chinese")
    assert read("益农\\a", encoding="utf-8", eci=True) == ("益农\\a", "eci_000026")
    assert read("益农\\a", encoding="gb18030", eci=True) == ("益农\\a", "eci_000029")
    assert read("01069012345678921012\x1d17", encoding="iso-8859-1") == ("01069012345678921012\x1d17", "ascii")


def test_several_codes_of_one_picture_are_all_read():
    wall = grey(barcode("6901234567892"), 3)
    for y, row in enumerate(grey(qr("A1"), 4)[180:300]):
        wall[y][:200] = row[220:420]
    found = [capture_of(code, 1, 2, "x").text for code in codes_in(*frame(wall, "YUYV"))]
    assert sorted(found) == ["6901234567892", "A1"]


@given(
    st.binary(max_size=3000), st.sampled_from([*LUMA]), st.integers(0, 300), st.integers(0, 300), st.integers(0, 700)
)
def test_no_frame_however_short_or_odd_breaks_the_reading(data, fourcc, width, height, line):
    codes_in(memoryview(data), Format(fourcc, width, height, line, len(data)))


def test_bytes_that_no_rule_reads_are_a_damaged_capture():
    capture = capture_of((b"]Q1" + b"\xff\xff\x80").hex(), 1, 2, "x")
    assert (capture.text, capture.damage, capture.flags) == ("", "undecodable", ("damaged",))


def test_one_picture_is_not_believed_and_a_code_that_stays_is_one_scan():
    views = Views()
    assert views.picture(["a"], 1000) == []
    assert views.picture(["b"], 1100) == []  # a misread of the same code
    assert views.picture(["a"], 1200) == [("a", 1000, 1200)]
    assert [views.picture(["a"], at) for at in range(1300, 9000, 700)] == [[]] * 11
    assert views.picture([], 10_000) == []
    assert views.picture(["a"], 11_000) == []  # it was away for longer than a moment
    assert views.picture(["a"], 11_100) == [("a", 11_000, 11_100)]
    assert views.picture(["c"], 12_000) == [] and views.picture(["c"], 13_100) == []  # too far apart to agree


async def test_a_machine_without_a_camera_says_so(tmp_path: Path):
    for device in ("auto", "/dev/video7"):
        with pytest.raises(CannotLook) as none:
            await read_codes(tmp_path, device, 5, lambda capture: None)
        assert none.value.reading.reason.code == "camera_none"


async def test_the_child_process_reports_a_node_that_is_not_a_camera(tmp_path: Path):
    (tmp_path / "sys/class/video4linux/video0").mkdir(parents=True)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/video0").touch()
    with pytest.raises(CannotLook) as failed:
        await read_codes(tmp_path, "auto", 30, lambda capture: None)
    reason = failed.value.reading.reason
    assert (reason.code, reason.params["cause"]) == ("camera_failed", "Inappropriate ioctl for device")


def test_every_reason_of_the_camera_is_in_the_catalogue():
    assert reason_codes("scan_gun") >= {
        "camera_none",
        "camera_taken",
        "camera_jpeg_only",
        "camera_no_picture",
        "camera_failed",
    }
