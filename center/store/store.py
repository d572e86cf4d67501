"""The county's store: messages are committed before they are receipted, and stored once however often they are sent.

    Arrived -> intake.parse -> Store.ingest (one transaction) -> heads -> receipts

One writer. SQLite (WAL, synchronous=FULL) by default, PostgreSQL by its URL.
"""

from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Engine, Table, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from center.store import parcels, schema
from center.store.database import StoreError, StoreRejected, open_database
from center.store.intake import Parsed, Row, SetAside, Value, void_range
from center.store.presence import is_newer
from common.clock import Clock
from common.messages import State
from common.receipts import Contiguous
from common.station import Terminal

_PAGE = 500
_WRITER_LOCK = 0x79696E6F6E67  # the number of the writers' advisory lock in PostgreSQL: b"yinong"
Place = tuple[str, str, str, str, int]
HeadKey = tuple[str, str, str, str]


class Head(NamedTuple):
    """How far an outbox's numbers reach without a gap: what a receipt states."""

    terminal: Terminal
    outbox: str
    upto: int
    parcels: tuple[str, ...] = ()  # the newest imported ones with rows of it (`Store.heads` only)


class Ingested(NamedTuple):
    """What one `ingest` did."""

    stored: int = 0
    duplicates: int = 0
    conflicts: int = 0
    set_aside: int = 0
    # of every outbox that a row came from, even a duplicate: its terminal missed the receipt
    heads: tuple[Head, ...] = ()
    changed_keys: tuple[Terminal, ...] = ()  # terminals that reported another export key than before


