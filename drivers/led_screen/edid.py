"""EDID (VESA E-EDID 1.3 and 1.4): identity and size that a display states. Pure.

The size in an EDID is often not a size: projectors store 0 x 0, EDID 1.4 allows an aspect ratio in its place, cheap
makers store 160 x 90 for 16:9. So a size is accepted only if nothing in the data contradicts it; otherwise
`doubt` states why not, and width and height are None.
"""

from functools import lru_cache
from math import hypot
from typing import Literal, NamedTuple

import msgspec

BLOCK = 128
_HEADER = b"\x00\xff\xff\xff\xff\xff\xff\x00"
_MM_PER_INCH = 25.4
_CM_LIMIT = 255  # the largest value of a centimetre byte: a larger screen has the limit
_MAX_DIAGONAL_MM = 4000
_DISAGREE = 0.10
# An aspect ratio in place of a size: as 16 x 9 cm (= 160 x 90 mm), or in the millimetres of the timing.
_RATIOS = frozenset(((160, 90), (160, 100), (16, 9), (16, 10), (4, 3), (40, 30)))
# Also 16:9 or 16:10, but it may be the real size (a 72-inch set): desktops treat it as a ratio, here it has to be measured.
_RATIO_OR_SIZE = frozenset(((1600, 900), (1600, 1000)))

Doubt = Literal[
    "edid_short",
    "edid_no_header",
    "edid_checksum",
    "size_variable",
    "size_is_ratio",
    "size_disagrees",
    "size_too_large",
]
DAMAGE: frozenset[Doubt] = frozenset(("edid_short", "edid_no_header", "edid_checksum"))


