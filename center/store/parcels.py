"""Parcels in the store: the terminals' keys, which parcels were imported, and which receipts are due for them."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, Table, select, update

from center.store import schema
from common.messages import State
from common.station import Terminal

Insert: TypeAlias = Callable[[Table], Any]  # the dialect's, with ON CONFLICT
MAX_NAMED = 4
_TERMINAL = ("division", "station", "terminal")


class KnownKey(NamedTuple):
    """A key that is known to be the terminal's."""

    key: str
    vouched: bool  # an operator vouched for it; else the terminal reported it over its link
    first_reported: str


def keys_of(connection: Connection, terminal: Terminal) -> list[KnownKey]:
    """The oldest first."""
    columns = schema.export_key.c
    found = connection.execute(
        select(columns.key, columns.by_hand, columns.first_told)
        .where(*(columns[name] == value for name, value in _terminal_columns(terminal).items()))
        .order_by(columns.first_told, columns.key)
    )
    return [KnownKey(*line) for line in found]


def record_keys(
    connection: Connection, insert: Insert, states: Iterable[tuple[Terminal, State]], now: str
) -> tuple[Terminal, ...]:
    """Record the keys of births; return the terminals that reported another one than before."""
    reported = {
        (terminal, state.export_key) for terminal, state in states if state.export_key and state.state == "online"
    }
    changed: list[Terminal] = []
    for terminal, key in reported:
        known = keys_of(connection, terminal)
        if known and key not in (one.key for one in known):
            changed.append(terminal)
        _record_key(connection, insert, terminal, key, False, now)
    return tuple(changed)


def trust_key(connection: Connection, insert: Insert, terminal: Terminal, key: str, now: str) -> None:
    """An operator vouches for it."""
    _record_key(connection, insert, terminal, key, True, now)


def record_parcel(
    connection: Connection, insert: Insert, terminal: Terminal, line: dict[str, Any], outboxes: Iterable[str]
) -> None:
    """Record a stored parcel (`line`: its row without the terminal) and mark its outboxes for the recorder to receipt."""
    connection.execute(insert(schema.parcel).on_conflict_do_nothing(), [{**_terminal_columns(terminal), **line}])
    pending = [
        {
            **_terminal_columns(terminal),
            "outbox": outbox,
            "digest": line["digest"],
            "imported_at": line["imported_at"],
            "told": False,
        }
        for outbox in outboxes
    ]
    statement = insert(schema.brought)
    new = {"told": statement.excluded.told}
    if pending:
        connection.execute(
            statement.on_conflict_do_update(index_elements=[*_TERMINAL, "outbox", "digest"], set_=new), pending
        )


def imported_at(connection: Connection, digest: str) -> str | None:
    """When this parcel was first stored; None if it never was."""
    return connection.scalar(select(schema.parcel.c.imported_at).where(schema.parcel.c.digest == digest))


def take_pending(connection: Connection) -> list[tuple[Terminal, str]]:
    """The outboxes of imported parcels whose receipt is due, each returned once.

    A terminal that misses that receipt gets one on its next birth.
    """
    columns = schema.brought.c
    due = select(columns.division, columns.station, columns.terminal, columns.outbox).where(columns.told.is_(False))
    found = connection.execute(due.distinct()).all()
    if found:
        connection.execute(update(schema.brought).values(told=True))
    return [(Terminal.of(line.division, line.station, line.terminal), line.outbox) for line in found]


def newest_parcels(connection: Connection, terminal: Terminal, outbox: str) -> tuple[str, ...]:
    """The newest parcels with rows of this outbox, at most as many as a receipt names."""
    columns = schema.brought.c
    of_terminal = [columns[name] == value for name, value in _terminal_columns(terminal).items()]
    newest = select(columns.digest).where(*of_terminal, columns.outbox == outbox).order_by(columns.imported_at.desc())
    return tuple(connection.scalars(newest.limit(MAX_NAMED)))


def _record_key(connection: Connection, insert: Insert, terminal: Terminal, key: str, vouched: bool, now: str) -> None:
    """A key that the terminal itself reported is never downgraded to an operator's word."""
    statement = insert(schema.export_key)
    new = {"last_told": statement.excluded.last_told}
    if not vouched:
        new["by_hand"] = statement.excluded.by_hand
    line = {**_terminal_columns(terminal), "key": key, "by_hand": vouched, "first_told": now, "last_told": now}
    connection.execute(statement.on_conflict_do_update(index_elements=[*_TERMINAL, "key"], set_=new), [line])


def _terminal_columns(terminal: Terminal) -> dict[str, str]:
    return dict(zip(_TERMINAL, (terminal.division, terminal.number.ascii, terminal.terminal), strict=True))
