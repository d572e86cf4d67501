"""Numbers from a raw frame: brightness, uniformity, difference from the last. No picture leaves this module.

Standard library only. A frame is sub-sampled to at most 64 x 36 points of brightness, so that a look takes milliseconds.
"""

from math import sqrt
from typing import NamedTuple, TypeAlias

from drivers.v4l2 import LUMA, Format

RAW = tuple(LUMA)
COMPRESSED = ("MJPG", "JPEG")

_COLUMNS, _ROWS = 64, 36

Samples: TypeAlias = bytes  # brightness, 0 to 255, of the points of the grid


class Brightness(NamedTuple):
    """Of one frame: mean and standard deviation on the scale 0 to 255 (black is 16 in most cameras' range)."""

    mean: float
    sigma: float


def samples(data: memoryview, picture: Format) -> Samples:
    """Brightness at the points of the grid; empty if the format is not raw or the frame is too short for one row."""
    layout = LUMA.get(picture.fourcc)
    if not layout or picture.width < 1 or picture.height < 1:
        return b""
    pixel, first = layout
    line = max(picture.line_bytes, picture.width * pixel)
    across = max(1, picture.width // _COLUMNS) * pixel
    down = max(1, picture.height // _ROWS)
    rows = range(down // 2, min(picture.height, len(data) // line), down)
    return b"".join(data[row * line + first : row * line + picture.width * pixel : across].tobytes() for row in rows)


def brightness(points: Samples) -> Brightness:
    """Mean and standard deviation. `points` must not be empty."""
    mean = sum(points) / len(points)
    square = sum(value * value for value in points) / len(points)
    return Brightness(round(mean, 2), round(sqrt(max(0.0, square - mean * mean)), 2))


def difference(before: Samples, after: Samples) -> float | None:
    """Mean absolute difference of two frames; None if they cannot be compared."""
    if not before or len(before) != len(after):
        return None
    return round(sum(abs(a - b) for a, b in zip(before, after, strict=True)) / len(before), 3)