class Store:
    """See the module. Synchronous; `ingest` takes milliseconds."""

    def __init__(self, engine: Engine, clock: Clock, store_id: str) -> None:
        self._engine, self._clock = engine, clock
        self.id = store_id

    @classmethod
    def open(cls, url: str, clock: Clock, *, create: bool = True) -> "Store":
        """Migrated, and created if there is none and `create`. Raises StoreError: no such database, or of a newer program."""
        engine, store_id = open_database(url, _utc(clock), create=create)
        return cls(engine, clock, store_id)

    def ingest(self, batch: Sequence[Parsed], *, imported: bool = False) -> Ingested:
        """Store the whole batch in one transaction. Raises StoreError or StoreRejected; then nothing was stored.

        `imported`: rows of a parcel, which are no sign that the terminal is connected.
        """
        now = _utc(self._clock)
        try:
            with self._engine.begin() as connection:
                self._lock_writers(connection)
                rows = [row for parsed in batch for row in parsed.rows]
                aside = [one for parsed in batch for one in parsed.set_aside]
                values = [value for parsed in batch for value in parsed.values]
                ingested = self._store_rows(connection, rows, now)
                self._store_set_aside(connection, aside, now)
                self._update_terminals(connection, [*rows, *values], now, only_new=imported)
                self._update_latest(connection, values, now)
                states = [parsed.state for parsed in batch if parsed.state]
                changed = parcels.record_keys(connection, self._insert, states, now)
                return ingested._replace(set_aside=len(aside), changed_keys=changed)
        except (DataError, IntegrityError, OverflowError, TypeError, ValueError) as error:
            raise StoreRejected(str(error)) from error
        except SQLAlchemyError as error:
            raise StoreError(str(error)) from error

    def heads(self, outboxes: Iterable[tuple[Terminal, str]]) -> tuple[Head, ...]:
        """How far these outboxes' numbers reach; 0 if nothing of one is stored. Raises StoreError."""
        keys = {(*_terminal_key(terminal), outbox): terminal for terminal, outbox in outboxes}
        try:
            with self._engine.connect() as connection:
                found = _heads(connection, list(keys))
                return tuple(
                    Head(terminal, key[3], found.get(key, 0), parcels.newest_parcels(connection, terminal, key[3]))
                    for key, terminal in keys.items()
                )
        except SQLAlchemyError as error:
            raise StoreError(str(error)) from error

    @contextmanager
    def transaction(self) -> Generator[tuple[Connection, parcels.Insert, str]]:
        """For small changes other than `ingest`: the connection, its INSERT, and now. Raises StoreError."""
        try:
            with self._engine.begin() as connection:
                yield connection, self._insert, _utc(self._clock)
        except SQLAlchemyError as error:
            raise StoreError(str(error)) from error

    def imported_outboxes(self) -> tuple[Head, ...]:
        """The heads of outboxes of which rows were imported since the last call. Raises StoreError."""
        with self.transaction() as (connection, _, _now):
            pending = parcels.take_pending(connection)
        return self.heads(pending) if pending else ()

    def close(self) -> None:
        self._engine.dispose()

    def _lock_writers(self, connection: Connection) -> None:
        """One writer at a time, in all processes: heads are read, computed and written (SQLite locks by BEGIN IMMEDIATE)."""
        if self._engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_WRITER_LOCK)))

    def _insert(self, table: Table) -> Any:
        return (postgresql if self._engine.dialect.name == "postgresql" else sqlite).insert(table)

    def _store_rows(self, connection: Connection, rows: Sequence[Row], now: str) -> Ingested:
        first: dict[Place, Row] = {}
        repeated: list[tuple[Place, Row]] = []
        for row in rows:
            place = (*_terminal_key(row.terminal), row.outbox, row.seq)
            if place in first:
                repeated.append((place, row))
            else:
                first[place] = row
        inserted = self._insert_new(connection, first, now)
        repeated += [(place, row) for place, row in first.items() if place not in inserted]
        digests = {place: first[place].digest for place in inserted} | _digests(
            connection, [place for place, _ in repeated if place not in inserted]
        )
        conflicts = [(place, row) for place, row in repeated if digests[place] != row.digest]
        if conflicts:
            connection.execute(
                self._insert(schema.conflict).on_conflict_do_nothing(),
                [
                    _columns(place) | {"digest": row.digest, "leaf": row.leaf, "body": row.body, "received_at": now}
                    for place, row in conflicts
                ],
            )
        heads = self._advance(connection, first, inserted)
        return Ingested(len(inserted), len(repeated) - len(conflicts), len(conflicts), 0, heads)

    def _insert_new(self, connection: Connection, rows: dict[Place, Row], now: str) -> set[Place]:
        if not rows:
            return set()
        columns = schema.entry.c
        statement = (
            self._insert(schema.entry)
            .on_conflict_do_nothing(index_elements=[columns[name] for name in _PLACE])
            .returning(*(columns[name] for name in _PLACE))
        )
        values = [
            _columns(place)
            | {
                "kind": row.kind,
                "leaf": row.leaf,
                "body": b"" if row.rejected else row.body,
                "digest": row.digest,
                "received_at": now,
                "late": row.late,
                "simulated": row.simulated,
            }
            for place, row in rows.items()
        ]
        return {tuple(found) for found in connection.execute(statement, values)}  # type: ignore[misc]

    def _advance(self, connection: Connection, rows: dict[Place, Row], inserted: set[Place]) -> tuple[Head, ...]:
        """The number after a head is never stored yet, so only a row inserted now can advance that head."""
        new: defaultdict[HeadKey, list[int]] = defaultdict(list)
        terminals: dict[HeadKey, Terminal] = {}
        for place, row in rows.items():
            key = place[:4]
            terminals[key] = row.terminal
            new[key] += [place[4]] if place in inserted else []
        before = _heads(connection, list(terminals))
        after = {key: _contiguous_upto(connection, key, before.get(key, 0), new[key]) for key in terminals}
        advanced = [_columns((*key, 0)) | {"upto": upto} for key, upto in after.items() if upto > before.get(key, 0)]
        if advanced:
            insert = self._insert(schema.head)
            for line in advanced:
                del line["seq"]
            connection.execute(
                insert.on_conflict_do_update(index_elements=list(_PLACE[:4]), set_={"upto": insert.excluded.upto}),
                advanced,
            )
        return tuple(Head(terminals[key], key[3], upto) for key, upto in after.items())

    def _store_set_aside(self, connection: Connection, aside: Iterable[SetAside], now: str) -> None:
        values = [one._asdict() | {"digest": one.digest, "received_at": now} for one in aside]
        if values:
            connection.execute(self._insert(schema.set_aside).on_conflict_do_nothing(), values)

    def _update_terminals(
        self, connection: Connection, facts: Iterable[Row | Value], now: str, *, only_new: bool
    ) -> None:
        simulated = {fact.terminal: fact.simulated for fact in facts}
        values = [
            dict(zip(_PLACE[:3], _terminal_key(terminal), strict=True))
            | {"first_heard": now, "last_heard": now, "simulated": is_simulated}
            for terminal, is_simulated in simulated.items()
        ]
        if values:
            insert = self._insert(schema.terminal)
            new = {"last_heard": insert.excluded.last_heard, "simulated": insert.excluded.simulated}
            key = list(_PLACE[:3])
            if only_new:
                connection.execute(insert.on_conflict_do_nothing(index_elements=key), values)
            else:
                connection.execute(insert.on_conflict_do_update(index_elements=key, set_=new), values)

    def _update_latest(self, connection: Connection, values: Sequence[Value], now: str) -> None:
        columns = schema.latest.c
        keys = {(*_terminal_key(value.terminal), value.leaf) for value in values}
        found: dict[tuple[str, ...], Any] = {}
        for page in _pages([*keys, *{(*key[:3], "state") for key in keys}]):
            in_page = tuple_(columns.division, columns.station, columns.terminal, columns.leaf).in_(page)
            found |= {tuple(line[:4]): line for line in connection.execute(select(schema.latest).where(in_page))}
        present = {key: (line.outbox, line.seq, line.body) for key, line in found.items()}
        changed: dict[tuple[str, ...], dict[str, Any]] = {}
        for value in values:
            key = (*_terminal_key(value.terminal), value.leaf)
            state = present.get((*key[:3], "state"))
            if _supersedes(present.get(key), value, state[0] if state else None):
                present[key] = (value.outbox, value.seq, value.body)
                changed[key] = {
                    **dict(zip((*_PLACE[:3], "leaf"), key, strict=True)), "outbox": value.outbox, "seq": value.seq,
                    "body": value.body, "received_at": now, "simulated": value.simulated,
                }  # fmt: skip
        if changed:
            insert = self._insert(schema.latest)
            new = {name: insert.excluded[name] for name in ("outbox", "seq", "body", "received_at", "simulated")}
            connection.execute(
                insert.on_conflict_do_update(index_elements=[*_PLACE[:3], "leaf"], set_=new), list(changed.values())
            )


