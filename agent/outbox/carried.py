"""Parcels that left this terminal, as marks in the outbox file: a receipt that names one covers what was in it.

An export alone says nothing: the stick may be lost. What a receipt covers must have been handed over by this very file
(decision 12), and a parcel that the county names by its digest was, with these bytes.
"""

from typing import TypeAlias

import msgspec

from agent.outbox.outbox import Outbox
from common.messages import Receipt

CARRIED = "carried:"  # mark: carried:<digest> -> the spans that were in it
Spans: TypeAlias = tuple[tuple[str, int, int], ...]  # outbox id, first and last number


def note(box: Outbox, digest: str, spans: Spans) -> None:
    """A parcel is about to leave; those of which the county has receipted everything are forgotten. Raises OutboxFull."""
    marks: dict[str, bytes | None] = {key: None for key in box.marks(CARRIED) if _is_receipted(box, _spans(box, key))}
    box.append([], marks | {CARRIED + digest: msgspec.json.encode(spans)})


def spans_of(box: Outbox, receipt: Receipt) -> list[tuple[int, int]]:
    """Numbers of the receipt's outbox id that this file sent in the parcels that the receipt names."""
    spans = [span for digest in receipt.parcels for span in _spans(box, CARRIED + digest)]
    return [(first, last) for outbox, first, last in spans if outbox == receipt.outbox]


def _spans(box: Outbox, key: str) -> Spans:
    mark = box.mark(key)
    try:
        return msgspec.json.decode(mark, type=Spans) if mark else ()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ()


def _is_receipted(box: Outbox, spans: Spans) -> bool:
    upto = {span.outbox: span.receipted - span.base for span in box.spans()}
    return all(last <= upto.get(outbox, 0) for outbox, _, last in spans)
