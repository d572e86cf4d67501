"""The daemon's log: to stderr (journald), and the last lines in memory for the command that sends them.

Rate limited in lines an hour, each message separately and all together: journald bounds what it keeps, not what it writes, and
a device that fails every second would wear the flash. Suppressed lines are counted, and reported at the end of their hour.
"""

import copy
import logging
from collections import deque
from collections.abc import Callable

RECENT_LINES = 200
HOUR_MS = 3_600_000
SAME_AN_HOUR = 10  # of one message: its text before the parameters are inserted
LINES_AN_HOUR = 120  # of all messages
MESSAGES_KNOWN = 60  # N messages are counted separately, the others together


class _Recent(logging.Handler):
    """The newest lines, and the bytes of all lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=RECENT_LINES)
        self.bytes = 0

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        self.bytes += len(line.encode("utf-8", "replace")) + 1
        self.lines.append(line[:500])


class RateLimitedHandler(logging.Handler):
    """Passes records within the limits to the other handlers; `mono_ms` is the clock's."""

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
        passed = self._passed.setdefault(message, 0)
        if passed < SAME_AN_HOUR and self._lines < LINES_AN_HOUR:
            self._passed[message] = passed + 1
            self._lines += 1
            self._forward(record if passed == 0 else _without_traceback(record))
        else:
            self._suppressed[message] = self._suppressed.get(message, 0) + 1

    def turn_hour(self) -> None:
        """At the end of the hour, report how often which message was suppressed."""
        now_ms = self._mono_ms()
        if now_ms - self._hour_began_ms < HOUR_MS:
            return
        suppressed = self._suppressed
        self._hour_began_ms, self._lines, self._passed, self._suppressed = now_ms, 0, {}, {}
        for message, count in suppressed.items():
            report = logging.LogRecord(
                __name__, logging.WARNING, "", 0, "suppressed %d times: %s", (count, message), None
            )
            self._forward(report)

    def _forward(self, record: logging.LogRecord) -> None:
        for handler in self._others:
            if record.levelno >= handler.level:
                handler.handle(record)


def _without_traceback(record: logging.LogRecord) -> logging.LogRecord:
    """A traceback is logged once an hour; after that only its last line."""
    if not record.exc_info or record.exc_info[1] is None:
        return record
    error = record.exc_info[1]
    short = copy.copy(record)
    short.msg, short.args = "%s: %s: %s", (record.getMessage(), type(error).__name__, error)
    short.exc_info = short.exc_text = None
    return short


_recent = _Recent()
_rate_limited: RateLimitedHandler | None = None


def start_logging(level: str, mono_ms: Callable[[], int]) -> None:
    """Log to stderr, without a time: journald adds the right one."""
    global _rate_limited
    stderr = logging.StreamHandler()
    for handler in (stderr, _recent):
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    _rate_limited = RateLimitedHandler(mono_ms, stderr, _recent)
    logging.basicConfig(level=level.upper(), handlers=[_rate_limited], force=True)


def turn_hour() -> None:
    """Report suppressed lines at the end of their hour, also if nothing else is logged any more."""
    if _rate_limited is not None:
        _rate_limited.turn_hour()


def recent_lines(count: int) -> list[str]:
    """The newest lines, oldest first."""
    return list(_recent.lines)[-count:] if count > 0 else []


def logged_bytes() -> int:
    """The bytes of all lines of this process: journald writes them to the same disk."""
    return _recent.bytes
