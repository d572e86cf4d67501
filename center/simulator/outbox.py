"""A simulated terminal's outbox, in memory: every row stays until the county's receipt covers it. Pure."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from common.messages import Receipt
from common.receipts import ReceiptState, apply_receipt

ARCHIVE = 500  # receipted rows that are still held: a restored store gets them again
BATCH = 50  # captures of the backlog in one message


class Row(NamedTuple):
    seq: int
    leaf: str
    body: bytes
    retained: bool


class MemoryOutbox:
    """Live first, the backlog behind it; what came before this connection is backlog."""

    def __init__(self, outbox: str, void: Callable[[int], bytes]) -> None:
        """`void` makes the journal entry that holds the place of a row that the archive no longer has."""
        self._void = void
        self.standing = ReceiptState(outbox)
        self.last_seq = 0
        self._rows: dict[int, Row] = {}
        self._newest: dict[str, int] = {}  # leaf -> number
        self._live: deque[int] = deque()
        self._backlog: deque[int] = deque()

    @property
    def waiting(self) -> int:
        return self.last_seq - self.standing.upto

    def add(self, leaf: str, body: bytes, retained: bool, live: bool) -> None:
        """The row of number `last_seq + 1`."""
        self.last_seq += 1
        self._rows[self.last_seq] = Row(self.last_seq, leaf, body, retained)
        self._newest[leaf] = self.last_seq
        (self._live if live else self._backlog).append(self.last_seq)

    def requeue(self, in_flight: Iterable[int] = ()) -> None:
        """Hand over again, as backlog, all that is not receipted and not under way: on a new connection, or for want of one."""
        busy = set(in_flight)
        self._live.clear()
        self._backlog = deque(seq for seq in range(self.standing.upto + 1, self.last_seq + 1) if seq not in busy)

    def next_batch(self) -> tuple[list[Row], bool]:
        """The next row, or captures of the backlog that follow one another; and whether they are late. Empty: nothing."""
        if row := self._next(self._live):
            return [row], False
        rows: list[Row] = []
        while len(rows) < BATCH and (row := self._next(self._backlog)):
            rows.append(row)
            if row.leaf != "scan":
                if len(rows) > 1:  # it goes alone, after the captures before it
                    self._backlog.appendleft(rows.pop().seq)
                break
        return rows, True

    def may_retain(self, row: Row) -> bool:
        """Nothing newer was said on its topic: it may stand there as the retained message, also where it comes late."""
        return row.retained and self._newest.get(row.leaf) == row.seq

    def apply_receipt(self, receipt: Receipt, retained: bool) -> bool:
        """Take in what the county has; True where all above goes again."""
        said = apply_receipt(self.standing, receipt, self.last_seq, retained)
        self.standing = said.state
        while self._rows and (oldest := next(iter(self._rows))) <= min(self.standing.upto, self.last_seq - ARCHIVE):
            del self._rows[oldest]
        return said.resend

    def _next(self, numbers: deque[int]) -> Row | None:
        while numbers:
            seq = numbers.popleft()
            if seq > self.standing.upto:
                return self._rows.get(seq) or Row(seq, "journal", self._void(seq), False)
        return None
