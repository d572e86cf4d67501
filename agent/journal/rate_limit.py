"""So many of a kind an hour, and a count of the rest: what goes wrong every second fills no disk and no line."""

from collections import deque

HOUR_MS = 3_600_000


class RateLimit:
    def __init__(self, per_hour: int) -> None:
        self._per_hour = per_hour
        self._allowed_ms: deque[int] = deque()  # of the last hour
        self.suppressed = 0  # since the last that was told

    def allows(self, mono_ms: int, per_hour: int | None = None) -> bool:
        """Whether one more may be told now; counted either way. `at_most`: another number an hour than usual, for now."""
        while self._allowed_ms and mono_ms - self._allowed_ms[0] >= HOUR_MS:
            self._allowed_ms.popleft()
        if len(self._allowed_ms) >= (self._per_hour if per_hour is None else per_hour):
            self.suppressed += 1
            return False
        self._allowed_ms.append(mono_ms)
        return True

    def take_suppressed(self) -> int:
        suppressed, self.suppressed = self.suppressed, 0
        return suppressed
