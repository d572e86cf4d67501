"""The store's tables, in SQLAlchemy Core, the same for SQLite and PostgreSQL.

    entry     receipted messages, byte for byte, by (division, station, terminal, outbox, seq): facts, never changed
    conflict  other bytes for the same place in a sequence: kept in addition to the first
    set_aside messages that break the contract: bytes and why
    head      how far each outbox's numbers reach without a gap: what receipts state
    latest    the last value of each leaf of a terminal, including its state and heartbeat
    terminal  every terminal that ever sent something
    export_key  the keys that a terminal signs its parcels with, as reported; a new key does not replace an old one
    parcel    imported parcels
    brought   the outboxes of which a parcel had rows: the recorder's receipts name the parcel

Times are UTC, RFC 3339 with milliseconds, as text: sorts the same everywhere. A released migration is never changed.
"""

from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

_RowId = BigInteger().with_variant(Integer, "sqlite")  # SQLite's own row number is INTEGER only


def _terminal(primary_key: bool = False) -> list[Column[str]]:
    """450225, GXBRS0001B, 1: identifies a terminal even if two counties' numbers are alike."""
    return [
        Column(name, String(16), nullable=False, primary_key=primary_key)
        for name in ("division", "station", "terminal")
    ]


schema_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))

store = Table(
    "store", metadata,
    Column("id", String(64), primary_key=True),  # random, created once: receipts name it
    Column("made_at", String(32), nullable=False),
)  # fmt: skip

terminal = Table(
    "terminal", metadata, *_terminal(primary_key=True),
    Column("first_heard", String(32), nullable=False),
    Column("last_heard", String(32), nullable=False),
    Column("simulated", Boolean, nullable=False),
)  # fmt: skip

entry = Table(
    "entry", metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),  # the order of arrival: a cursor for readers
    *_terminal(),
    Column("outbox", String(12), nullable=False),
    Column("seq", BigInteger, nullable=False),
    # device, standard, journal, scan; void: a journal entry that holds the places of rows that the terminal evicted;
    # rejected: holds its place, its bytes are in set_aside
    Column("kind", String(32), nullable=False),
    Column("leaf", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("received_at", String(32), nullable=False),
    Column("late", Boolean, nullable=False),
    Column("simulated", Boolean, nullable=False),
    UniqueConstraint("division", "station", "terminal", "outbox", "seq", name="entry_place"),
    sqlite_autoincrement=True,
)  # fmt: skip
Index("entry_kind", entry.c.kind, entry.c.division, entry.c.station, entry.c.terminal, entry.c.id)

conflict = Table(
    "conflict", metadata, *_terminal(primary_key=True),
    Column("outbox", String(12), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary(32), primary_key=True),
    Column("leaf", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", String(32), nullable=False),
)  # fmt: skip

set_aside = Table(
    "set_aside", metadata,
    Column("digest", LargeBinary(32), primary_key=True),  # of name, leaf and body: a message sent a hundred times is stored once
    Column("name", Text, nullable=False),
    Column("leaf", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("why", Text, nullable=False),
    Column("received_at", String(32), nullable=False),
    Column("simulated", Boolean, nullable=False),
)  # fmt: skip

head = Table(
    "head", metadata, *_terminal(primary_key=True),
    Column("outbox", String(12), primary_key=True),
    Column("upto", BigInteger, nullable=False),
)  # fmt: skip

latest = Table(
    "latest", metadata, *_terminal(primary_key=True),
    Column("leaf", String(255), primary_key=True),
    Column("outbox", String(12)),
    Column("seq", BigInteger),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", String(32), nullable=False),
    Column("simulated", Boolean, nullable=False),
)  # fmt: skip

export_key = Table(
    "export_key", metadata, *_terminal(primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("by_hand", Boolean, nullable=False),  # an operator vouched for it; else the terminal reported it over its link
    Column("first_told", String(32), nullable=False),
    Column("last_told", String(32), nullable=False),
)  # fmt: skip

parcel = Table(
    "parcel", metadata,
    Column("digest", String(64), primary_key=True),
    *_terminal(),
    Column("key", String(64), nullable=False),
    Column("packed_at", String(32), nullable=False),  # on the terminal's clock
    Column("imported_at", String(32), nullable=False),
    Column("rows", BigInteger, nullable=False),
)  # fmt: skip

brought = Table(
    "brought", metadata, *_terminal(primary_key=True),
    Column("outbox", String(12), primary_key=True),
    Column("digest", String(64), primary_key=True),  # of the parcel
    Column("imported_at", String(32), nullable=False),
    Column("told", Boolean, nullable=False),  # the recorder has queued the receipt
)  # fmt: skip


def _first(connection: Connection) -> None:
    metadata.create_all(connection)


def _parcels(connection: Connection) -> None:
    metadata.create_all(connection, [export_key, parcel, brought])


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_first, _parcels)
