"""Two scans of a gun without terminator that came so close together that they cannot be told apart from one. Pure."""

from collections.abc import Sequence

from drivers.scan_gun.decoding.alt_codes import Item

SUSPECT_MS = 60  # no gun hesitates so long within a code for no reason of its own
TIMES = 8  # the patience of the framer, which ends a scan at so many times the gun's longest gap


class LongestPauses:
    """The two longest pauses between the movements of one scan's keys."""

    def __init__(self) -> None:
        self._longest = self._second = 0

    def add(self, ms: int) -> None:
        if ms > self._longest:
            self._longest, self._second = ms, self._longest
        elif ms > self._second:
            self._second = ms

    @property
    def one_stands_out(self) -> bool:
        """By so much that it may be the silence between two scans, though it was too short to end one."""
        return self._longest > max(SUSPECT_MS, TIMES * self._second) and self._second > 0


def suffix_inside(data: Sequence[Item], suffix: str, prefix: str) -> bool:
    """The gun's own suffix (and behind it its prefix) stands in the middle: one code that holds it, or two."""
    seam = list(suffix + prefix)
    return any(list(data[at : at + len(seam)]) == seam for at in range(len(data) - len(seam) + 1))
