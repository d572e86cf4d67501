"""By which time the archive ages: never by one bad step of the clock.

A clock that is trusted can still be wrong: a time server that says 2043 for an hour would have the whole archive deleted. So the
archive's own time follows the wall clock by a day an hour at most, forward; back at once, since that deletes nothing. After a
year in a cupboard it takes some days of running until what is too old goes. Runs in the outbox's thread (`Writer.ask`).
"""

from agent.outbox.outbox import Outbox
from common.clock import EARLIEST

MARK = "archive-time"  # seconds since 1970; written when it is a day off, not every hour
DAY_S = 86_400


def archive_time(known_s: int, now_s: int) -> int:
    """The archive's time at the next of its hourly looks. Pure."""
    return min(now_s, known_s + DAY_S)


def prune_archive(box: Outbox, now_s: int, keep_days: int) -> int:
    """Delete receipted rows that are older than `keep_days` by the archive's time; gives how many. Hourly, by a good clock."""
    mark = box.state(MARK)
    known_s = int(mark) if mark and mark.isdigit() else int(EARLIEST.timestamp())
    by_s = archive_time(known_s, now_s)
    deleted = box.prune(by_s - keep_days * DAY_S)
    if abs(by_s - known_s) >= DAY_S:
        box.append([], {MARK: str(by_s).encode()})
    return deleted
