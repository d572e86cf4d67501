"""Reads a printed sheet of control cards as a gun would: the SVG's dark modules through a real QR decoder."""

import re
from html import unescape

import zxingcpp

PIXELS = 4  # a module

_CARD = re.compile(r'viewBox="0 0 (\d+) \d+".*?<path d="([^"]*)"/></svg><h2>(.*?)</h2>')
_RUN = re.compile(r"M(\d+) (\d+)h(\d+)v1h-\3z")


def texts_of(sheet: str) -> dict[str, str]:
    """What stands over a card -> the text of its QR code."""
    return {unescape(title): _decoded(int(side), path) for side, path, title in _CARD.findall(sheet)}


def _decoded(side: int, path: str) -> str:
    assert _RUN.sub("", path) == "", "the path holds something else than runs of dark modules"
    places = [(int(x), int(y)) for x, y, _ in _RUN.findall(path)]
    assert min(min(place) for place in places) == 4, "a quiet zone of 4 modules (ISO/IEC 18004)"
    width = side * PIXELS
    picture = bytearray(b"\xff" * (width * width))
    for x, y, length in (map(int, run) for run in _RUN.findall(path)):
        for row in range(y * PIXELS, (y + 1) * PIXELS):
            picture[row * width + x * PIXELS : row * width + (x + length) * PIXELS] = bytes(length * PIXELS)
    found = zxingcpp.read_barcodes(memoryview(picture).cast("B", (width, width)))  # type: ignore[call-overload]
    assert len(found) == 1, "no QR code that a gun could read"
    return found[0].text
