"""So many of a kind an hour, and a count of the rest: what goes wrong every second fills no disk and no line."""

from collections import deque

HOUR_MS = 3_600_000


class Ration:
    def __init__(self, an_hour: int) -> None:
        self._an_hour = an_hour
        self._told_ms: deque[int] = deque()  # of the last hour
        self.untold = 0  # since the last that was told

    def allows(self, mono_ms: int, at_most: int | None = None) -> bool:
        """Whether one more may be told now; counted either way. `at_most`: another number an hour than usual, for now."""
        while self._told_ms and mono_ms - self._told_ms[0] >= HOUR_MS:
            self._told_ms.popleft()
        if len(self._told_ms) >= (self._an_hour if at_most is None else at_most):
            self.untold += 1
            return False
        self._told_ms.append(mono_ms)
        return True

    def take_untold(self) -> int:
        untold, self.untold = self.untold, 0
        return untold
