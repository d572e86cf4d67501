"""`yinong-center import`: parcels that came by hand, through the same door as what comes over the wire.

    file -> copy -> seal, signature -> whose? -> one of the terminal's keys? -> every row read once -> Store.keep … -> receipts

A parcel is taken whole or refused whole, with the reason. It is copied first, so that what was checked is what is stored and
the stick may be pulled. Runs beside the recorder on the same database: both try again where the other one writes.
"""

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from center.store import parcels as by_hand
from center.store.database import StoreError, StoreRefused
from center.store.intake import Taken, take_row
from center.store.parcels import KnownKey
from center.store.store import Kept, Store
from common.parcel import SUFFIX, BadParcel, Manifest, Reading, Seal, key_digits, sealed
from common.station import Terminal

T = TypeVar("T")
BATCH = 500  # rows in a transaction: the recorder waits some ten milliseconds for it
TRIES = 10  # each waits for the database 5 s by itself


class Imported(NamedTuple):
    """What one parcel gave."""

    path: Path
    manifest: Manifest
    kept: Kept  # heads: of every outbox id in it
    before: str | None  # when the same parcel was imported first, if it was
    keys: tuple[KnownKey, ...]  # all that are known of the terminal

    @property
    def gaps(self) -> list[tuple[str, int, int]]:
        """Numbers that are missing before the parcel's own rows: outbox, first, last."""
        missing: dict[str, tuple[str, int, int]] = {}
        for head in self.kept.heads:
            for span in self.manifest.spans:
                if span.outbox == head.outbox and head.upto < span.first - 1:
                    missing.setdefault(span.outbox, (span.outbox, head.upto + 1, span.first - 1))
        return list(missing.values())


class Refused(NamedTuple):
    """A file of which nothing was stored."""

    path: Path
    why: str


def import_parcels(store: Store, paths: Sequence[Path], trusted: Sequence[str]) -> Iterator[Imported | Refused]:
    """One after the other; a folder stands for the parcels in it. `trusted`: fingerprints that an operator vouches for.

    Raises StoreError where the database stays locked or away: what was not told of goes again, and is stored once.
    """
    digits = {_digits(one) for one in trusted}
    for path in _files(paths):
        try:
            with _copy(path) as file:
                yield _imported(store, path, file, digits)
        except BadParcel as error:
            yield Refused(path, str(error))
        except OSError as error:
            yield Refused(path, f"读不了 / cannot be read: {error.strerror}")


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for file in sorted(path.glob(f"*{SUFFIX}")):
            if not file.name.startswith("."):  # some systems put shadows of files on sticks
                yield file


@contextmanager
def _copy(path: Path) -> Generator[BinaryIO]:
    with path.open("rb") as source, tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
        yield copy


def _imported(store: Store, path: Path, file: BinaryIO, trusted: set[str]) -> Imported:
    seal = sealed(file)
    reading = Reading(file)
    keys = _known(store, reading.terminal, seal, trusted)
    for _ in reading.rows():
        pass  # the whole of it makes sense, before anything of it is stored
    kept = _stored(store, reading.terminal, Reading(file))
    return Imported(path, reading.manifest, kept, _noted(store, reading, seal), keys)


def _known(store: Store, terminal: Terminal, seal: Seal, trusted: set[str]) -> tuple[KnownKey, ...]:
    """The terminal's keys, the seal's among them. Raises BadParcel."""

    def look() -> list[KnownKey]:
        with store.transaction() as (connection, insert, now):
            known = by_hand.keys_of(connection, terminal)
            if seal.key not in (one.key for one in known) and _digits(key_digits(seal.key)) in trusted:
                by_hand.trust_key(connection, insert, terminal, seal.key, now)
                return by_hand.keys_of(connection, terminal)
            return known

    known = _patiently(look)
    if seal.key in (one.key for one in known):
        return tuple(known)
    digits = key_digits(seal.key)
    told = ", ".join(key_digits(one.key) for one in known)
    zh = f"终端告知过的指纹是 {told},与此不同" if known else "这个终端从未告知过密钥"
    en = f"the terminal told {told}, which is another" if known else "the terminal never told a key"
    raise BadParcel(
        f"{terminal.name} 的签名密钥未经确认,指纹 {digits}:{zh}。请打电话让站点念出 yinong-agent export 显示的指纹,"
        f'完全一致再加 --trust "{digits}" / the key of {terminal.name} is not known, its fingerprint is {digits}: {en}. '
        f'Have the station read out what `yinong-agent export` shows; where it is the same, add --trust "{digits}"'
    )


def _stored(store: Store, terminal: Terminal, reading: Reading) -> Kept:
    rows = reading.rows()
    total, outboxes = Kept(), dict[str, None]()
    while batch := list(islice(rows, BATCH)):
        outboxes |= dict.fromkeys(row.outbox for row in batch)
        taken = [take_row(terminal, *row) for row in batch]
        total = _sum(total, _patiently(lambda taken=taken: _keep(store, taken)))
    heads = _patiently(lambda: store.heads((terminal, outbox) for outbox in outboxes))
    return total._replace(heads=heads)


def _keep(store: Store, taken: list[Taken]) -> Kept:
    try:
        return store.keep(taken, by_hand=True)
    except StoreRefused:
        pass
    total = Kept()
    for one in taken:  # the database takes all but some: those as bytes
        try:
            total = _sum(total, store.keep([one], by_hand=True))
        except StoreRefused as error:
            total = _sum(total, store.keep([one.bytes_aside(str(error)[:500])], by_hand=True))
    return total


def _sum(one: Kept, other: Kept) -> Kept:
    return Kept(
        one.stored + other.stored, one.duplicates + other.duplicates, one.conflicts + other.conflicts,
        one.set_aside + other.set_aside,
    )  # fmt: skip


def _noted(store: Store, reading: Reading, seal: Seal) -> str | None:
    def note() -> str | None:
        with store.transaction() as (connection, insert, now):
            before = by_hand.imported_at(connection, seal.digest)
            manifest = reading.manifest
            line = {
                "digest": seal.digest, "key": seal.key, "packed_at": manifest.at, "imported_at": now, "rows": manifest.rows
            }  # fmt: skip
            outboxes = {span.outbox for span in manifest.spans}
            by_hand.note_parcel(connection, insert, reading.terminal, line, outboxes)
            return before

    return _patiently(note)


def _patiently(work: Callable[[], T]) -> T:
    """The recorder may hold the database: every try waits for it by itself. Raises StoreError in the end."""
    for _ in range(TRIES - 1):
        try:
            return work()
        except StoreRefused:
            raise
        except StoreError:
            pass
    return work()


def _digits(fingerprint: str) -> str:
    return "".join(c for c in fingerprint if c.isdigit())
