"""What brokers have taken of each outbox id: only that can be covered by a receipt. Pure.

A receipt says how far the county's numbers reach. Where this file is an older copy of itself (a disk image that was put back),
the county may have those numbers from its other life, with other bytes: what was never handed over is then not at the county,
whatever the receipt says (decision 12). Kept in memory, and in the file with each receipt: what
a cut forgets of it is sent twice.
"""

from collections.abc import Iterable

from agent.outbox.rows import Row
from common.messages import Receipt
from common.receipts import Contiguous


class HandedOver:
    """By outbox id; belongs to whoever hands over."""

    def __init__(self) -> None:
        self._numbers: dict[str, Contiguous] = {}
        self._begun: set[str] = set()  # a row may be handed over before the first receipt is heard
        self._short: dict[str, tuple[Receipt, int]] = {}  # receipts that said more, and what was handed over then

    def knows(self, outbox: str) -> bool:
        return outbox in self._begun

    def begin(self, outbox: str, upto: int) -> None:
        """What the file knows of an outbox id (`Outbox.handed`)."""
        self._begun.add(outbox)
        self._numbers.setdefault(outbox, Contiguous()).add_all(1, upto)

    def carried(self, outbox: str, first: int, last: int) -> None:
        """These numbers went to the county by hand, and it has that very parcel."""
        self._numbers.setdefault(outbox, Contiguous()).add_all(first, last)

    def note(self, rows: Iterable[Row]) -> Receipt | None:
        """A broker took these rows (of one outbox id). Gives a receipt that had come already and covers more now."""
        outbox = ""
        for row in rows:
            outbox = row.outbox
            self._numbers.setdefault(outbox, Contiguous()).add_all(row.numbers.start, row.seq)
        said, then = self._short.get(outbox, (None, 0))
        return said if said is not None and self._numbers[outbox].upto > then else None

    def upto(self, receipt: Receipt) -> int:
        """How far it was handed over. Remembers a receipt that says more."""
        upto = self._numbers[receipt.outbox].upto
        if upto < receipt.upto:
            self._short[receipt.outbox] = receipt, upto
        else:
            self._short.pop(receipt.outbox, None)
        return upto
