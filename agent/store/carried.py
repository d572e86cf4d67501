"""Parcels that left this terminal, as marks in the outbox file: a receipt that names one covers what was in it.

An export alone says nothing: the stick may be lost. What a receipt covers must have been handed over by this very file
(decision 12), and a parcel that the county names by its digest was, with these bytes.
"""

from typing import TypeAlias

import msgspec

from agent.messages import Receipt
from agent.store.outbox import Outbox
from agent.store.parcel import Span

CARRIED = "carried:"  # mark: carried:<digest> -> the spans that were in it
_Spans: TypeAlias = tuple[Span, ...]


def note(box: Outbox, digest: str, spans: tuple[Span, ...]) -> None:
    """A parcel is about to leave; those of which the county has receipted everything are forgotten. Raises OutboxFull."""
    marks: dict[str, bytes | None] = {key: None for key in box.marks(CARRIED) if _is_receipted(box, _spans(box, key))}
    box.append([], marks | {CARRIED + digest: msgspec.json.encode(spans)})


def spans_of(box: Outbox, receipt: Receipt) -> list[tuple[int, int]]:
    """Numbers of the receipt's outbox id that this file sent in the parcels that the receipt names."""
    spans = [span for digest in receipt.parcels for span in _spans(box, CARRIED + digest)]
    return [(span.first, span.last) for span in spans if span.outbox == receipt.outbox]


def _spans(box: Outbox, key: str) -> _Spans:
    mark = box.mark(key)
    try:
        return msgspec.json.decode(mark, type=_Spans) if mark else ()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ()


def _is_receipted(box: Outbox, spans: _Spans) -> bool:
    upto = {span.outbox: span.receipted - span.base for span in box.spans()}
    return all(span.last <= upto.get(span.outbox, 0) for span in spans)
