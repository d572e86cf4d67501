"""Two scans of a gun without terminator that came too close together to be distinguished from one. Pure."""

from collections.abc import Sequence

from drivers.scan_gun.decoding.alt_codes import Item

SUSPECT_MS = 60  # no gun pauses this long within a code without a reason
TIMES = 8  # as the framer, which ends a scan after this multiple of the gun's longest gap


class LongestPauses:
    """The two longest pauses between the key events of one scan."""

    def __init__(self) -> None:
        self._longest = self._second = 0

    def add(self, ms: int) -> None:
        if ms > self._longest:
            self._longest, self._second = ms, self._longest
        elif ms > self._second:
            self._second = ms

    @property
    def one_stands_out(self) -> bool:
        """The longest is so much longer that it may be the silence between two scans, although too short to end one."""
        return self._longest > max(SUSPECT_MS, TIMES * self._second) and self._second > 0


def suffix_inside(data: Sequence[Item], suffix: str, prefix: str) -> bool:
    """The gun's suffix (followed by its prefix) is in the middle: one code that contains it, or two codes."""
    seam = list(suffix + prefix)
    return any(list(data[at : at + len(seam)]) == seam for at in range(len(data) - len(seam) + 1))
