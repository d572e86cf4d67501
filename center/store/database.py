"""Opens the county's database: durable, migrated to the newest schema, with its id."""

import secrets
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, update
from sqlalchemy.exc import SQLAlchemyError

from center.store import schema
from drivers.reading import YinongError

_NO_STORE = "{} 不是数据库，请检查 [store] url / is no store of ours: check [store] url"


class StoreError(YinongError):
    """The store cannot be opened, or could not commit now (disk full, locked, gone). Nothing was stored: try again."""


class StoreRejected(StoreError):  # noqa: N818
    """The database rejects one of these rows and accepts others: trying again does not help."""


def open_database(url: str, now: str, *, create: bool = True) -> tuple[Engine, str]:
    """The engine and the id of its store; migrated, and created if `create` (`now`: when). Raises StoreError."""
    try:
        engine = create_engine(url)
        if engine.dialect.name not in ("sqlite", "postgresql"):
            raise StoreError(f"the store is SQLite or PostgreSQL, not {engine.dialect.name}")
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _set_pragmas)
            event.listen(engine, "begin", _begin_immediate)
        file = engine.url.database
        if not create and engine.dialect.name == "sqlite" and file and not Path(file).is_file():
            raise StoreError(_NO_STORE.format(file))
        with engine.begin() as connection:
            if not create and not inspect(connection).has_table(schema.schema_version.name):
                raise StoreError(_NO_STORE.format(file))
            return engine, _migrate(connection, now)
    except (SQLAlchemyError, ImportError) as error:
        raise StoreError(f"{url.rpartition('@')[2]}: {error}") from error  # a password may stand before @


def _set_pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin below, not at the driver's guess
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA busy_timeout=5000")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(connection: Connection, now: str) -> str:
    """Migrate to the newest version; return the store's id."""
    table = schema.schema_version
    exists = inspect(connection).has_table(table.name)
    version = connection.scalar(select(table.c.version)) or 0 if exists else 0
    if version > len(schema.MIGRATIONS):
        raise StoreError(f"the store is of version {version}, this program knows up to {len(schema.MIGRATIONS)}")
    for migrate in schema.MIGRATIONS[version:]:
        migrate(connection)
    if not version:
        connection.execute(table.insert(), {"version": len(schema.MIGRATIONS)})
        connection.execute(schema.store.insert(), {"id": secrets.token_hex(8), "made_at": now})
    elif version < len(schema.MIGRATIONS):
        connection.execute(update(table).values(version=len(schema.MIGRATIONS)))
    return connection.execute(select(schema.store.c.id)).scalar_one()
