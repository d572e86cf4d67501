"""The terminal's PC speaker, if it has one: short tones through its input node (EV_SND).

Source: Documentation/input/event-codes.rst (EV_SND), drivers/input/misc/pcspkr.c. No sound card is used.
"""

import asyncio
import contextlib
import os
import struct
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from drivers.reading import YinongError

_EVENT = struct.Struct("@LLHHi")  # struct input_event
_EV_SYN, _EV_SND, _SND_BELL, _SND_TONE = 0, 0x12, 1, 2


class NoSpeaker(YinongError):  # noqa: N818
    """There is none, or it cannot be opened; the text states which."""


class Tone(NamedTuple):
    """`hz` 0 is a pause."""

    hz: int
    ms: int


class Speaker:
    """`play` returns immediately; a new tune stops the previous one. Times are the running loop's."""

    def __init__(self, fd: int, *, tones: bool = True) -> None:
        self._fd, self._tones = fd, tones
        self._remaining: deque[Tone] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def play(self, tune: Sequence[Tone]) -> None:
        self._remaining = deque(tune)
        self._next()

    def close(self) -> None:
        """Stop the sound and close the node."""
        self._remaining.clear()
        self._next()
        os.close(self._fd)

    def _next(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        tone = self._remaining.popleft() if self._remaining else Tone(0, 0)
        self._sound(tone.hz)
        if tone.ms:
            self._timer = asyncio.get_running_loop().call_later(tone.ms / 1000, self._next)

    def _sound(self, hz: int) -> None:
        code, value = (_SND_TONE, hz) if self._tones else (_SND_BELL, int(hz > 0))
        with contextlib.suppress(OSError):  # a removed speaker is silent
            os.write(self._fd, _EVENT.pack(0, 0, _EV_SND, code, value) + _EVENT.pack(0, 0, _EV_SYN, 0, 0))


def open_speaker(root: Path) -> Speaker:
    """The first speaker found. Raises NoSpeaker."""
    refused = "no input device makes sounds (is the module pcspkr loaded?)"
    for entry in sorted((root / "sys/class/input").glob("event*")):
        sounds = _sounds(entry / "device/capabilities/snd")
        if not sounds & (1 << _SND_TONE | 1 << _SND_BELL):
            continue
        node = root / "dev/input" / entry.name
        try:
            return Speaker(
                os.open(node, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC), tones=bool(sounds & 1 << _SND_TONE)
            )
        except OSError as error:
            refused = f"{node}: {error.strerror}"
    raise NoSpeaker(refused)


def _sounds(capabilities: Path) -> int:
    """The capability bits, which sysfs prints as hex words."""
    try:
        return int(capabilities.read_text("ascii").split()[-1], 16)
    except (OSError, ValueError, IndexError):
        return 0
