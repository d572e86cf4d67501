"""What the broker refused, and until when it is left alone, so that one refused row blocks nothing behind it.

Pure: times are handed in, milliseconds of the monotonic clock. Decision 14 tells the rules: a topic that is not allowed waits
as a topic, a row that is refused for itself waits alone, a broker that is over its quota is left in peace for all; each with
pauses that grow to an hour. Bounded: `MOST` holds, and whoever is refused beyond that makes everything wait.
"""

from collections.abc import Sequence
from typing import NamedTuple

from agent.outbox.rows import Row
from common.mqtt.errors import (
    IMPLEMENTATION_SPECIFIC,
    NOT_AUTHORIZED,
    PACKET_TOO_LARGE,
    PAYLOAD_FORMAT_INVALID,
    QUOTA_EXCEEDED,
    TOPIC_NAME_INVALID,
    UNSPECIFIED,
    LinkProblem,
)

MAX_REJECTIONS = 64
FIRST_MS, MAX_MS = 10_000, 3_600_000
BLOCK_ALL_MS = (5_000, 300_000)  # of everything: first, at most (doubling until something is taken)
DROP_AFTER = 3  # refusals of a row for itself
ROW_CODES = frozenset({PACKET_TOO_LARGE, PAYLOAD_FORMAT_INVALID, TOPIC_NAME_INVALID})
BROKER_CODES = frozenset({QUOTA_EXCEEDED, UNSPECIFIED, IMPLEMENTATION_SPECIFIC})
REPEATED = frozenset({"device", "standard"})  # told again on change and once a day: may be given up


class Rejection(NamedTuple):
    """A row, or all rows of a leaf, that are not handed over before `until_ms`."""

    rowid: int  # of the row to try again with
    leaf: str
    code: int
    problem: LinkProblem
    tries: int
    until_ms: int
    whole_topic: bool

    @property
    def droppable(self) -> bool:
        """The row's bytes may be replaced by a void: refused for itself again and again, and told anew anyway."""
        repeated = self.leaf.partition("/")[0] in REPEATED
        return repeated and self.code in ROW_CODES and self.tries >= DROP_AFTER


class Rejections:
    """Asked before a row is handed over, told what became of it."""

    def __init__(self) -> None:
        self._rejections: dict[int | str, Rejection] = {}  # by place, or by leaf
        self._block_ms, self._blocked_until_ms = BLOCK_ALL_MS[0], 0

    @property
    def all(self) -> tuple[Rejection, ...]:
        """What waits because it was refused, the earliest first."""
        return tuple(sorted(self._rejections.values(), key=lambda hold: hold.until_ms))

    def blocks(self, row: Row) -> bool:
        """Not now: it is tried again by whoever asks `due`."""
        return row.rowid in self._rejections or row.leaf in self._rejections

    def blocked_ms(self, now_ms: int) -> int:
        """So long nothing at all is handed over."""
        return max(0, self._blocked_until_ms - now_ms)

    def due(self, now_ms: int) -> Rejection | None:
        """A hold whose time has come."""
        first = min(self._rejections.values(), key=lambda hold: hold.until_ms, default=None)
        return first if first and first.until_ms <= now_ms else None

    def next_due_ms(self) -> int | None:
        """When the next hold is due; None where there is none."""
        return min((hold.until_ms for hold in self._rejections.values()), default=None)

    def add(self, rows: Sequence[Row], code: int, problem: LinkProblem, now_ms: int) -> Rejection | None:
        """Note a refusal. Gives the hold; None for captures that went together: send them one by one to find the one."""
        if code in BROKER_CODES:
            self._block_all(now_ms)
        whole_leaf = code not in ROW_CODES | BROKER_CODES
        if len(rows) > 1 and not whole_leaf:
            return None
        row = rows[0]
        key = row.leaf if whole_leaf else row.rowid
        before = self._rejections.get(key)
        if before is None and len(self._rejections) >= MAX_REJECTIONS:
            self._blocked_until_ms = now_ms + BLOCK_ALL_MS[1]
            return None
        tries = before.tries + 1 if before else 1
        factor = 2 if code == NOT_AUTHORIZED else 6
        until_ms = now_ms + min(MAX_MS, FIRST_MS * factor ** min(tries - 1, 12))
        hold = Rejection(row.rowid, row.leaf, code, problem, tries, until_ms, whole_leaf)
        self._rejections[key] = hold
        return hold

    def accepted(self, rows: Sequence[Row]) -> bool:
        """The broker took them. True where a whole leaf had been waiting for this."""
        self._block_ms, self._blocked_until_ms = BLOCK_ALL_MS[0], 0
        for row in rows:
            self._rejections.pop(row.rowid, None)
        return self._rejections.pop(rows[0].leaf, None) is not None

    def remove(self, rejection: Rejection) -> None:
        """Its row is receipted, or given up."""
        self._rejections.pop(rejection.leaf if rejection.whole_topic else rejection.rowid, None)

    def _block_all(self, now_ms: int) -> None:
        self._blocked_until_ms = now_ms + self._block_ms
        self._block_ms = min(BLOCK_ALL_MS[1], self._block_ms * 2)
