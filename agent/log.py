"""The daemon's log: to stderr (journald), and the last lines in memory for the command that sends them."""

import logging
from collections import deque

KEPT_LINES = 200
_recent: deque[str] = deque(maxlen=KEPT_LINES)


class _Recent(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _recent.append(self.format(record)[:500])


def start_logging(level: str) -> None:
    """To stderr without a time of its own: journald has one that is right."""
    stderr, recent = logging.StreamHandler(), _Recent()
    for handler in (stderr, recent):
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[stderr, recent], force=True)


def recent_lines(count: int) -> list[str]:
    """The newest lines, oldest first."""
    return list(_recent)[-count:] if count > 0 else []
