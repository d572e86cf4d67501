"""What goes into the outbox and what comes out: drafts, rows, counts, and the state of its file at the start."""

from typing import NamedTuple

from common.messages import Receipted
from drivers.reading import YinongError


class OutboxFull(YinongError):  # noqa: N818
    """The disk has no space for the row, also after everything that may be evicted was."""


class Draft(NamedTuple):
    """A receipted message before its commit, which fills in `outbox` and `seq`."""

    leaf: str  # topic below the terminal's branch
    message: Receipted
    retained: bool = False
    at_s: int | None = None  # wall time in seconds if the clock is trusted: the archive is pruned by it


class Row(NamedTuple):
    """A committed message, byte for byte as it is sent."""

    rowid: int  # in the file, over all outbox ids
    outbox: str
    seq: int
    leaf: str
    body: bytes
    retained: bool
    first: int = 0  # of a void for several numbers: it covers first..seq

    @property
    def numbers(self) -> range:
        """The numbers of the sequence that the row covers."""
        return range(self.first or self.seq, self.seq + 1)


class Backlog(NamedTuple):
    """What waits: counts that cost the same however large the archive is, for every minute."""

    outbox: str
    last_seq: int
    waiting: int  # as in Depth
    file_bytes: int


class Depth(NamedTuple):
    """Everything in the outbox; counting its archive takes some milliseconds for each ten thousand rows."""

    outbox: str
    last_seq: int
    receipted: int  # without a gap up to this seq
    waiting: int  # numbers of every outbox id that the county has not receipted
    archived: int
    file_bytes: int
    store: str | None  # the recorder's store that receipted last


class Opening(NamedTuple):
    """The state in which the file was found, for the journal."""

    kind: str  # new, kept, migrated, corrupt, other_hardware
    details: dict[str, str | int]
