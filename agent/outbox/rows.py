"""What goes into the outbox and what comes out: drafts, rows, its counts, and how its file was found."""

from typing import NamedTuple

from common.messages import Receipted
from drivers.reading import YinongError


class OutboxFull(YinongError):  # noqa: N818
    """The disk has no room for the row, also after everything that may be given up was."""


class Draft(NamedTuple):
    """A receipted message before it has its place: `outbox` and `seq` are filled in when it is committed."""

    leaf: str  # topic below the terminal's branch
    message: Receipted
    retained: bool = False
    at_s: int | None = None  # wall time in seconds where the clock is trusted: the archive is pruned by it


class Row(NamedTuple):
    """A committed message, byte for byte as it is sent."""

    rowid: int  # position in the file, over all outbox ids
    outbox: str
    seq: int
    leaf: str
    body: bytes
    retained: bool
    first: int = 0  # of a void that stands for several numbers: it covers first..seq

    @property
    def numbers(self) -> range:
        """The numbers of the sequence that it covers."""
        return range(self.first or self.seq, self.seq + 1)


class Backlog(NamedTuple):
    """What waits: what can be said of the outbox each minute, however large its archive is."""

    outbox: str
    last_seq: int
    waiting: int  # as in Depth
    file_bytes: int


class Depth(NamedTuple):
    """What the outbox holds; its archive is counted, which takes some milliseconds for each ten thousand rows."""

    outbox: str
    last_seq: int
    receipted: int  # without a gap up to this seq
    waiting: int  # numbers of every outbox id that the county has not receipted
    archived: int
    file_bytes: int
    store: str | None  # the recorder's store that receipted last


class Opening(NamedTuple):
    """How the file was found: for the journal."""

    kind: str  # new, kept, migrated, corrupt, other_hardware
    details: dict[str, str | int]
