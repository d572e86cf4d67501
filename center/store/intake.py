"""Parses a terminal's message into rows to store, messages to set aside, and last values. Pure: bytes in, facts out.

The terminal is the one that the topic names (the broker's ACL vouches for it), never one that a payload names. Nothing
here raises for what a terminal sent: a message that breaks the contract is set aside whole, with the reason.
"""

from functools import cache
from hashlib import sha256
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from common.messages import ROOT, Capture, Journal, Message, OutboxId, Receipted, State, topic, type_of
from common.station import BadStation, Terminal

MAX_SEQ = 2**63 - 1  # the largest integer of the database
MAX_LEAF_LENGTH = 200


class Arrived(NamedTuple):
    """A message as the broker delivered it."""

    topic: str
    payload: bytes
    retained: bool = False
    late: bool = False
    simulated: bool = False


class Row(NamedTuple):
    """A receipted message: its place in the sequence, and its bytes as the terminal committed them."""

    terminal: Terminal
    outbox: str
    seq: int
    leaf: str
    body: bytes
    late: bool
    simulated: bool
    rejected: bool = False  # only holds its place: its bytes were set aside
    void: bool = False  # holds the places of rows that the terminal evicted: `void_range`

    @property
    def kind(self) -> str:
        if self.rejected:
            return "rejected"
        return "void" if self.void else self.leaf.partition("/")[0]

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes: another digest at the same place is a conflict."""
        return sha256(self.body).digest()


class SetAside(NamedTuple):
    """A message that breaks the contract, whole, and why."""

    name: str  # of the terminal, as in the topic; not checked
    leaf: str
    body: bytes
    why: str
    simulated: bool

    @property
    def digest(self) -> bytes:
        """SHA-256 of name, leaf and body. A topic holds no NUL, so NUL separates them."""
        return sha256(b"\0".join((self.name.encode(), self.leaf.encode(), self.body))).digest()


class Value(NamedTuple):
    """A leaf's last value: its present state."""

    terminal: Terminal
    leaf: str
    body: bytes
    simulated: bool
    outbox: str | None = None
    seq: int | None = None


