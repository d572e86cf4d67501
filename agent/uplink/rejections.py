"""Rows and topics that the broker rejected, and when to retry each, so that one rejected row does not block the rows behind it.

Pure: times are parameters, milliseconds of the monotonic clock. The rules are in decision 14: a topic without permission waits
as a whole topic, a row with an error of its own waits alone, and a broker over its quota blocks everything; the retry delay
of each grows to one hour. Bounded: `MAX_REJECTIONS` entries; a rejection beyond that blocks everything.
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
BLOCK_ALL_MS = (5_000, 300_000)  # for all rows: first and maximum delay; doubles until the broker accepts something
DROP_AFTER = 3  # rejections of a row by one of ROW_CODES
ROW_CODES = frozenset({PACKET_TOO_LARGE, PAYLOAD_FORMAT_INVALID, TOPIC_NAME_INVALID})
BROKER_CODES = frozenset({QUOTA_EXCEEDED, UNSPECIFIED, IMPLEMENTATION_SPECIFIC})
REPEATED = frozenset({"device", "standard"})  # sent again on change and once a day: may be dropped


class Rejection(NamedTuple):
    """A row, or all rows of a topic, not published before `until_ms`."""

    rowid: int  # row to retry with
    leaf: str
    code: int
    problem: LinkProblem
    tries: int
    until_ms: int
    whole_topic: bool

    @property
    def droppable(self) -> bool:
        """A void may replace the row: rejected `DROP_AFTER` times by one of ROW_CODES, and a newer row follows anyway."""
        repeated = self.leaf.partition("/")[0] in REPEATED
        return repeated and self.code in ROW_CODES and self.tries >= DROP_AFTER


class Rejections:
    """Consulted before a row is published; updated with the result."""

    def __init__(self) -> None:
        self._rejections: dict[int | str, Rejection] = {}  # by rowid or by topic
        self._block_ms, self._blocked_until_ms = BLOCK_ALL_MS[0], 0

    @property
    def all(self) -> tuple[Rejection, ...]:
        """All rejections, the one to be retried first first."""
        return tuple(sorted(self._rejections.values(), key=lambda rejection: rejection.until_ms))

    def blocks(self, row: Row) -> bool:
        """The row must not be published now; its retry comes through `due`."""
        return row.rowid in self._rejections or row.leaf in self._rejections

    def blocked_ms(self, now_ms: int) -> int:
        """Milliseconds for which no row at all may be published."""
        return max(0, self._blocked_until_ms - now_ms)

    def due(self, now_ms: int) -> Rejection | None:
        """A rejection whose retry is due."""
        first = min(self._rejections.values(), key=lambda rejection: rejection.until_ms, default=None)
        return first if first and first.until_ms <= now_ms else None

    def next_due_ms(self) -> int | None:
        """When the next retry is due; None if there is none."""
        return min((rejection.until_ms for rejection in self._rejections.values()), default=None)

    def add(self, rows: Sequence[Row], code: int, problem: LinkProblem, now_ms: int) -> Rejection | None:
        """Record a rejection and return it; None for a batch of captures: publish them one by one to find the faulty row."""
        if code in BROKER_CODES:
            self._block_all(now_ms)
        whole_topic = code not in ROW_CODES | BROKER_CODES
        if len(rows) > 1 and not whole_topic:
            return None
        row = rows[0]
        key = row.leaf if whole_topic else row.rowid
        before = self._rejections.get(key)
        if before is None and len(self._rejections) >= MAX_REJECTIONS:
            self._blocked_until_ms = now_ms + BLOCK_ALL_MS[1]
            return None
        tries = before.tries + 1 if before else 1
        factor = 2 if code == NOT_AUTHORIZED else 6
        until_ms = now_ms + min(MAX_MS, FIRST_MS * factor ** min(tries - 1, 12))
        rejection = Rejection(row.rowid, row.leaf, code, problem, tries, until_ms, whole_topic)
        self._rejections[key] = rejection
        return rejection

    def accepted(self, rows: Sequence[Row]) -> bool:
        """Record that the broker accepted the rows. Returns whether this unblocks a whole topic."""
        self._block_ms, self._blocked_until_ms = BLOCK_ALL_MS[0], 0
        for row in rows:
            self._rejections.pop(row.rowid, None)
        return self._rejections.pop(rows[0].leaf, None) is not None

    def remove(self, rejection: Rejection) -> None:
        """Its row is receipted or dropped."""
        self._rejections.pop(rejection.leaf if rejection.whole_topic else rejection.rowid, None)

    def _block_all(self, now_ms: int) -> None:
        self._blocked_until_ms = now_ms + self._block_ms
        self._block_ms = min(BLOCK_ALL_MS[1], self._block_ms * 2)
