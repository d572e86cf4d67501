"""The rows that brokers accepted (PUBACK) or a parcel carried, by outbox id: a receipt can cover only those.

A receipt states how far the county's numbers reach. If this file is an older copy of itself (a disk image that was restored),
the county may have those numbers from the other copy, with other bytes: rows that were never sent are not at the county then,
whatever the receipt states (decision 12). Kept in memory, and in the file with each receipt: what a power cut loses of it is
sent twice.

A parcel that left the terminal is recorded under a state key: a receipt that names it covers the rows in it. An export alone
proves nothing, since the stick may be lost; a parcel that the county names by its digest was written by this very file, with
these bytes.

`CloneDetector`: whether another terminal continues under an outbox id that this file has ended, because it was copied from that
terminal's disk. A receipt for more than this file assigned under an earlier id is no sign by itself: an older copy of the file
that was restored receives such a receipt about its own first life. One that grows is: somebody sends under that id now.
"""

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from agent.outbox.outbox import Outbox
from agent.outbox.rows import Row
from common.messages import Receipt
from common.receipts import Contiguous

PARCEL = "carried:"  # state key: carried:<digest> -> the spans in the parcel
Spans: TypeAlias = tuple[tuple[str, int, int], ...]  # outbox id, first and last number


class Sent:
    """High-water marks by outbox id; owned by the publisher. Pure."""

    def __init__(self) -> None:
        self._numbers: dict[str, Contiguous] = {}
        self._begun: set[str] = set()  # a row may be sent before the first receipt arrives
        # receipts that covered more than was sent, and what was sent then
        self._exceeding: dict[str, tuple[Receipt, int]] = {}

    def knows(self, outbox: str) -> bool:
        return outbox in self._begun

    def begin(self, outbox: str, upto: int) -> None:
        """Start from what the file knows of an outbox id (`Outbox.sent_upto`)."""
        self._begun.add(outbox)
        self._numbers.setdefault(outbox, Contiguous()).add_all(1, upto)

    def add_parcel(self, outbox: str, first: int, last: int) -> None:
        """These numbers were carried to the county in a parcel that it has."""
        self._numbers.setdefault(outbox, Contiguous()).add_all(first, last)

    def add(self, rows: Iterable[Row]) -> Receipt | None:
        """A broker accepted these rows (of one outbox id). Return an earlier receipt that covers more rows now."""
        outbox = ""
        for row in rows:
            outbox = row.outbox
            self._numbers.setdefault(outbox, Contiguous()).add_all(row.numbers.start, row.seq)
        receipt, then = self._exceeding.get(outbox, (None, 0))
        return receipt if receipt is not None and self._numbers[outbox].upto > then else None

    def upto(self, receipt: Receipt) -> int:
        """How far the receipt's outbox id was sent without a gap. Remembers a receipt that covers more."""
        upto = self._numbers[receipt.outbox].upto
        if upto < receipt.upto:
            self._exceeding[receipt.outbox] = receipt, upto
        else:
            self._exceeding.pop(receipt.outbox, None)
        return upto


def note_parcel(box: Outbox, digest: str, spans: Spans) -> None:
    """Record a parcel before it leaves; delete the records of parcels that are receipted completely. Raises OutboxFull."""
    states: dict[str, bytes | None] = {key: None for key in box.states(PARCEL) if _is_receipted(box, _spans(box, key))}
    box.append([], states | {PARCEL + digest: msgspec.json.encode(spans)})


def parcel_spans(box: Outbox, receipt: Receipt) -> list[tuple[int, int]]:
    """The numbers of the receipt's outbox id in the parcels of this file that the receipt names."""
    spans = [span for digest in receipt.parcels for span in _spans(box, PARCEL + digest)]
    return [(first, last) for outbox, first, last in spans if outbox == receipt.outbox]


def _spans(box: Outbox, key: str) -> Spans:
    value = box.state(key)
    try:
        return msgspec.json.decode(value, type=Spans) if value else ()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ()


def _is_receipted(box: Outbox, spans: Spans) -> bool:
    upto = {span.outbox: span.receipted - span.base for span in box.spans()}
    return all(last <= upto.get(outbox, 0) for outbox, _, last in spans)


class CloneDetector:
    """Pass each live (not retained) receipt to `saw`. Pure."""

    def __init__(self) -> None:
        self._upto: dict[str, int] = {}

    def saw(self, receipt: Receipt, last_seq: int) -> bool:
        """True if the receipts grow beyond `last_seq`, the newest number that this file assigned under that outbox id."""
        if receipt.upto <= last_seq or receipt.parcels:  # the rows of a parcel may have been written long ago
            return False
        before = self._upto.setdefault(receipt.outbox, receipt.upto)
        self._upto[receipt.outbox] = max(before, receipt.upto)
        return receipt.upto > before