class Parsed(NamedTuple):
    """The facts of one message."""

    rows: tuple[Row, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    values: tuple[Value, ...] = ()
    state: tuple[Terminal, State] | None = None

    def as_set_aside(self, why: str) -> "Parsed":
        """The same as set-aside bytes only: for rows that the database itself rejects."""
        facts = (*self.rows, *self.values)
        aside = (SetAside(fact.terminal.name, fact.leaf, fact.body, why, fact.simulated) for fact in facts)
        return Parsed(set_aside=(*self.set_aside, *aside))


def split_topic(topic: str) -> tuple[str, str] | None:
    """Name and leaf of a topic below the root; None if it is not one of ours."""
    head = ROOT + "/"
    name, slash, leaf = topic[len(head) :].partition("/")
    return (name, leaf) if topic.startswith(head) and slash else None


def parse(arrived: Arrived) -> Parsed:
    """The facts of one message."""
    name, leaf = split_topic(arrived.topic) or ("", arrived.topic)
    try:
        terminal = Terminal.parse(name)
    except BadStation as error:
        return Parsed(set_aside=(SetAside(name, leaf, arrived.payload, str(error), arrived.simulated),))
    kind = type_of(leaf)
    if kind is None or not issubclass(kind, Message) or len(leaf) > MAX_LEAF_LENGTH:
        return _reject(terminal, leaf, arrived, arrived.payload, "the contract has no such topic")
    if leaf == "scan":
        return _parse_scan(terminal, arrived)
    message = _decode(kind, arrived.payload)
    if isinstance(message, str):
        return _reject(terminal, leaf, arrived, arrived.payload, message)
    if isinstance(message, Receipted):
        row = Row(terminal, message.outbox, message.seq, leaf, arrived.payload, arrived.late, arrived.simulated)
        if isinstance(message, Journal):
            return Parsed(rows=(row._replace(void=message.event == "void"),))
        return Parsed((row,), values=(Value(terminal, leaf, row.body, row.simulated, row.outbox, row.seq),))
    return _parse_unreceipted(terminal, leaf, arrived, message)


def void_range(body: bytes, seq: int) -> tuple[int, int]:
    """The first and last number that the void at `seq` stands for: from the first that it names to its own.

    For any other journal entry: its own number twice.
    """
    void = _decode(_VoidEntry, body)
    first = seq if isinstance(void, str) else void.details.first
    return (first, seq) if 1 <= first <= seq else (seq, seq)


class _VoidDetails(msgspec.Struct, frozen=True):
    first: int = msgspec.field(name="from", default=MAX_SEQ)


class _VoidEntry(msgspec.Struct):
    event: Literal["void"]
    details: _VoidDetails = _VoidDetails()


def parse_row(terminal: Terminal, outbox: str, seq: int, leaf: str, body: bytes) -> Parsed:
    """The facts of one row of a parcel, as of a late message; there is always a row, whatever its body is.

    A body that breaks the contract, or names another place than the parcel does, is set aside; its row holds the place.
    """
    arrived = Arrived(topic(terminal.name, leaf), body, late=True)
    parsed = _parse_capture(terminal, arrived, body) if leaf == "scan" else parse(arrived)
    if [(row.outbox, row.seq) for row in parsed.rows] == [(outbox, seq)]:
        return parsed
    other = SetAside(terminal.name, leaf, body, f"it came as {outbox} {seq} and is no such row", False)
    row = Row(terminal, outbox, seq, leaf, body, late=True, simulated=False, rejected=True)
    return Parsed((row,), parsed.set_aside or (other,))


def _parse_unreceipted(terminal: Terminal, leaf: str, arrived: Arrived, message: Message) -> Parsed:
    if not isinstance(message, State):
        return Parsed(values=(Value(terminal, leaf, arrived.payload, arrived.simulated),))
    named = (message.division, message.number, message.terminal)
    if named != (terminal.division, str(terminal.number), terminal.terminal):
        return _reject(terminal, leaf, arrived, arrived.payload, f"the state names another terminal: {named}")
    value = Value(terminal, leaf, arrived.payload, arrived.simulated or message.simulated, message.outbox)
    return Parsed(values=(value,), state=(terminal, message))


class _Batch(Message, frozen=True, kw_only=True):
    """A Scan whose captures remain the bytes that the terminal committed."""

    outbox: OutboxId
    captures: tuple[msgspec.Raw, ...]


def _parse_scan(terminal: Terminal, arrived: Arrived) -> Parsed:
    batch = _decode(_Batch, arrived.payload)
    if isinstance(batch, str):
        return _reject(terminal, "scan", arrived, arrived.payload, batch)
    rows: list[Row] = []
    aside: list[SetAside] = []
    for raw in batch.captures:
        parsed = _parse_capture(terminal, arrived, bytes(raw))
        rows += parsed.rows
        aside += parsed.set_aside
    return Parsed(tuple(rows), tuple(aside))


def _parse_capture(terminal: Terminal, arrived: Arrived, body: bytes) -> Parsed:
    capture = _decode(Capture, body)
    if isinstance(capture, str):
        return _reject(terminal, "scan", arrived, body, capture)
    return Parsed((Row(terminal, capture.outbox, capture.seq, "scan", body, arrived.late, arrived.simulated),))


class _Place(msgspec.Struct):
    """The fields that are needed to count a rejected message as received."""

    outbox: OutboxId
    seq: Annotated[int, Meta(ge=1, le=MAX_SEQ)]


def _reject(terminal: Terminal, leaf: str, arrived: Arrived, body: bytes, why: str) -> Parsed:
    """Set the message aside; a row holds its place in the sequence if that can be read."""
    aside = SetAside(terminal.name, leaf, body, why.replace("\0", "\\0"), arrived.simulated)
    place = _decode(_Place, body)
    if isinstance(place, str):
        return Parsed(set_aside=(aside,))
    row = Row(terminal, place.outbox, place.seq, leaf, body, arrived.late, arrived.simulated, rejected=True)
    return Parsed((row,), (aside,))


@cache
def _decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _decode(kind: type[Any], payload: bytes) -> Any | str:
    """The message, or why it is invalid."""
    try:
        message = _decoder(kind).decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return str(error)
    except RecursionError:
        return "nested too deep"
    if isinstance(message, Receipted) and message.seq > MAX_SEQ:
        return f"seq is above {MAX_SEQ}"
    return message
