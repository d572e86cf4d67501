"""The child process that reads codes from a camera: `python -m drivers.scan_gun.sources.camera_child '{"nodes": [NODE]}'`.

Prints JSON lines: `{"camera": node, "format": [fourcc, width, height]}` once it is set up, then for each code
`{"hex": …, "start_ms": …, "end_ms": …}` (CLOCK_BOOTTIME), until it is killed; or `{"error": reason, …}` and exits.

`hex` is what a gun that is set to AIM identifiers would send: `]cm`, then the data with ECIs as `\\nnnnnn` and doubled
backslashes if the identifier declares ECIs (zxing-cpp's text mode HexECI, ISO/IEC 15424).
"""

import errno
import json
import sys
from time import CLOCK_BOOTTIME, clock_gettime_ns
from typing import Any, NamedTuple

import zxingcpp

from drivers.v4l2 import LUMA, Camera, Format, Frame, NoFrame

SIZE = (1280, 720)
REPEAT_AFTER_MS = 1500  # a code that was out of the picture for this long and returns is another scan
AGREE_WITHIN_MS = 1000  # at most this time between two pictures that agree

_FIRST_FRAME_S, _NEXT_FRAME_S = 4.0, 2.0


class Code(NamedTuple):
    hex: str
    start_ms: int
    end_ms: int


class Views:
    """From the codes of each picture to scans: a code that two pictures agree on, once while it stays in view."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, bool]] = {}  # first and last time, and whether it was reported

    def picture(self, codes: list[str], at_ms: int) -> list[Code]:
        """A code misread in one picture is not reported: a plausible wrong code is worse than none."""
        confirmed: list[Code] = []
        for code in dict.fromkeys(codes):
            first_ms, last_ms, known = self._seen.get(code, (at_ms, at_ms, False))
            if at_ms - last_ms > (REPEAT_AFTER_MS if known else AGREE_WITHIN_MS):
                first_ms, known = at_ms, False
            if not known and first_ms < at_ms:
                confirmed.append(Code(code, first_ms, at_ms))
                known = True
            self._seen[code] = (first_ms, at_ms, known)
        self._seen = {code: seen for code, seen in self._seen.items() if at_ms - seen[1] <= REPEAT_AFTER_MS}
        return confirmed


def codes_in(data: memoryview, picture: Format) -> list[str]:
    """Every code of a raw frame in the hex form above; empty if the frame is too short for its format."""
    pixel, first = LUMA[picture.fourcc]
    if picture.width < 1:
        return []
    line = max(picture.line_bytes, picture.width * pixel)
    height = min(picture.height, len(data) // line)
    if height < 1:
        return []
    grey = b"".join(
        data[row * line + first : row * line + picture.width * pixel : pixel].tobytes() for row in range(height)
    )
    image = memoryview(grey).cast("B", (height, picture.width))
    found = zxingcpp.read_barcodes(image, text_mode=zxingcpp.TextMode.HexECI)
    return [code.text.replace(" ", "").lower() for code in found if code.valid]


def run(nodes: list[str]) -> None:
    """Read codes from the first node that is a camera with raw pictures."""
    error: dict[str, Any] = {"error": "camera_none"}
    for node in nodes:
        try:
            with Camera(node) as camera:
                who = camera.capability()
                if not who.is_camera:
                    continue
                offered = next((fourcc for fourcc in camera.formats() if fourcc in LUMA), None)
                if offered is None:
                    error = {"error": "camera_jpeg_only", "name": who.card}
                    continue
                picture = camera.set_format(offered, *SIZE)
                if who.streams:
                    camera.stream()
                _send({"camera": node, "format": [picture.fourcc, picture.width, picture.height]})
                _read(camera, picture, streams=who.streams)
        except NoFrame:
            error = {"error": "camera_no_picture", "name": node}
        except OSError as failed:
            busy = failed.errno == errno.EBUSY
            error = {"error": "camera_taken" if busy else "camera_failed", "name": node, "cause": str(failed.strerror)}
        if error["error"] == "camera_taken":
            break
    _send(error)


def _read(camera: Camera, picture: Format, *, streams: bool) -> None:
    views, timeout_s = Views(), _FIRST_FRAME_S
    while True:
        frame: Frame = camera.frame(timeout_s) if streams else camera.read_frame(timeout_s, picture.image_bytes)
        timeout_s = _NEXT_FRAME_S
        if not frame.damaged:
            at_ms = clock_gettime_ns(CLOCK_BOOTTIME) // 1_000_000
            for code in views.picture(codes_in(frame.data, picture), at_ms):
                _send(code._asdict())


def _send(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    run(**json.loads(sys.argv[1]))
