"""Microphones and speakers as ALSA lists them, and whether they are in use. Nothing is opened, no sound is recorded.

`/proc/asound/card*/pcm*c` are inputs, `pcm*p` outputs; `sub*/status` is `closed`, or `state: RUNNING` with `hw_ptr`, the
position of the hardware in its buffer: if it moves between two readings, the stream is live.
"""

import asyncio
import re
from pathlib import Path
from typing import Any, NamedTuple

_APART_S = 0.05  # between two readings of a running stream
_CARD = re.compile(r"^\s*(\d+) \[(.+?)\s*\]: (.+)$", re.M)
_FIELD = re.compile(r"^(\w+)\s*: (.+)$", re.M)


class Stream(NamedTuple):
    """A stream that is running."""

    path: Path
    capture: bool
    hw_ptr: str
    owner_pid: str


class Sound(NamedTuple):
    """The sound hardware. An input of the codec counts whether or not a microphone is plugged into it."""

    microphones: int
    speakers: int
    microphone_in_use: bool
    speaker_in_use: bool
    raw: dict[str, Any]  # the deciding values, for the evidence


async def sound(root: Path) -> Sound:
    """The present state of the sound hardware; takes 50 ms if a stream is running, else a few small reads."""
    place = root / "proc/asound"
    pcms = sorted(place.glob("card*/pcm*[cp]"))
    running = _running(pcms)
    if running:
        await asyncio.sleep(_APART_S)
    later = {stream.path: stream.hw_ptr for stream in _running(pcms)}
    moving = [stream for stream in running if later.get(stream.path, stream.hw_ptr) != stream.hw_ptr]
    raw: dict[str, Any] = {
        "cards": [f"{number} {name}" for number, name, _ in _CARD.findall(_text(place / "cards"))],
        "inputs": [_short(pcm) for pcm in pcms if pcm.name.endswith("c")],
        "outputs": [_short(pcm) for pcm in pcms if pcm.name.endswith("p")],
    }
    if running:
        raw["running"] = [
            {"pcm": _short(s.path.parent.parent), "owner_pid": s.owner_pid, "hw_ptr_moves": s in moving}
            for s in running
        ]
    return Sound(
        microphones=len(raw["inputs"]),
        speakers=len(raw["outputs"]),
        microphone_in_use=any(stream.capture for stream in moving),
        speaker_in_use=any(not stream.capture for stream in moving),
        raw=raw,
    )


def _running(pcms: list[Path]) -> list[Stream]:
    found: list[Stream] = []
    for pcm in pcms:
        for status in sorted(pcm.glob("sub*/status")):
            fields = dict(_FIELD.findall(_text(status)))
            if fields.get("state") == "RUNNING":
                found.append(
                    Stream(status, pcm.name.endswith("c"), fields.get("hw_ptr", ""), fields.get("owner_pid", ""))
                )
    return found


def _short(pcm: Path) -> str:
    """`card0/pcm0c`."""
    return f"{pcm.parent.name}/{pcm.name}"


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:  # a card can disappear between the listing and the reading
        return ""
