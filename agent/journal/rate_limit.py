"""A rate limit of N an hour with a count of the rest, so that a repeating error cannot fill disk or line."""

from collections import deque

HOUR_MS = 3_600_000


class RateLimit:
    """At most `per_hour` in any hour of monotonic time."""

    def __init__(self, per_hour: int) -> None:
        self._per_hour = per_hour
        self._allowed_ms: deque[int] = deque()  # of the last hour
        self.suppressed = 0  # since the last that was allowed

    def allows(self, mono_ms: int, per_hour: int | None = None) -> bool:
        """Whether one more is allowed now; it is counted either way. `per_hour`: a different limit for this call."""
        while self._allowed_ms and mono_ms - self._allowed_ms[0] >= HOUR_MS:
            self._allowed_ms.popleft()
        if len(self._allowed_ms) >= (self._per_hour if per_hour is None else per_hour):
            self.suppressed += 1
            return False
        self._allowed_ms.append(mono_ms)
        return True

    def take_suppressed(self) -> int:
        """Return the count of suppressed ones and reset it."""
        suppressed, self.suppressed = self.suppressed, 0
        return suppressed