_PLACE = ("division", "station", "terminal", "outbox", "seq")


def _terminal_key(terminal: Terminal) -> tuple[str, str, str]:
    return terminal.division, terminal.number.ascii, terminal.terminal


def _columns(place: Place) -> dict[str, Any]:
    return dict(zip(_PLACE, place, strict=True))


def _utc(clock: Clock) -> str:
    return clock.now().astimezone(UTC).isoformat(timespec="milliseconds")


def _pages(keys: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (keys[start : start + _PAGE] for start in range(0, len(keys), _PAGE))


def _digests(connection: Connection, places: Sequence[Place]) -> dict[Place, bytes]:
    columns = [schema.entry.c[name] for name in _PLACE]
    found: dict[Place, bytes] = {}
    for page in _pages(places):
        for line in connection.execute(select(*columns, schema.entry.c.digest).where(tuple_(*columns).in_(page))):
            found[tuple(line[:5])] = line.digest  # type: ignore[index]
    return found


def _heads(connection: Connection, keys: Sequence[HeadKey]) -> dict[HeadKey, int]:
    columns = [schema.head.c[name] for name in _PLACE[:4]]
    found: dict[HeadKey, int] = {}
    for page in _pages(keys):
        for line in connection.execute(select(*columns, schema.head.c.upto).where(tuple_(*columns).in_(page))):
            found[tuple(line[:4])] = line.upto  # type: ignore[index]
    return found


def _contiguous_upto(connection: Connection, key: HeadKey, upto: int, new: Sequence[int]) -> int:
    """How far the numbers reach now: over the new ones, then over those stored before behind a gap."""
    numbers = Contiguous(upto, new)
    columns = schema.entry.c
    in_outbox = _same_outbox(schema.entry, key)
    voids = select(columns.seq, columns.body).where(*in_outbox, columns.kind == "void", columns.seq > upto)
    for seq, body in (*connection.execute(voids), *_conflicting_voids(connection, key, upto)):
        numbers.add_all(*void_range(body, seq))
    while numbers.upto > upto:
        upto = numbers.upto
        behind = select(columns.seq).where(*in_outbox, columns.seq > upto).order_by(columns.seq).limit(_PAGE)
        for seq in connection.scalars(behind):
            numbers.add(seq)
    return upto


def _conflicting_voids(connection: Connection, key: HeadKey, upto: int) -> Iterable[Any]:
    """Voids for the place of a stored row: the terminal evicted its copy of that row with its neighbours."""
    columns = schema.conflict.c
    statement = select(columns.seq, columns.body).where(
        *_same_outbox(schema.conflict, key), columns.leaf == "journal", columns.seq > upto
    )
    return connection.execute(statement)


def _same_outbox(table: Table, key: HeadKey) -> list[Any]:
    return [table.c[name] == value for name, value in zip(_PLACE[:4], key, strict=True)]


def _supersedes(present: tuple[str | None, int | None, bytes] | None, value: Value, current: str | None) -> bool:
    """Does `value` replace `present`? The highest seq wins, not the latest arrival; another outbox wins if it is `current`.

    `current`: the outbox that the terminal's birth named.
    """
    if present is None:
        return True
    outbox, seq, body = present
    if value.leaf == "state":
        decode = msgspec.json.Decoder(State).decode
        return body != value.body and is_newer(decode(body), decode(value.body))
    if value.seq is None or seq is None:
        return True
    return value.seq > seq if value.outbox == outbox else value.outbox == current
