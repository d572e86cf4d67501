"""A county for the state machine: a broker that is a plain queue with faults, and the real store of the recorder.

Faults are what MQTT permits a broker: acknowledge and forget, deliver twice, lose a receipt, keep an old one.
"""

import shutil
import sqlite3
from pathlib import Path
from typing import NamedTuple

import msgspec

from center.store.intake import Arrived, parse
from center.store.store import Store
from common.clock import SystemClock
from common.messages import Receipt, State, topic
from common.station import Terminal

NAME = "450225-GXBRS0001B-1"
AT = "2026-03-02T09:00:00.000+08:00"


class Published(NamedTuple):
    leaf: str
    body: bytes
    late: bool


class InMemoryCounty:
    """`queue` are messages that the broker acknowledged; `receipts` are in flight to the terminal."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, 0
        self.file = self._new_file()
        self.store = self._opened()
        self.queue: list[Published] = []
        self.receipts: list[Receipt] = []
        self.retained: list[Receipt] = []  # every receipt that was ever the retained one, the newest last
        self.backup: Path | None = None

    def ingest(self, most: int) -> None:
        """The recorder stores the next messages and answers, as `center.recorder.recorder` does."""
        batch, self.queue = self.queue[:most], self.queue[most:]
        if not batch:
            return
        worth = [parse(Arrived(topic(NAME, one.leaf), one.body, late=one.late)) for one in batch]
        kept = self.store.ingest(worth)
        births = [taken.state for taken in worth if taken.state]
        heads = (*kept.heads, *(self.store.heads((who, state.outbox) for who, state in births)))
        for head in heads:
            receipt = Receipt(at=AT, store=self.store.id, outbox=head.outbox, upto=head.upto)
            self.receipts.append(receipt)
            self.retained.append(receipt)

    def birth(self, outbox: str) -> None:
        terminal = Terminal.parse(NAME)
        state = State(
            boot="b0070001",
            at=AT,
            mono_ms=1,
            clock="synced",
            state="online",
            connection=1,
            run="r",
            outbox=outbox,
            fingerprint="f",
            version="0",
            division=terminal.division,
            number=str(terminal.number),
            terminal="1",
        )
        self.queue.append(Published("state", msgspec.json.encode(state), False))

    def back_up(self) -> None:
        self.backup = self._folder / "backup.db"
        self.backup.unlink(missing_ok=True)
        with sqlite3.connect(self.file) as now, sqlite3.connect(self.backup) as then:
            now.backup(then)
        now.close()
        then.close()

    def restore(self) -> None:
        """The recorder comes back with the backup's store, or with a new one if there is none."""
        self.store.close()
        self.file = self._new_file()
        if self.backup is not None:
            shutil.copy(self.backup, self.file)
        self.store = self._opened()

    def renew(self) -> None:
        """A new store, with another id."""
        self.store.close()
        self.file = self._new_file()
        self.store = self._opened()

    def bodies(self, table: str, kind: str = "") -> list[bytes]:
        """The bodies in the store: `entry` of a kind, or `conflict`."""
        with sqlite3.connect(self.file) as db:
            sql = f"SELECT body FROM {table}" + (f" WHERE kind = '{kind}'" if kind else "")
            found = [bytes(body) for (body,) in db.execute(sql)]
        db.close()
        return found

    def covered(self, outbox: str) -> set[int]:
        """The numbers of an outbox id for which the store has a row or a void."""
        from center.store.intake import void_range

        with sqlite3.connect(self.file) as db:
            sql = "SELECT seq, kind, body FROM entry WHERE outbox = :id UNION ALL "
            sql += "SELECT seq, 'void', body FROM conflict WHERE outbox = :id AND leaf = 'journal'"
            found = db.execute(sql, {"id": outbox}).fetchall()
        db.close()
        numbers: set[int] = set()
        for seq, kind, body in found:
            first, last = void_range(body, seq) if kind == "void" else (seq, seq)
            numbers |= set(range(first, last + 1))
        return numbers

    def close(self) -> None:
        self.store.close()

    def _new_file(self) -> Path:
        self._made += 1
        return self._folder / f"center-{self._made}.db"

    def _opened(self) -> Store:
        return Store.open(f"sqlite:///{self.file}", SystemClock())
