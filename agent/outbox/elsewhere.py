"""Whether another terminal goes on under an outbox id that this file has ended: it was copied from that terminal's disk. Pure.

A receipt for more than this file gave under an earlier id is no sign by itself: an older copy of the file that was put back is
told so of its own first life. One that grows is: somebody sends under that id now.
"""

from common.messages import Receipt


class GoesOnElsewhere:
    """`hears` each receipt that came live."""

    def __init__(self) -> None:
        self._upto: dict[str, int] = {}

    def hears(self, receipt: Receipt, last_seq: int) -> bool:
        """`last_seq`: the newest number that this file gave under the receipt's outbox id. True where it grew beyond that."""
        if receipt.upto <= last_seq or receipt.parcels:  # what came by hand may have been written long ago
            return False
        before = self._upto.setdefault(receipt.outbox, receipt.upto)
        self._upto[receipt.outbox] = max(before, receipt.upto)
        return receipt.upto > before