class Edid(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of an EDID. A field is None if it is missing or cannot be read."""

    doubt: Doubt | None  # why no size is accepted; None if one is
    manufacturer: str | None = None  # three letters of the PNP register
    product: int | None = None
    serial: str | None = None
    name: str | None = None
    year: int | None = None  # of manufacture or model
    version: str | None = None  # "1.3", "1.4"
    width_px: int | None = None  # preferred mode
    height_px: int | None = None
    width_mm: int | None = None  # of the picture, accepted
    height_mm: int | None = None
    size_from: Literal["timing_mm", "bytes_cm"] | None = None
    maybe_ratio: bool = False  # the accepted size is one that is also used for 16:9 or 16:10
    claimed_mm: tuple[int, int] | None = None  # first timing, unchanged
    claimed_cm: tuple[int, int] | None = None  # bytes 21 and 22, unchanged
    blocks: int = 0  # number of complete blocks of 128 bytes
    bad_blocks: tuple[int, ...] = ()  # those with a wrong checksum

    @property
    def area_m2(self) -> float | None:
        """Of the picture, to 1 cm2; None if no size is accepted."""
        if self.width_mm is None or self.height_mm is None:
            return None
        return round(self.width_mm * self.height_mm / 1e6, 4)

    @property
    def diagonal_in(self) -> float | None:
        if self.width_mm is None or self.height_mm is None:
            return None
        return round(hypot(self.width_mm, self.height_mm) / _MM_PER_INCH, 1)


@lru_cache(maxsize=16)
def read_edid(data: bytes) -> Edid:
    """The EDID in `data` (base block of 128 bytes, then extension blocks). Never raises: invalid data has a `doubt`.

    Size: millimetres of the first detailed timing (bytes 54 to 71) if it has them, else the centimetres of bytes 21
    and 22. With a wrong checksum of the base block no size is accepted; an extension's checksum does not matter, because no
    size is read from it. Numbering of bytes: VESA E-EDID Standard, release A2, section 3.
    """
    if len(data) < BLOCK:
        return Edid(doubt="edid_short")
    blocks = [data[at : at + BLOCK] for at in range(0, len(data) - BLOCK + 1, BLOCK)]
    bad = tuple(number for number, block in enumerate(blocks) if sum(block) % 256)
    base = blocks[0]
    if base[:8] != _HEADER:
        return Edid(doubt="edid_no_header", blocks=len(blocks), bad_blocks=bad)
    timing = _timing(base[54:72])
    claimed_cm = (base[21], base[22])
    size = _size(timing.mm if timing else None, claimed_cm)
    doubt = "edid_checksum" if 0 in bad else size.doubt
    return Edid(
        doubt=doubt,
        manufacturer=_letters(base[8] << 8 | base[9]),
        product=int.from_bytes(base[10:12], "little"),
        serial=_text(base, 0xFF) or _number(base[12:16]),
        name=_text(base, 0xFC),
        year=1990 + base[17] if base[17] else None,
        version=f"{base[18]}.{base[19]}",
        width_px=timing.px[0] if timing else None,
        height_px=timing.px[1] if timing else None,
        width_mm=None if doubt else size.mm[0],
        height_mm=None if doubt else size.mm[1],
        size_from=None if doubt else size.read_from,
        maybe_ratio=not doubt and size.mm in _RATIO_OR_SIZE,
        claimed_mm=timing.mm if timing else None,
        claimed_cm=claimed_cm,
        blocks=len(blocks),
        bad_blocks=bad,
    )


class _Size(NamedTuple):
    doubt: Doubt | None
    mm: tuple[int, int] = (0, 0)
    read_from: Literal["timing_mm", "bytes_cm"] = "timing_mm"


def _size(mm: tuple[int, int] | None, cm: tuple[int, int]) -> _Size:
    """The size that is consistent with both fields, or why none is accepted."""
    if cm == (0, 0):  # "size undefined or variable": a projector, regardless of its timing
        return _Size("size_variable")
    if 0 in cm:  # EDID 1.4: the other byte is an aspect ratio; in 1.3 it means nothing
        return _Size("size_is_ratio")
    from_cm = (cm[0] * 10, cm[1] * 10)
    if from_cm in _RATIOS or mm in _RATIOS:
        return _Size("size_is_ratio")
    if mm is None or 0 in mm:
        return _bounded(from_cm, "bytes_cm")
    if any(_disagree(a, b) for a, b in zip(mm, cm, strict=True)):
        return _Size("size_disagrees")
    return _bounded(mm, "timing_mm")


def _bounded(mm: tuple[int, int], read_from: Literal["timing_mm", "bytes_cm"]) -> _Size:
    return _Size("size_too_large") if hypot(*mm) > _MAX_DIAGONAL_MM else _Size(None, mm, read_from)


def _disagree(mm: int, cm: int) -> bool:
    """Differ by more than 10 % of the smaller, without the rounding to whole centimetres (5 mm)."""
    if cm == _CM_LIMIT and mm >= _CM_LIMIT * 10:
        return False
    apart = max(0, abs(mm - cm * 10) - 5)
    return apart > _DISAGREE * min(mm, cm * 10)


class _Timing(NamedTuple):
    px: tuple[int, int]
    mm: tuple[int, int]


def _timing(d: bytes) -> _Timing | None:
    """A detailed timing descriptor (18 bytes); None if it is a text descriptor (pixel clock 0)."""
    if not (d[0] | d[1]):
        return None
    px = (d[2] | (d[4] & 0xF0) << 4, d[5] | (d[7] & 0xF0) << 4)
    if d[17] & 0x80:  # interlaced: the lines of one field
        px = (px[0], px[1] * 2)
    return _Timing(px, (d[12] | (d[14] & 0xF0) << 4, d[13] | (d[14] & 0x0F) << 8))


def _letters(packed: int) -> str | None:
    """Three letters of 5 bits each, A = 1."""
    codes = (packed >> 10 & 31, packed >> 5 & 31, packed & 31)
    return "".join(chr(64 + code) for code in codes) if all(1 <= code <= 26 for code in codes) else None


def _text(base: bytes, tag: int) -> str | None:
    """The text descriptor `tag` (0xFC name, 0xFF serial): up to 13 characters, ended by a line feed."""
    for at in (54, 72, 90, 108):
        if base[at : at + 3] == b"\0\0\0" and base[at + 3] == tag:
            text = base[at + 5 : at + 18].split(b"\n", 1)[0].decode("cp437")
            return "".join(c for c in text if c.isprintable()).strip() or None
    return None


def _number(serial: bytes) -> str | None:
    """The serial number of bytes 12 to 15; None for 0 and the placeholders of cheap makers."""
    number = int.from_bytes(serial, "little")
    return None if number in (0, 1, 0x01010101, 0xFFFFFFFF) else str(number)
