"""The store's tables, in SQLAlchemy Core, the same for SQLite and PostgreSQL.

    entry     receipted messages, byte for byte, by (division, station, terminal, outbox, seq): facts, never changed
    conflict  the same place in a sequence with other bytes: kept beside the first
    set_aside what does not keep to the contract: bytes and why
    head      how far each outbox's numbers reach without a gap: what receipts say
    latest    the last value of each leaf of a terminal, its state and heartbeat among them
    terminal  who has ever been heard
    export_key  the keys that a terminal signs its parcels with, as it told them; a later one stands beside the earlier
    parcel    what came by hand
    brought   of which outboxes a parcel had rows: the recorder's receipts name it

Times are UTC, RFC 3339 with milliseconds, as text: sorts the same everywhere. A migration, once released, is never changed.
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
    """450225, GXBRS0001B, 1: who it is, also where two counties' numbers are alike."""
    return [
        Column(name, String(16), nullable=False, primary_key=primary_key)
        for name in ("division", "station", "terminal")
    ]


schema_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))

store = Table(
    "store", metadata,
    Column("id", String(64), primary_key=True),  # random, made once: receipts name it
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
    # device, standard, journal, scan; void: of the journal, holds the places of what the terminal had to give up;
    # rejected: holds its place, the bytes are in set_aside
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
    Column("digest", LargeBinary(32), primary_key=True),  # of name, leaf and body: sent a hundred times is kept once
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
    Column("by_hand", Boolean, nullable=False),  # an operator vouched for it; else the terminal told it over its link
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
    Column("told", Boolean, nullable=False),  # the recorder has taken word of it
)  # fmt: skip


def _first(connection: Connection) -> None:
    metadata.create_all(connection)


def _parcels(connection: Connection) -> None:
    metadata.create_all(connection, [export_key, parcel, brought])


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_first, _parcels)
