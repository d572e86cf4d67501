"""EDIDs by the byte, and the recorded cases made from them.

`python tests/drivers/led_screen/conftest.py` writes every case's `edid.bin` again; `expected.json` is written by a person.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "cases"


def edid(
    *,
    maker: str = "XYZ",
    product: int = 0x0102,
    number: int = 0,
    name: str = "TV",
    serial: str = "",
    cm: tuple[int, int] = (0, 0),
    mm: tuple[int, int] | None = None,
    px: tuple[int, int] = (1920, 1080),
    minor: int = 3,
    extensions: int = 0,
) -> bytes:
    """A base block with one detailed timing of 60 Hz (`mm` None: a text descriptor stands in its place), and CTA blocks."""
    packed = 0
    for letter in maker:
        packed = packed << 5 | ord(letter) - 64
    block = bytearray(b"\x00\xff\xff\xff\xff\xff\xff\x00" + packed.to_bytes(2, "big") + product.to_bytes(2, "little"))
    block += number.to_bytes(4, "little") + bytes((10, 2020 - 1990, 1, minor))
    block += bytes((0x80, *cm, 120, 0x0A)) + bytes.fromhex("ee91a3544c99260f5054") + bytes(3) + b"\x01\x01" * 8
    block += _timing(px, mm) if mm is not None else _text(0xFE, "no timing")
    block += _text(0xFC, name) + (_text(0xFF, serial) if serial else _text(0xFE, "none"))
    block += bytes((0, 0, 0, 0xFD, 0, 50, 75, 30, 83, 17, 0)) + b"\n      "
    block += bytes((extensions,))
    return _summed(block) + _summed(bytearray(b"\x02\x03\x04\x00" + bytes(123))) * extensions


def _timing(px: tuple[int, int], mm: tuple[int, int]) -> bytes:
    blank = (280, 45)
    clock = (px[0] + blank[0]) * (px[1] + blank[1]) * 60 // 10_000
    return clock.to_bytes(2, "little") + bytes(
        (
            px[0] & 255,
            blank[0] & 255,
            px[0] >> 8 << 4 | blank[0] >> 8,
            px[1] & 255,
            blank[1] & 255,
            px[1] >> 8 << 4 | blank[1] >> 8,
            88,
            44,
            0x45,
            0,
            mm[0] & 255,
            mm[1] & 255,
            mm[0] >> 8 << 4 | mm[1] >> 8,
            0,
            0,
            0x1E,
        )
    )


def _text(tag: int, text: str) -> bytes:
    return bytes((0, 0, 0, tag, 0)) + (text + "\n" if len(text) < 13 else text)[:13].ljust(13).encode("ascii")


def _summed(block: bytearray) -> bytes:
    return bytes(block) + bytes((-sum(block) & 255,))


def _broken(data: bytes) -> bytes:
    return data[:127] + bytes((data[127] ^ 0x55,))


EDIDS = {
    "monitor_24_inch": edid(maker="AOC", name="24B2W1", serial="GXYM2HA000123", cm=(53, 30), mm=(527, 296)),
    "tv_55_inch_only_cm": edid(maker="HEC", name="HISENSE", cm=(121, 68), mm=(0, 0)),
    "tv_60_inch": edid(maker="SHP", name="SHARP HDMI", cm=(133, 75), mm=(1328, 747)),
    "tv_61_inch": edid(maker="TCL", name="TCL TV", cm=(135, 76), mm=(1350, 760)),
    "tv_65_inch": edid(maker="SAM", name="SAMSUNG", number=16780800, cm=(143, 80), mm=(1428, 803), px=(3840, 2160)),
    "tv_65_inch_with_cta_extension": edid(maker="GSM", name="LG TV SSCR2", cm=(144, 81), mm=(1439, 809), extensions=1),
    "tv_65_inch_extension_damaged": edid(maker="GSM", name="LG TV", cm=(144, 81), mm=(1439, 809), extensions=1)[:-1] + b"\x99",
    "wall_of_3_metres_past_the_cm_limit": edid(maker="XYZ", name="VIDEO", cm=(255, 169), mm=(3000, 1690)),
    "projector_no_size": edid(maker="EPS", name="EPSON PJ", cm=(0, 0), mm=(0, 0)),
    "projector_size_only_in_timing": edid(maker="EPS", name="EPSON PJ", cm=(0, 0), mm=(1600, 900)),
    "aspect_code_in_place_of_size": edid(maker="BNQ", name="BenQ PJ", cm=(0x4F, 0), mm=(0, 0), minor=4),
    "aspect_code_beside_a_timing_with_size": edid(maker="BNQ", name="BenQ PJ", cm=(0x4F, 0), mm=(1439, 809), minor=4),
    "ratio_stored_as_mm": edid(maker="KTC", name="HDMI TV", cm=(0x90, 0x51), mm=(160, 90)),
    "ratio_stored_as_cm": edid(maker="KTC", name="HDMI TV", cm=(16, 9), mm=(0, 0)),
    "ratio_stored_as_cm_and_mm": edid(maker="KTC", name="HDMI TV", cm=(16, 9), mm=(160, 90)),
    "maybe_ratio_1600_by_900": edid(maker="SAM", name="SAMSUNG", cm=(160, 90), mm=(1600, 900)),
    "bad_checksum": _broken(edid(maker="SAM", name="SAMSUNG", cm=(143, 80), mm=(1428, 803))),
    "timing_and_cm_disagree": edid(maker="CHH", name="CHANGHONG", cm=(88, 49), mm=(1439, 809)),
    "diagonal_of_five_metres": edid(maker="XYZ", name="BIG", cm=(255, 245), mm=(4095, 2450)),
    "sending_card": edid(maker="NVS", name="NovaStar HD", cm=(53, 30), mm=(527, 296)),
    "no_timing_only_cm": edid(maker="PHL", name="PHL 243V5", cm=(52, 29)),
    "cut_short": edid(cm=(143, 80), mm=(1428, 803))[:100],
    "no_header": bytes(128),
    "empty": b"",
}  # fmt: skip


@pytest.fixture(scope="session")
def make_edid() -> Callable[..., bytes]:
    return edid


@pytest.fixture(params=sorted(EDIDS))
def case(request: pytest.FixtureRequest) -> Path:
    """Folder of a recorded case: `edid.bin` and `expected.json`."""
    return CASES / request.param


@pytest.fixture(scope="session")
def generated() -> dict[str, bytes]:
    return EDIDS


if __name__ == "__main__":
    for case_name, data in EDIDS.items():
        (CASES / case_name).mkdir(exist_ok=True)
        (CASES / case_name / "edid.bin").write_bytes(data)
