"""Receipts: everything of one outbox up to a number is stored at the county, without a gap.

Pure, for both sides: the recorder computes up to which number it has all rows although they arrive out of order (live rows
first, the backlog after them); the terminal computes what a receipt means for the rows that it keeps.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from common.messages import Receipt


class Contiguous:
    """The numbers that have arrived: all from 1 to `upto`, and the closed intervals after the first gap.

    Memory grows with the number of gaps, not with the number of rows.
    """

    def __init__(self, upto: int = 0, seqs: Iterable[int] = ()) -> None:
        # starts and ends of disjoint intervals that do not touch; the first starts at 1 and may be empty
        self._first = [1]
        self._last = [upto]
        for seq in seqs:
            self.add(seq)

    @property
    def upto(self) -> int:
        """Every number from 1 to this one has arrived."""
        return self._last[0]

    @property
    def beyond(self) -> tuple[tuple[int, int], ...]:
        """What arrived after the first gap, as closed intervals in order."""
        return tuple(zip(self._first[1:], self._last[1:], strict=True))

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._first, seq) - 1
        return at >= 0 and seq <= self._last[at]

    def add(self, seq: int) -> bool:
        """Record that `seq` (1 or more) has arrived. False if it had arrived before."""
        if seq < 1:
            raise ValueError(f"a sequence number is 1 or more, not {seq}")
        at = bisect_right(self._first, seq) - 1
        if seq <= self._last[at]:
            return False
        joins_left = self._last[at] == seq - 1
        joins_right = at + 1 < len(self._first) and self._first[at + 1] == seq + 1
        if joins_left and joins_right:
            self._last[at] = self._last.pop(at + 1)
            del self._first[at + 1]
        elif joins_left:
            self._last[at] = seq
        elif joins_right:
            self._first[at + 1] = seq
        else:
            self._first.insert(at + 1, seq)
            self._last.insert(at + 1, seq)
        return True

    def add_all(self, first: int, last: int) -> None:
        """Record that every number from `first` (1 or more) to `last` has arrived: one void may replace many rows."""
        if first > last:
            return
        self.add(first)
        at = bisect_right(self._first, first) - 1
        joined = bisect_right(self._first, last + 1) - 1  # the last interval that starts inside, or directly after
        self._last[at] = max(last, self._last[joined])
        del self._first[at + 1 : joined + 1], self._last[at + 1 : joined + 1]


class ReceiptState(NamedTuple):
    """What a terminal knows to be stored of one of its outbox ids."""

    outbox: str
    store: str | None = None  # the store that receipted it; None before the first receipt
    upto: int = 0


class Applied(NamedTuple):
    """What a receipt changes at the terminal."""

    state: ReceiptState
    resend: (
        bool  # the store has less than was receipted before: send everything above `upto` again, also from the archive
    )


def apply_receipt(state: ReceiptState, receipt: Receipt, last_seq: int, retained: bool = False) -> Applied:
    """The effect of `receipt` on a terminal in `state` that has assigned numbers up to `last_seq`.

    A receipt of another outbox id changes nothing, and neither does a number above `last_seq`: a row that was never written
    cannot be stored, so such a receipt proves nothing (the outbox first finds out what it means). A lower number (a store
    restored from a backup, or a new one) makes the terminal send again, unless the broker delivers it as `retained`: a
    broker that crashed may restart with an old one, and the recorder answers every birth with a new one.
    """
    if receipt.outbox != state.outbox or receipt.upto > last_seq:
        return Applied(state, False)
    if receipt.upto < state.upto and retained:
        return Applied(state, False)
    return Applied(ReceiptState(state.outbox, receipt.store, receipt.upto), receipt.upto < state.upto)
