"""Batches of backlog captures: the rows' own bytes in one `scan` message, of a size that line and broker can take."""

from collections.abc import Callable, Sequence

import msgspec

from agent.outbox.rows import Row
from common.clock import Clock, rfc3339
from common.messages import Scan

MAX_ROWS = 50
MAX_BYTES = 32_768  # a live scan waits behind one such message: 0.25 s at 1 Mbit/s
HEAD_BYTES = 256  # of a Scan without its captures, at most


class _ScanBatch(Scan, frozen=True, kw_only=True):
    """A Scan whose captures are the rows' own bytes: a body never changes after its commit."""

    captures: tuple[msgspec.Raw, ...]  # type: ignore[assignment]


def next_batch(
    rows: Sequence[Row], blocked: Callable[[Row], bool], max_payload: int | None
) -> tuple[Sequence[Row], Sequence[Row]]:
    """From waiting rows, in order: those to skip because they are blocked, and those to publish in one message.

    Consecutive captures of one outbox form a batch of at most `max_payload` bytes; a larger capture, and every other row, is
    published alone.
    """
    start = next((at for at, row in enumerate(rows) if not blocked(row)), len(rows))
    rest, max_bytes = rows[start:], min(MAX_BYTES, MAX_BYTES if max_payload is None else max_payload) - HEAD_BYTES
    if not rest or rest[0].leaf != "scan":
        return rows[:start], rest[:1]
    size, end = len(rest[0].body), 1
    while end < min(len(rest), MAX_ROWS):
        row = rest[end]
        size += len(row.body) + 1
        if row.leaf != "scan" or row.outbox != rest[0].outbox or blocked(row) or size > max_bytes:
            break
        end += 1
    return rows[:start], rest[:end]


def payload_of(rows: Sequence[Row], clock: Clock) -> bytes:
    """The payload of the message for these rows."""
    if rows[0].leaf != "scan":
        return rows[0].body
    return msgspec.json.encode(
        _ScanBatch(
            boot=clock.boot,
            at=rfc3339(clock.now()),
            mono_ms=clock.mono_ms(),
            clock=clock.quality(),
            outbox=rows[0].outbox,
            captures=tuple(msgspec.Raw(row.body) for row in rows),
        )
    )
