"""The child's answer to a condition: live picture, busy, black, frozen, broken. Pure.

Thresholds as measured with the kernel's test camera (black: mean 16.0, deviation 0.0). Black, covered and frozen are only
`attention`: night is dark, a privacy shutter is legitimate, nothing may move in a room. A second look decides, which the
caller makes.
"""

from itertools import pairwise

import msgspec

from drivers.reading import Condition, Reading, Reason, Scalar

_SETTLING = 3  # first frames, while the camera sets its exposure
_BLACK_MEAN, _BLACK_SIGMA, _COVERED_SIGMA = 20.0, 2.0, 3.0
_FROZEN_FRAMES = 3
# A JPEG of one even colour is its header and 20 bits an MCU of 128 pixels (4:2:2, ITU-T T.81 tables K.3 to K.6).
_EVEN_JPEG_HEADER, _EVEN_JPEG_PER_PIXEL = 700, 0.024


class FrameSeen(msgspec.Struct, frozen=True):
    """One frame's numbers (`drivers.video.capture.look_at`)."""

    bytes: int
    sequence: int | None = None
    time_us: int = 0
    damaged: bool = False
    mean: float | None = None
    sigma: float | None = None
    delta: float | None = None
    same: bool | None = None


class FormatSeen(msgspec.Struct, frozen=True):
    fourcc: str
    width: int
    height: int


class NodeSeen(msgspec.Struct, frozen=True):
    """The result of one node."""

    node: str
    step: str
    driver: str = ""
    card: str = ""
    bus: str = ""
    camera: bool | None = None  # None: its capabilities could not be queried
    multiplanar: bool = False  # a camera of an interface that is not supported
    errno: str | None = None
    timeout: bool = False
    format: FormatSeen | None = None
    frames: tuple[FrameSeen, ...] = ()

    @property
    def busy(self) -> bool:
        return self.errno == "EBUSY" and self.camera is not False


class Answer(msgspec.Struct, frozen=True):
    """The child's complete answer."""

    nodes: tuple[NodeSeen, ...]


def deciding(answer: Answer) -> NodeSeen | None:
    """The node that the reading is about: one that delivered, else a busy one, else one that failed; None: no camera."""

    def rank(seen: NodeSeen) -> int:
        if seen.camera and seen.step == "done":
            return 0
        return 1 if seen.busy else 2 if seen.camera else 4 if seen.multiplanar else 3

    tried = [seen for seen in answer.nodes if (seen.camera is not False or seen.multiplanar) and seen.errno != "ENOTTY"]
    return min(tried, key=rank, default=None)


def judge(seen: NodeSeen, label: str = "", by: str = "") -> Reading:
    """The reading of a node that is a camera, or whose capabilities could not be queried.

    `label` is its name if it did not answer; `by` is the process that has it open, if known.
    """
    name = seen.card or label or seen.node
    condition, code = _failed(seen) or _pictures(seen)
    params: dict[str, str | int | float] = {"name": name}
    if code == "no_permission":
        params = {"path": seen.node}
    elif code == "camera_busy" and by:
        code, params = "camera_in_use", params | {"by": by}
    elif code in ("io_error", "refused"):
        params |= {"error": seen.errno or "?", "step": seen.step}
    return Reading(condition=condition, reason=Reason(code, params), measures=_measures(seen))


def _failed(seen: NodeSeen) -> tuple[Condition, str] | None:
    """How it ended before all frames were captured; None if all were."""
    if seen.busy:
        return Condition.IN_USE, "camera_busy"
    if seen.timeout:
        return Condition.FAULTY, "no_frames"
    match seen.errno:
        case None:
            return None
        case "EACCES" | "EPERM":
            return Condition.UNKNOWN, "no_permission"
        case "ENOENT":
            return Condition.UNKNOWN, "no_node"
        case "ENODEV" | "ENXIO":
            return Condition.FAULTY, "camera_gone"
        case "ENOSPC":
            return Condition.FAULTY, "no_bandwidth"
        case "EIO" | "EPROTO" | "EPIPE":
            return Condition.FAULTY, "io_error"
        case _:
            return Condition.FAULTY, "refused"


def _pictures(seen: NodeSeen) -> tuple[Condition, str]:
    """The condition that the frames show."""
    sound = [frame for frame in seen.frames if frame.bytes and not frame.damaged]
    if not seen.frames:
        return Condition.UNKNOWN, "multiplanar" if seen.multiplanar else "not_tried"
    if not sound:
        return Condition.FAULTY, "no_frames"
    if len(sound) <= len(seen.frames) // 2:
        return Condition.ATTENTION, "damaged_frames"
    settled = sound[_SETTLING:] or sound[-1:]
    if all(_black(frame) for frame in settled):
        return Condition.ATTENTION, "black"
    if all(_uniform(frame, seen.format) for frame in settled):
        return Condition.ATTENTION, "covered"
    if len(sound) >= _FROZEN_FRAMES and all(frame.same for frame in sound[1:]):
        return (Condition.ATTENTION, "frozen") if _advancing(sound) else (Condition.FAULTY, "no_frames")
    return Condition.WORKING, "picture"


def _black(frame: FrameSeen) -> bool:
    return (
        frame.mean is not None and frame.sigma is not None and frame.mean <= _BLACK_MEAN and frame.sigma < _BLACK_SIGMA
    )


def _uniform(frame: FrameSeen, picture: FormatSeen | None) -> bool:
    if frame.sigma is not None:
        return frame.sigma < _COVERED_SIGMA
    if picture is None or picture.fourcc not in ("MJPG", "JPEG"):
        return False
    return frame.bytes < _EVEN_JPEG_HEADER + _EVEN_JPEG_PER_PIXEL * picture.width * picture.height


def _advancing(frames: list[FrameSeen]) -> bool:
    """Whether each frame is new by the driver's count; a driver that does not count is trusted."""
    counts = [frame.sequence for frame in frames if frame.sequence is not None]
    return all(a < b for a, b in pairwise(counts))


def _measures(seen: NodeSeen) -> dict[str, Scalar]:
    if not seen.frames:
        return {"frames": 0} if seen.timeout else {}
    last = seen.frames[-1]
    first_us, last_us = seen.frames[0].time_us, last.time_us
    deltas = [frame.delta for frame in seen.frames if frame.delta is not None]
    return {
        "frames": len(seen.frames),
        "frame_bytes": last.bytes,
        "fps": round((len(seen.frames) - 1) * 1e6 / (last_us - first_us), 1) if last_us > first_us else None,
        "width_px": seen.format.width if seen.format else None,
        "height_px": seen.format.height if seen.format else None,
        "luma_mean": last.mean,
        "luma_sigma": last.sigma,
        "frame_delta": max(deltas) if deltas else None,
    }
