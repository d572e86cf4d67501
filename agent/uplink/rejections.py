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
    Trouble,
)

MOST = 64
FIRST_MS, LONGEST_MS = 10_000, 3_600_000
QUIET_MS = (5_000, 300_000)  # of everything: first, at most (doubling until something is taken)
GIVE_UP_AFTER = 3  # refusals of a row for itself
OF_THE_ROW = frozenset({PACKET_TOO_LARGE, PAYLOAD_FORMAT_INVALID, TOPIC_NAME_INVALID})
OF_THE_BROKER = frozenset({QUOTA_EXCEEDED, UNSPECIFIED, IMPLEMENTATION_SPECIFIC})
REPEATED = frozenset({"device", "standard"})  # told again on change and once a day: may be given up


class Hold(NamedTuple):
    """A row, or all rows of a leaf, that are not handed over before `until_ms`."""

    place: int  # of the row to try again with
    leaf: str
    code: int
    trouble: Trouble
    tries: int
    until_ms: int
    whole_leaf: bool

    @property
    def given_up(self) -> bool:
        """The row's bytes may be replaced by a void: refused for itself again and again, and told anew anyway."""
        repeated = self.leaf.partition("/")[0] in REPEATED
        return repeated and self.code in OF_THE_ROW and self.tries >= GIVE_UP_AFTER


class Refusals:
    """Asked before a row is handed over, told what became of it."""

    def __init__(self) -> None:
        self._holds: dict[int | str, Hold] = {}  # by place, or by leaf
        self._quiet_ms, self._quiet_until_ms = QUIET_MS[0], 0

    @property
    def holds(self) -> tuple[Hold, ...]:
        """What waits because it was refused, the earliest first."""
        return tuple(sorted(self._holds.values(), key=lambda hold: hold.until_ms))

    def held(self, row: Row) -> bool:
        """Not now: it is tried again by whoever asks `due`."""
        return row.rowid in self._holds or row.leaf in self._holds

    def quiet_ms(self, now_ms: int) -> int:
        """So long nothing at all is handed over."""
        return max(0, self._quiet_until_ms - now_ms)

    def due(self, now_ms: int) -> Hold | None:
        """A hold whose time has come."""
        first = min(self._holds.values(), key=lambda hold: hold.until_ms, default=None)
        return first if first and first.until_ms <= now_ms else None

    def next_ms(self) -> int | None:
        """When the next hold is due; None where there is none."""
        return min((hold.until_ms for hold in self._holds.values()), default=None)

    def refused(self, rows: Sequence[Row], code: int, trouble: Trouble, now_ms: int) -> Hold | None:
        """Note a refusal. Gives the hold; None for captures that went together: send them one by one to find the one."""
        if code in OF_THE_BROKER:
            self._quiet(now_ms)
        whole_leaf = code not in OF_THE_ROW | OF_THE_BROKER
        if len(rows) > 1 and not whole_leaf:
            return None
        row = rows[0]
        key = row.leaf if whole_leaf else row.rowid
        before = self._holds.get(key)
        if before is None and len(self._holds) >= MOST:
            self._quiet_until_ms = now_ms + QUIET_MS[1]
            return None
        tries = before.tries + 1 if before else 1
        factor = 2 if code == NOT_AUTHORIZED else 6
        until_ms = now_ms + min(LONGEST_MS, FIRST_MS * factor ** min(tries - 1, 12))
        hold = Hold(row.rowid, row.leaf, code, trouble, tries, until_ms, whole_leaf)
        self._holds[key] = hold
        return hold

    def taken(self, rows: Sequence[Row]) -> bool:
        """The broker took them. True where a whole leaf had been waiting for this."""
        self._quiet_ms, self._quiet_until_ms = QUIET_MS[0], 0
        for row in rows:
            self._holds.pop(row.rowid, None)
        return self._holds.pop(rows[0].leaf, None) is not None

    def forget(self, hold: Hold) -> None:
        """Its row is receipted, or given up."""
        self._holds.pop(hold.leaf if hold.whole_leaf else hold.place, None)

    def _quiet(self, now_ms: int) -> None:
        self._quiet_until_ms = now_ms + self._quiet_ms
        self._quiet_ms = min(QUIET_MS[1], self._quiet_ms * 2)
