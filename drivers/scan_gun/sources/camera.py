"""The camera as scan gun while an officer's command runs: a child process reads codes, delivered as captures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.cameras import nodes, resolve
from drivers.child import stream_child
from drivers.reading import CannotLook
from drivers.scan_gun.capture import DAMAGED, RawCapture
from drivers.scan_gun.decoding.charset import Decoded, Undecodable, decode
from drivers.symbology import ECI_MODES, is_identifier

CAMERA_ID = "camera"  # in place of a table's id
_MAX_NODES = 8


async def read_codes(root: Path, device: str, seconds: float, deliver: Callable[[RawCapture], None]) -> None:
    """Deliver the codes that the camera sees for `seconds`. `device`: a path, or "auto" for the first with raw pictures.

    Errors: CannotLook (`camera_none`, `camera_taken`, `camera_jpeg_only`, `camera_no_picture`, `camera_failed`, `driver_failed`).
    Cancelling ends the child.
    """
    there = nodes(root)
    paths = [node.path for node in there] if device == "auto" else [path for path in [resolve(root, device)] if path]
    if not paths:
        raise CannotLook("camera_none")
    identities = {node.path: node.identity for node in there}
    camera = paths[0]

    def on_message(message: dict[str, Any]) -> None:
        nonlocal camera
        if "error" in message:
            raise CannotLook(
                str(message["error"]), name=str(message.get("name", "")), cause=str(message.get("cause", ""))
            )
        if "camera" in message:
            camera = str(message["camera"])
        else:
            identity = identities.get("/dev/" + Path(camera).name, camera)
            deliver(capture_of(str(message["hex"]), int(message["start_ms"]), int(message["end_ms"]), identity))

    arguments = {"nodes": [str(root / path.lstrip("/")) for path in paths[:_MAX_NODES]]}
    await stream_child("drivers.scan_gun.sources.camera_child", arguments, on_message, seconds)


def capture_of(raw: str, start_ms: int, end_ms: int, identity: str) -> RawCapture:
    """The capture of one code as `camera_child` reports it."""
    data = bytes.fromhex(raw)
    symbology, data = _split(data)
    try:
        decoded, damaged = decode(data, eci_mode=symbology in ECI_MODES), False
    except Undecodable:
        decoded, damaged = Decoded(data.decode("utf-8", "replace"), "unknown", "undecodable"), True
    return RawCapture(
        gun=CAMERA_ID,
        identity=identity,
        source="camera",
        raw=raw,
        symbology=symbology,
        text="" if damaged else decoded.text,
        seen=decoded.text if damaged else "",
        charset=decoded.charset,
        charset_because=decoded.because,
        start_mono_ms=start_ms,
        end_mono_ms=end_ms,
        flags=(DAMAGED,) if damaged else (),
        damage="undecodable" if damaged else None,
    )


def _split(data: bytes) -> tuple[str | None, bytes]:
    head = data[1:3].decode("latin-1")
    return (head, data[3:]) if data[:1] == b"]" and is_identifier(head) else (None, data)
