"""Waiting rows of the outbox, packed into parcels piece by piece: a piece delays the daemon's commits by some milliseconds.

Nothing in the outbox changes by it: only the recorder's receipt states that the county has a row.
"""

import zlib
from collections.abc import Generator, Iterator
from hashlib import sha256
from typing import NamedTuple, TypeAlias
from zlib import crc32

import msgspec

from agent.outbox.outbox import Outbox, Row
from agent.outbox.stamps import stamped
from common.clock import Clock
from common.parcel import Manifest, PackedRow, Span, file_name, row_line
from common.station import Terminal
from common.version import VERSION
from drivers.reading import YinongError

STEP = 200  # rows
STEP_ROWIDS = 2000
PART_BYTES = 1 << 30  # of row lines, before compression: far below the 4 GB limit of FAT


class ParcelHeader(NamedTuple):
    """The start of a parcel; its bytes follow."""

    name: str
    rows: int
    scans: int
    content: str  # SHA-256 of its row lines


class SealPoint(NamedTuple):
    """The parcel's first member is complete: the seal over this SHA-256 goes behind it."""

    digest: str
    spans: tuple[Span, ...]


Piece: TypeAlias = ParcelHeader | bytes | SealPoint


def pieces(box: Outbox, terminal: Terminal, key: str, clock: Clock, part_bytes: int = PART_BYTES) -> Iterator[Piece]:
    """Every waiting row, of every outbox id of the file, and the receipted entries about their boots' clocks.

    `key` is the public half of the key that will seal them. In the outbox's thread, a piece at a time; b"" is only a pause.
    Raises YinongError if rows changed meanwhile.
    """
    parts = yield from _planned(box, part_bytes)
    for part in parts:
        manifest = Manifest(
            **stamped(clock),
            division=terminal.division,
            number=str(terminal.number),
            terminal=terminal.terminal,
            fingerprint=box.fingerprint,
            version=VERSION,
            spans=tuple(part.spans),
            rows=part.rows,
            content=part.content.hexdigest(),
        )
        yield ParcelHeader(file_name(manifest, key), part.rows, part.scans, manifest.content)
        yield from _packed(box, part, manifest)


class _Part:
    """The contents of one file."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.ranges: list[tuple[int, int]] = []  # first and last rowid, in order
        self.rows = self.scans = self.bytes = 0
        self.content = sha256()

    def add(self, row: Row, *, waits: bool) -> None:
        line = row_line(PackedRow(row.outbox, row.seq, row.leaf, row.body))
        self.content.update(line)
        self.bytes += len(line)
        self.rows += 1
        self.scans += waits and row.leaf == "scan"
        if self.ranges and self.ranges[-1][1] == row.rowid - 1:
            self.ranges[-1] = (self.ranges[-1][0], row.rowid)
        else:
            self.ranges.append((row.rowid, row.rowid))
        if not waits:
            return
        last = self.spans[-1] if self.spans else None
        if last and (last.outbox, last.last) == (row.outbox, row.seq - 1):
            self.spans[-1] = msgspec.structs.replace(last, last=row.seq)
        else:
            self.spans.append(Span(outbox=row.outbox, first=row.seq, last=row.seq))


class _Stamp(msgspec.Struct):
    boot: str = ""
    clock: str = ""
    event: str = ""


def _planned(box: Outbox, part_bytes: int) -> Generator[Piece, None, list[_Part]]:
    parts: list[_Part] = []
    untimed: set[str] = set()  # boots of waiting rows whose time no clock knew
    after, upto = 0, box.last_rowid()
    while rows := box.waiting(after, STEP, upto):
        for row in rows:
            if not parts or parts[-1].bytes >= part_bytes:
                parts.append(_Part())
            parts[-1].add(row, waits=True)
            stamp = _stamp(row.body)
            if stamp.clock != "synced":
                untimed.add(stamp.boot)
        after = rows[-1].rowid
        yield b""
    for first in range(1, upto + 1 if untimed else 1, STEP_ROWIDS):
        for row in _receipted_journal(box, first, min(upto, first + STEP_ROWIDS - 1)):
            stamp = _stamp(row.body)
            if stamp.boot in untimed and (stamp.clock == "synced" or stamp.event.startswith("clock_")):
                parts[-1].add(row, waits=False)
        yield b""
    return parts


def _receipted_journal(box: Outbox, first: int, last: int) -> Iterator[Row]:
    found = box.db.execute(
        "SELECT id, leaf, body, crc FROM entry WHERE id >= ? AND id <= ? AND kind = 'journal' ORDER BY id",
        (first, last),
    )
    for rowid, leaf, body, crc in found.fetchall():
        row, receipted = box.row(rowid, leaf, bytes(body))
        if receipted and crc in (None, crc32(body)):
            yield row


def _packed(box: Outbox, part: _Part, manifest: Manifest) -> Iterator[Piece]:
    pack, content, digest = zlib.compressobj(6, zlib.DEFLATED, 31), sha256(), sha256()
    piece = pack.compress(msgspec.json.encode(manifest) + b"\n")
    for rows in _read(box, part.ranges):
        lines = b"".join(row_line(row) for row in rows)
        content.update(lines)
        piece += pack.compress(lines)
        digest.update(piece)
        yield piece
        piece = b""
    if content.digest() != part.content.digest():
        raise YinongError("打包时记录有变动，请再做一次 / rows changed while they were packed: do it again")
    piece += pack.flush()
    digest.update(piece)
    yield piece
    yield SealPoint(digest.hexdigest(), manifest.spans)


def _read(box: Outbox, ranges: list[tuple[int, int]]) -> Iterator[list[PackedRow]]:
    for first, last in ranges:
        while first <= last:
            found = box.db.execute(
                "SELECT id, leaf, body FROM entry WHERE id >= ? AND id <= ? ORDER BY id LIMIT ?", (first, last, STEP)
            ).fetchall()
            rows = [box.row(rowid, leaf, bytes(body))[0] for rowid, leaf, body in found]
            yield [PackedRow(row.outbox, row.seq, row.leaf, row.body) for row in rows]
            first = rows[-1].rowid + 1 if rows else last + 1


def _stamp(body: bytes) -> _Stamp:
    try:
        return msgspec.json.decode(body, type=_Stamp)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Stamp()
