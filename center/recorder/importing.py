"""`yinong-center import`: parcels that came by USB stick, stored in the same way as messages that came over MQTT.

    file -> copy -> seal, signature -> terminal -> one of its keys? -> every row read once -> Store.ingest … -> receipts

A parcel is imported whole or rejected whole, with the reason. It is copied first, so that what was checked is what is stored,
and the stick may be pulled. The recorder may run on the same database: each retries while the other one writes.
"""

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from center.store import parcels
from center.store.database import StoreError, StoreRejected
from center.store.intake import Parsed, parse_row
from center.store.parcels import KnownKey
from center.store.store import Ingested, Store
from common.parcel import SUFFIX, BadParcel, Manifest, ParcelReader, Seal, key_digits, verify_seal
from common.station import Terminal

T = TypeVar("T")
BATCH = 500  # rows in a transaction: the recorder waits tens of milliseconds for it
TRIES = 10  # each waits up to 5 s for the database by itself


class ImportedParcel(NamedTuple):
    """The outcome of one parcel."""

    path: Path
    manifest: Manifest
    result: Ingested  # heads: of every outbox id in it
    first_imported_at: str | None  # when the same parcel was first imported, if it was
    keys: tuple[KnownKey, ...]  # all known keys of the terminal

    @property
    def gaps(self) -> list[tuple[str, int, int]]:
        """Numbers that are missing before the parcel's own rows: outbox, first, last."""
        missing: dict[str, tuple[str, int, int]] = {}
        for head in self.result.heads:
            for span in self.manifest.spans:
                if span.outbox == head.outbox and head.upto < span.first - 1:
                    missing.setdefault(span.outbox, (span.outbox, head.upto + 1, span.first - 1))
        return list(missing.values())


class RejectedParcel(NamedTuple):
    """A file of which nothing was stored."""

    path: Path
    why: str


def import_parcels(
    store: Store, paths: Sequence[Path], trusted: Sequence[str]
) -> Iterator[ImportedParcel | RejectedParcel]:
    """One after the other; a folder stands for the parcels in it. `trusted`: fingerprints that an operator vouches for.

    Raises StoreError if the database stays locked or unreachable. The import can then be repeated: each row is stored once.
    """
    digits = {_digits(one) for one in trusted}
    for path in _files(paths):
        try:
            with _copy(path) as file:
                yield _import(store, path, file, digits)
        except BadParcel as error:
            yield RejectedParcel(path, str(error))
        except OSError as error:
            yield RejectedParcel(path, f"无法读取 / cannot be read: {error.strerror}")


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for file in sorted(path.glob(f"*{SUFFIX}")):
            if not file.name.startswith("."):  # macOS puts a hidden `._` file beside each file on a stick
                yield file


@contextmanager
def _copy(path: Path) -> Generator[BinaryIO]:
    with path.open("rb") as source, tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
        yield copy


def _import(store: Store, path: Path, file: BinaryIO, trusted: set[str]) -> ImportedParcel:
    seal = verify_seal(file)
    reading = ParcelReader(file)
    keys = _known_keys(store, reading.terminal, seal, trusted)
    for _ in reading.rows():
        pass  # every row can be read, before any of them is stored
    result = _store_rows(store, reading.terminal, ParcelReader(file))
    return ImportedParcel(path, reading.manifest, result, _record_parcel(store, reading, seal), keys)


def _known_keys(store: Store, terminal: Terminal, seal: Seal, trusted: set[str]) -> tuple[KnownKey, ...]:
    """The terminal's keys, including the seal's. Raises BadParcel."""

    def query() -> list[KnownKey]:
        with store.transaction() as (connection, insert, now):
            known = parcels.keys_of(connection, terminal)
            if seal.key not in (one.key for one in known) and _digits(key_digits(seal.key)) in trusted:
                parcels.trust_key(connection, insert, terminal, seal.key, now)
                return parcels.keys_of(connection, terminal)
            return known

    known = _with_retries(query)
    if seal.key in (one.key for one in known):
        return tuple(known)
    digits = key_digits(seal.key)
    reported = ", ".join(key_digits(one.key) for one in known)
    zh = f"该电脑以前的核对码是 {reported}，与此不同" if known else "该电脑从未上报过密钥"
    en = f"the terminal reported {reported}, which is another" if known else "the terminal never reported a key"
    raise BadParcel(
        f"{terminal.name} 的密钥尚未核对，核对码 {digits}：{zh}。请打电话让站点念出 yinong-agent export 显示的核对码，"
        f'完全一致再加 --trust "{digits}" / the key of {terminal.name} is not known, its fingerprint is {digits}: {en}. '
        f'Have the station read out what `yinong-agent export` shows; where it is the same, add --trust "{digits}"'
    )


def _store_rows(store: Store, terminal: Terminal, reading: ParcelReader) -> Ingested:
    rows = reading.rows()
    total, outboxes = Ingested(), dict[str, None]()
    while batch := list(islice(rows, BATCH)):
        outboxes |= dict.fromkeys(row.outbox for row in batch)
        parsed = [parse_row(terminal, *row) for row in batch]
        total = _sum(total, _with_retries(lambda parsed=parsed: _ingest(store, parsed)))
    heads = _with_retries(lambda: store.heads((terminal, outbox) for outbox in outboxes))
    return total._replace(heads=heads)


def _ingest(store: Store, batch: list[Parsed]) -> Ingested:
    try:
        return store.ingest(batch, imported=True)
    except StoreRejected:
        pass
    total = Ingested()
    for one in batch:  # the database rejects some: those are set aside as bytes
        try:
            total = _sum(total, store.ingest([one], imported=True))
        except StoreRejected as error:
            total = _sum(total, store.ingest([one.as_set_aside(str(error)[:500])], imported=True))
    return total


def _sum(one: Ingested, other: Ingested) -> Ingested:
    return Ingested(
        one.stored + other.stored,
        one.duplicates + other.duplicates,
        one.conflicts + other.conflicts,
        one.set_aside + other.set_aside,
    )


def _record_parcel(store: Store, reading: ParcelReader, seal: Seal) -> str | None:
    def record() -> str | None:
        with store.transaction() as (connection, insert, now):
            first_imported_at = parcels.imported_at(connection, seal.digest)
            manifest = reading.manifest
            line = {
                "digest": seal.digest, "key": seal.key, "packed_at": manifest.at, "imported_at": now, "rows": manifest.rows
            }  # fmt: skip
            outboxes = {span.outbox for span in manifest.spans}
            parcels.record_parcel(connection, insert, reading.terminal, line, outboxes)
            return first_imported_at

    return _with_retries(record)


def _with_retries(work: Callable[[], T]) -> T:
    """The recorder may have locked the database: every try waits for it by itself. Raises StoreError of the last try."""
    for _ in range(TRIES - 1):
        try:
            return work()
        except StoreRejected:
            raise
        except StoreError:
            pass
    return work()


def _digits(fingerprint: str) -> str:
    return "".join(c for c in fingerprint if c.isdigit())
