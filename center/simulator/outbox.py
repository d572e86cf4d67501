"""A simulated terminal's outbox, in memory: every row is kept until the county's receipt covers it. Pure."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from common.messages import Receipt
from common.receipts import ReceiptState, apply_receipt

ARCHIVE = 500  # receipted rows that are kept: a restored store gets them again
BATCH = 50  # captures of the backlog in one message


class Row(NamedTuple):
    seq: int
    leaf: str
    body: bytes
    retained: bool


class MemoryOutbox:
    """Live rows first, the backlog behind them; rows from before this connection are backlog."""

    def __init__(self, outbox: str, void: Callable[[int], bytes]) -> None:
        """`void` returns the journal entry that holds the place of a row that the archive no longer has."""
        self._void = void
        self.receipt_state = ReceiptState(outbox)
        self.last_seq = 0
        self._rows: dict[int, Row] = {}
        self._newest: dict[str, int] = {}  # leaf -> number
        self._live: deque[int] = deque()
        self._backlog: deque[int] = deque()

    @property
    def waiting(self) -> int:
        return self.last_seq - self.receipt_state.upto

    def add(self, leaf: str, body: bytes, retained: bool, live: bool) -> None:
        """Add the row of number `last_seq + 1`."""
        self.last_seq += 1
        self._rows[self.last_seq] = Row(self.last_seq, leaf, body, retained)
        self._newest[leaf] = self.last_seq
        (self._live if live else self._backlog).append(self.last_seq)

    def requeue(self, in_flight: Iterable[int] = ()) -> None:
        """Publish again, as backlog, all rows that are neither receipted nor in flight: on a new connection, or on a timeout."""
        skipped = set(in_flight)
        self._live.clear()
        self._backlog = deque(
            seq for seq in range(self.receipt_state.upto + 1, self.last_seq + 1) if seq not in skipped
        )

    def next_batch(self) -> tuple[list[Row], bool]:
        """The next row, or consecutive captures of the backlog; and whether they are late. Empty if nothing waits."""
        if row := self._next(self._live):
            return [row], False
        rows: list[Row] = []
        while len(rows) < BATCH and (row := self._next(self._backlog)):
            rows.append(row)
            if row.leaf != "scan":
                if len(rows) > 1:  # it is sent alone, after the captures before it
                    self._backlog.appendleft(rows.pop().seq)
                break
        return rows, True

    def may_retain(self, row: Row) -> bool:
        """Nothing newer was published on its topic: it may be the retained message there, even if it is late."""
        return row.retained and self._newest.get(row.leaf) == row.seq

    def apply_receipt(self, receipt: Receipt, retained: bool) -> bool:
        """Accept how much the county has; True if all rows above it are to be published again."""
        answer = apply_receipt(self.receipt_state, receipt, self.last_seq, retained)
        self.receipt_state = answer.state
        while self._rows and (oldest := next(iter(self._rows))) <= min(
            self.receipt_state.upto, self.last_seq - ARCHIVE
        ):
            del self._rows[oldest]
        return answer.resend

    def _next(self, numbers: deque[int]) -> Row | None:
        while numbers:
            seq = numbers.popleft()
            if seq > self.receipt_state.upto:
                return self._rows.get(seq) or Row(seq, "journal", self._void(seq), False)
        return None
