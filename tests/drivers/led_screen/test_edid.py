"""The EDID parser against recorded cases, Debian's edid-decode and hostile bytes."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.led_screen.driver import inspect_edid
from drivers.led_screen.edid import read_edid
from drivers.reading import Condition

_SIZES = st.tuples(st.integers(0, 4095), st.integers(0, 4095))


def test_a_recorded_edid_gives_the_expected_reading(case: Path, generated: dict[str, bytes]) -> None:
    data = (case / "edid.bin").read_bytes()
    assert data == generated[case.name]
    assert json.loads(msgspec.json.encode(inspect_edid(data))) == json.loads(
        (case / "expected.json").read_text("utf-8")
    )


def test_edid_decode_sees_the_same_display(case: Path) -> None:
    assert shutil.which("edid-decode"), "edid-decode is missing: apt-get install edid-decode"
    edid = read_edid((case / "edid.bin").read_bytes())
    command = ["edid-decode", str(case / "edid.bin")]
    decoded = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
    if not edid.manufacturer:
        assert "Manufacturer:" not in decoded
        return
    assert f"Manufacturer: {edid.manufacturer}" in decoded
    assert edid.name is None or f"Display Product Name: '{edid.name}'" in decoded
    if edid.size_from == "timing_mm":
        mode = re.search(r"DTD 1:\s+(\d+)x(\d+) .*\((\d+) mm x (\d+) mm\)", decoded)
        assert mode and tuple(map(int, mode.groups())) == (edid.width_px, edid.height_px, edid.width_mm, edid.height_mm)
    if edid.size_from == "bytes_cm":
        assert f"Maximum image size: {(edid.width_mm or 0) // 10} cm x {(edid.height_mm or 0) // 10} cm" in decoded
    assert (edid.doubt == "size_variable") == ("Image size is variable" in decoded)
    if edid.doubt == "size_is_ratio" and 0 in (edid.claimed_cm or ()):
        assert "Aspect ratio: 1.78" in decoded
    assert bool(edid.bad_blocks) == ("should be 0x" in decoded)


@given(st.binary(max_size=400))
def test_random_bytes_never_crash_the_parser(data: bytes) -> None:
    assert inspect_edid(data).condition is Condition.ATTENTION


@given(st.binary(min_size=120, max_size=300))
def test_random_bytes_behind_a_sound_header_and_checksum_never_crash_the_parser(body: bytes) -> None:
    block = (b"\x00\xff\xff\xff\xff\xff\xff\x00" + body)[:127]
    reading = inspect_edid(block + bytes((-sum(block) & 255,)) + body)
    width, height, area = (reading.measures[key] for key in ("width_mm", "height_mm", "area_m2"))
    assert (width is None) == (height is None) == (area is None)
    msgspec.json.encode(reading)


@given(mm=_SIZES)
def test_a_size_is_accepted_unchanged_or_not_at_all(make_edid: Callable[..., bytes], mm: tuple[int, int]) -> None:
    cm = (min(255, round(mm[0] / 10)), min(255, round(mm[1] / 10)))
    edid = read_edid(make_edid(cm=cm, mm=mm))
    if edid.doubt is None and edid.size_from == "timing_mm":
        assert (edid.width_mm, edid.height_mm) == mm
    assert edid.doubt != "size_disagrees" or max(mm) > 2550 or min(mm) < 5  # a side under 5 mm rounds to 0 cm


@pytest.mark.parametrize(("cm", "doubt"), [(130, "size_disagrees"), (132, None), (158, None), (160, "size_disagrees")])
def test_millimetres_and_centimetres_may_differ_by_a_tenth(
    make_edid: Callable[..., bytes], cm: int, doubt: str
) -> None:
    assert read_edid(make_edid(cm=(cm, 81), mm=(1439, 809))).doubt == doubt


def test_with_one_wrong_bit_no_size_is_accepted(make_edid: Callable[..., bytes]) -> None:
    good = make_edid(cm=(143, 80), mm=(1428, 803))
    for at in range(128):
        damaged = bytearray(good)
        damaged[at] ^= 0x04
        assert inspect_edid(bytes(damaged)).measures["area_m2"] is None


def test_sixty_one_inches_is_the_first_size_of_a_square_metre(make_edid: Callable[..., bytes]) -> None:
    def area(mm: tuple[int, int]) -> float:
        return read_edid(make_edid(cm=(round(mm[0] / 10), round(mm[1] / 10)), mm=mm)).area_m2 or 0

    assert area((1328, 747)) < 1 < area((1350, 760))
