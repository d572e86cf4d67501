"""The daemon's log: to stderr (journald), and the last lines in memory for the command that sends them.

Bounded in lines an hour, each message for itself and all together: journald bounds what it keeps, not what it writes, and a
device that fails each second would wear the flash. What is held back is counted, and told when its hour is over.
"""

import copy
import logging
from collections import deque
from collections.abc import Callable

RECENT_LINES = 200
HOUR_MS = 3_600_000
SAME_AN_HOUR = 10  # of one message: its text before the parameters are put in
LINES_AN_HOUR = 120  # of all messages
MESSAGES_KNOWN = 60  # of which so many are counted each for itself, the others together


class _Recent(logging.Handler):
    """The newest lines, and how many bytes all lines were."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=RECENT_LINES)
        self.bytes = 0

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        self.bytes += len(line.encode("utf-8", "replace")) + 1
        self.lines.append(line[:500])


class RateLimitedHandler(logging.Handler):
    """Hands on to the other handlers what is within the bounds; `mono_ms` is the clock's."""

    def __init__(self, mono_ms: Callable[[], int], *others: logging.Handler) -> None:
        super().__init__()
        self._mono_ms, self._others = mono_ms, others
        self._hour_began_ms = mono_ms()
        self._passed: dict[str, int] = {}
        self._suppressed: dict[str, int] = {}
        self._lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.turn_hour()
        message = f"{record.name}: {record.msg}"
        if message not in self._passed and len(self._passed) >= MESSAGES_KNOWN:
            message = "…"
        said = self._passed.setdefault(message, 0)
        if said < SAME_AN_HOUR and self._lines < LINES_AN_HOUR:
            self._passed[message] = said + 1
            self._lines += 1
            self._forward(record if said == 0 else _without_traceback(record))
        else:
            self._suppressed[message] = self._suppressed.get(message, 0) + 1

    def turn_hour(self) -> None:
        """Where the hour is over, tell how often what was held back."""
        now_ms = self._mono_ms()
        if now_ms - self._hour_began_ms < HOUR_MS:
            return
        held = self._suppressed
        self._hour_began_ms, self._lines, self._passed, self._suppressed = now_ms, 0, {}, {}
        for message, count in held.items():
            told = logging.LogRecord(__name__, logging.WARNING, "", 0, "held back %d times: %s", (count, message), None)
            self._forward(told)

    def _forward(self, record: logging.LogRecord) -> None:
        for handler in self._others:
            if record.levelno >= handler.level:
                handler.handle(record)


def _without_traceback(record: logging.LogRecord) -> logging.LogRecord:
    """A traceback is told once an hour; after that its last line."""
    if not record.exc_info or record.exc_info[1] is None:
        return record
    error = record.exc_info[1]
    short = copy.copy(record)
    short.msg, short.args = "%s: %s: %s", (record.getMessage(), type(error).__name__, error)
    short.exc_info = short.exc_text = None
    return short


_recent = _Recent()
_bounded: RateLimitedHandler | None = None


def start_logging(level: str, mono_ms: Callable[[], int]) -> None:
    """To stderr without a time of its own: journald has one that is right."""
    global _bounded
    stderr = logging.StreamHandler()
    for handler in (stderr, _recent):
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    _bounded = RateLimitedHandler(mono_ms, stderr, _recent)
    logging.basicConfig(level=level.upper(), handlers=[_bounded], force=True)


def turn_hour() -> None:
    """Tell what was held back, also where nothing else is said any more."""
    if _bounded is not None:
        _bounded.turn_hour()


def recent_lines(count: int) -> list[str]:
    """The newest lines, oldest first."""
    return list(_recent.lines)[-count:] if count > 0 else []


def logged_bytes() -> int:
    """Of all lines of this process: journald writes them to the same disk."""
    return _recent.bytes
