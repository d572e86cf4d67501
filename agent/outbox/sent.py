"""What brokers have taken of each outbox id: only that can be covered by a receipt. Pure.

A receipt says how far the county's numbers reach. Where this file is an older copy of itself (a disk image that was put back),
the county may have those numbers from its other life, with other bytes: what was never handed over is then not at the county,
whatever the receipt says (decision 12). Kept in memory, and in the file with each receipt: what
a cut forgets of it is sent twice.
"""

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from agent.outbox.outbox import Outbox
from agent.outbox.rows import Row
from common.messages import Receipt
from common.receipts import Contiguous

PARCEL = "carried:"  # mark: carried:<digest> -> the spans that were in it
Spans: TypeAlias = tuple[tuple[str, int, int], ...]  # outbox id, first and last number


class Sent:
    """By outbox id; belongs to whoever hands over."""

    def __init__(self) -> None:
        self._numbers: dict[str, Contiguous] = {}
        self._begun: set[str] = set()  # a row may be handed over before the first receipt is heard
        self._exceeding: dict[str, tuple[Receipt, int]] = {}  # receipts that said more, and what was handed over then

    def knows(self, outbox: str) -> bool:
        return outbox in self._begun

    def begin(self, outbox: str, upto: int) -> None:
        """What the file knows of an outbox id (`Outbox.handed`)."""
        self._begun.add(outbox)
        self._numbers.setdefault(outbox, Contiguous()).add_all(1, upto)

    def add_parcel(self, outbox: str, first: int, last: int) -> None:
        """These numbers went to the county by hand, and it has that very parcel."""
        self._numbers.setdefault(outbox, Contiguous()).add_all(first, last)

    def add(self, rows: Iterable[Row]) -> Receipt | None:
        """A broker took these rows (of one outbox id). Gives a receipt that had come already and covers more now."""
        outbox = ""
        for row in rows:
            outbox = row.outbox
            self._numbers.setdefault(outbox, Contiguous()).add_all(row.numbers.start, row.seq)
        said, then = self._exceeding.get(outbox, (None, 0))
        return said if said is not None and self._numbers[outbox].upto > then else None

    def upto(self, receipt: Receipt) -> int:
        """How far it was handed over. Remembers a receipt that says more."""
        upto = self._numbers[receipt.outbox].upto
        if upto < receipt.upto:
            self._exceeding[receipt.outbox] = receipt, upto
        else:
            self._exceeding.pop(receipt.outbox, None)
        return upto


def note_parcel(box: Outbox, digest: str, spans: Spans) -> None:
    """A parcel is about to leave; those of which the county has receipted everything are forgotten. Raises OutboxFull."""
    marks: dict[str, bytes | None] = {key: None for key in box.states(PARCEL) if _is_receipted(box, _spans(box, key))}
    box.append([], marks | {PARCEL + digest: msgspec.json.encode(spans)})


def parcel_spans(box: Outbox, receipt: Receipt) -> list[tuple[int, int]]:
    """Numbers of the receipt's outbox id that this file sent in the parcels that the receipt names."""
    spans = [span for digest in receipt.parcels for span in _spans(box, PARCEL + digest)]
    return [(first, last) for outbox, first, last in spans if outbox == receipt.outbox]


def _spans(box: Outbox, key: str) -> Spans:
    mark = box.state(key)
    try:
        return msgspec.json.decode(mark, type=Spans) if mark else ()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ()


def _is_receipted(box: Outbox, spans: Spans) -> bool:
    upto = {span.outbox: span.receipted - span.base for span in box.spans()}
    return all(last <= upto.get(outbox, 0) for outbox, _, last in spans)


class CloneDetector:
    """`hears` each receipt that came live."""

    def __init__(self) -> None:
        self._upto: dict[str, int] = {}

    def saw(self, receipt: Receipt, last_seq: int) -> bool:
        """`last_seq`: the newest number that this file gave under the receipt's outbox id. True where it grew beyond that."""
        if receipt.upto <= last_seq or receipt.parcels:  # what came by hand may have been written long ago
            return False
        before = self._upto.setdefault(receipt.outbox, receipt.upto)
        self._upto[receipt.outbox] = max(before, receipt.upto)
        return receipt.upto > before
