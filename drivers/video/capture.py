"""The child process that opens the camera: `python -m drivers.video.capture '{"nodes": ["/dev/video0"]}'`.

A hung camera can block a system call forever, so the daemon never opens one itself. Standard library only. Prints one JSON
object; every number is a measurement, no picture is stored. Format of the object: `look_at`.
"""

import errno
import json
import sys
from typing import Any
from zlib import crc32

from drivers.v4l2 import Camera, Format, Frame, NoFrame
from drivers.video.luma import COMPRESSED, RAW, Samples, brightness, difference, samples

_FIRST_FRAME_S = 4.0  # a USB camera first starts its sensor and sets its exposure
_NEXT_FRAME_S = 2.0
_SIZE = (640, 480)


def look_at(nodes: list[str], frames: int = 5, pictures: bool = True) -> dict[str, Any]:
    """`{"nodes": [one dict for each node that was tried]}`; the first that delivers, or is busy, ends the search.

    A node's dict has `node`, `step` (the step reached: open, querycap, format, stream, frames, done) and, depending on the
    step, `errno` (name) or `timeout`, `driver`, `card`, `bus`, `camera` (whether it can be captured from),
    `multiplanar` (a camera that cannot), `format`, `frames`.
    With `pictures` false only a node's capabilities are queried. A frame: `bytes`, `sequence`, `time_us`, `damaged`, and for
    raw formats `mean`, `sigma`; `delta` (mean difference to the previous frame) and `same` (identical to the previous frame).
    """
    seen: list[dict[str, Any]] = []
    for node in nodes:
        answer: dict[str, Any] = {"node": node, "step": "open"}
        seen.append(answer)
        try:
            with Camera(node) as camera:
                _capture(camera, answer, frames, pictures)
        except NoFrame:
            answer["timeout"] = True
        except OSError as error:
            answer["errno"] = errno.errorcode.get(error.errno or 0, str(error.errno))
        if answer.get("camera") and (answer["step"] == "done" or answer.get("errno") == "EBUSY"):
            break
    return {"nodes": seen}


def _capture(camera: Camera, answer: dict[str, Any], frames: int, pictures: bool) -> None:
    answer["step"] = "querycap"
    who = camera.capability()
    answer |= {"driver": who.driver, "card": who.card, "bus": who.bus, "camera": who.is_camera}
    if who.is_multiplanar:
        answer["multiplanar"] = True
    if not who.is_camera or not pictures:
        answer["step"] = "done"
        return
    answer["step"] = "format"
    picture = _choose(camera)
    answer["format"] = picture._asdict()
    answer["step"] = "stream"
    if who.streams:
        camera.stream()
    answer |= {"step": "frames", "frames": []}
    last: tuple[int, Samples] | None = None
    for number in range(frames):
        timeout_s = _NEXT_FRAME_S if number else _FIRST_FRAME_S
        frame = camera.frame(timeout_s) if who.streams else camera.read_frame(timeout_s, picture.image_bytes)
        numbers, last = _measured(frame, picture, last)
        answer["frames"].append(numbers)
    answer["step"] = "done"


def _choose(camera: Camera) -> Format:
    """A small raw format if the camera has one, else JPEG, else the current format. Setting it fails if the camera is busy."""
    offered = camera.formats()
    wanted = next((fourcc for fourcc in (*RAW, *COMPRESSED) if fourcc in offered), None)
    now = camera.format()
    return camera.set_format(wanted or now.fourcc, *(_SIZE if wanted else (now.width, now.height)))


def _measured(
    frame: Frame, picture: Format, last: tuple[int, Samples] | None
) -> tuple[dict[str, Any], tuple[int, Samples]]:
    """The frame's numbers, and what the next frame is compared with (a checksum and the sub-sampled brightness)."""
    points = samples(frame.data, picture)
    check = crc32(frame.data)
    numbers: dict[str, Any] = {"bytes": len(frame.data), "sequence": frame.sequence, "time_us": frame.time_us}
    if frame.damaged:
        numbers["damaged"] = True
    if points:
        numbers |= brightness(points)._asdict()
    if last:
        numbers["same"] = last[0] == check
        delta = difference(last[1], points)
        if delta is not None:
            numbers["delta"] = delta
    return numbers, (check, points)


if __name__ == "__main__":
    json.dump(look_at(**json.loads(sys.argv[1])), sys.stdout)
