"""What the officer hears after a commit, never before: the gun's own sound (BEL or ACK down its line), the terminal's speaker."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from drivers.scan_gun.driver import ScanGun
from drivers.speaker import NoSpeaker, Speaker, Tone, open_speaker

log = logging.getLogger(__name__)

OK = (Tone(2400, 70),)
REFUSED = (Tone(400, 150), Tone(0, 80), Tone(400, 150))


class Feedback(Protocol):
    """`gun` is the id of the gun's table. Neither blocks nor raises: it is called in the event loop."""

    def ok(self, gun: str) -> None:
        """Committed: a capture of goods, or a card that had its effect."""
        ...

    def refused(self, gun: str) -> None:
        """Scan again: the capture is damaged, or the card had no effect."""
        ...


class NoFeedback:
    """No feedback."""

    def ok(self, gun: str) -> None: ...

    def refused(self, gun: str) -> None: ...


class SoundFeedback:
    """The `Feedback` of a terminal: the sound of its guns and of its speaker."""

    def __init__(self, guns: Iterable[ScanGun], speaker: Speaker | None) -> None:
        self._guns = {gun.id: gun for gun in guns}
        self._speaker = speaker

    def ok(self, gun: str) -> None:
        if gun in self._guns:
            self._guns[gun].confirm()
        if self._speaker:
            self._speaker.play(OK)

    def refused(self, gun: str) -> None:  # noqa: ARG002 - a gun that waits for an ACK signals an error itself if none comes
        if self._speaker:
            self._speaker.play(REFUSED)

    def close(self) -> None:
        if self._speaker:
            self._speaker.close()


def open_feedback(guns: tuple[ScanGun, ...], root: Path, *, beep: bool) -> SoundFeedback:
    """The feedback for these guns; a missing speaker is logged."""
    if not guns or not beep:
        return SoundFeedback(guns, None)
    try:
        return SoundFeedback(guns, open_speaker(root))
    except NoSpeaker as error:
        log.info("no beep after a scan: %s", error)
        return SoundFeedback(guns, None)
