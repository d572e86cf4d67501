"""The outbox: one SQLite file. Everything is committed to it before it is reported, and stays until the county has it.

    loops -> Writer -> Outbox.append (one transaction, fsynced) -> Delivery -> broker -> recorder -> Outbox.apply_receipt

WAL with `synchronous=FULL`: measured, FULL lost no acknowledged row in any power cut, NORMAL lost hundreds. A row's number
in the sequence comes from AUTOINCREMENT, so an emptied table never assigns a number twice. Rows that the county has receipted
stay as an archive (90 days): a recorder restored from a backup receives them again. This module is synchronous and knows no
task: `agent.outbox.writer` owns it in a thread of its own.
"""

import logging
import sqlite3
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from agent.outbox import database, voids
from agent.outbox.entries import EntryTable
from agent.outbox.rows import Depth, Draft, Opening, OutboxFull, Row
from agent.outbox.voids import EpochBase
from common.messages import Receipt
from common.receipts import ReceiptState, apply_receipt

log = logging.getLogger(__name__)
T = TypeVar("T", bound=msgspec.Struct)

__all__ = ["Depth", "Draft", "Opening", "Outbox", "OutboxFull", "Row"]  # what its callers need with it


class Outbox(EntryTable):
    """The rows, and what the county has of them. Not safe between threads: one owner."""

    def apply_receipt(self, receipt: Receipt, retained: bool = False, sent_upto: int | None = None) -> str:
        """Apply a receipt; return its effect.

        `advanced`, `same`, `again` (a restored or new store holds less: rows above it are sent again, from the archive),
        `foreign` (an outbox id that this file never had), or `went_back`: the county has numbers that this file has not
        assigned yet, so the file is an older copy of itself: `start_epoch`.

        `retained`: the broker's stored receipt, which may be older than what is known (`common.receipts.apply_receipt`).
        `sent_upto`: brokers accepted the rows of this outbox id up to here; the receipt covers no more than that. It may
        be about rows that another copy of the file wrote (decision 12). None: all rows.
        """
        epochs = enumerate(self._spans())
        found = next(
            ((at, epoch, end - epoch.base) for at, (epoch, end) in epochs if epoch.outbox == receipt.outbox), None
        )
        if found is None:
            return "foreign"
        at, epoch, last_seq = found
        if receipt.upto > last_seq and epoch.outbox == self.id:
            return "went_back"
        known = ReceiptState(epoch.outbox, epoch.store, epoch.upto)
        covers = min(receipt.upto, last_seq, last_seq if sent_upto is None else max(sent_upto, epoch.upto))
        state, again = apply_receipt(known, msgspec.structs.replace(receipt, upto=covers), last_seq, retained)
        if state == known:
            return "same"
        sent = max(epoch.sent_upto, state.upto, min(sent_upto or 0, last_seq))
        with self.transaction():
            self._db.execute(
                "UPDATE outbox SET upto = ?, store = ?, handed = ? WHERE id = ?",
                (state.upto, state.store, sent, epoch.outbox),
            )
            if again:  # rows that the archive no longer holds cannot be sent again
                base = EpochBase(epoch.outbox, epoch.base)
                voids.fill_gaps(self._db, base, base.base + state.upto, base.base + last_seq, "not_in_archive")
        self._epochs[at] = epoch._replace(upto=state.upto, store=state.store, sent_upto=sent)
        return "again" if again else "advanced"

    def epoch_probes(self) -> list[Row]:
        """The newest archived row of every earlier outbox id that is receipted completely: the recorder answers it.

        Births name the present id only; these rows reveal that a recorder restored from a backup lacks older ids.
        """
        rows: list[Row] = []
        for (epoch, end), span in zip(self._spans(), self.spans(), strict=True):
            if epoch.outbox != self.id and epoch.base < span.receipted == end:
                newest = "SELECT max(id) FROM entry WHERE id > ? AND id <= ?"
                (rowid,) = self._db.execute(newest, (epoch.base, end)).fetchone()
                rows += self._read(epoch, rowid - 1, rowid, 1) if rowid else []
        return rows

    def sent_upto(self, outbox: str) -> int:
        """The number up to which brokers accepted the rows of this outbox id, as far as the file knows."""
        return next((max(one.upto, one.sent_upto) for one in self._epochs if one.outbox == outbox), 0)

    def start_epoch(self, new_id: str) -> None:
        """Start a new outbox id for the rows of this run and later ones: the file is an older copy of itself.

        Rows of earlier runs are sent under the old id: the same bytes are stored once, others are kept as conflicts.
        """
        base = max(self._rowid_at_opening, self._epochs[-1].base)
        newest = database.newest_epoch(self._db)
        assert newest
        with self.transaction():
            database.start_epoch(self._db, new_id, newest[1], base)
            renumber(self._db, EpochBase(self.id, self._epochs[-1].base), EpochBase(new_id, base))
        self._epochs = self._read_epochs()

    def acknowledge_broker(self, rowid: int) -> None:
        """`[delivery] acknowledge = "broker"`: the broker accepted everything up to this row, which counts as receipted."""
        for epoch, end in self._spans():
            if epoch.base < rowid <= end:
                self.apply_receipt(Receipt(at="", store="broker", outbox=epoch.outbox, upto=rowid - epoch.base))


def load_state(box: Outbox, key: str, kind: type[T]) -> T | None:
    """The state under this key as last committed; None if there is none or it cannot be decoded."""
    return decode_state(box.state(key), kind, key)


def decode_state(value: bytes | None, kind: type[T], key: str) -> T | None:
    """A stored state; None if it cannot be decoded.

    Another version of the program may have written it: a state that cannot be decoded is ignored, it never stops the daemon.
    """
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("the state %s cannot be decoded and starts afresh: %s", key, error)
        return None


def renumber(db: sqlite3.Connection, old: EpochBase, new: EpochBase) -> None:
    """Rows under a new outbox id: the same rowids and messages, other numbers in the bytes, for every row above `new.base`.

    In the caller's transaction.
    """
    rows = db.execute("SELECT id, body FROM entry WHERE id > ? ORDER BY id", (new.base,)).fetchall()
    for rowid, body in rows:
        changed = _renumbered(bytes(body), rowid, old, new)
        if changed is not None:
            db.execute("UPDATE entry SET body = ?, crc = ? WHERE id = ?", (changed, crc32(changed), rowid))


def _renumbered(body: bytes, rowid: int, old: EpochBase, new: EpochBase) -> bytes | None:
    """None if it cannot be decoded: its CRC makes it a void when it is sent."""
    try:
        message: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    message |= {"outbox": new.outbox, "seq": rowid - new.base}
    if isinstance(message.get("details"), dict):
        message["details"] |= _renumbered_details(message["details"], message["event"] == voids.VOID, old, new)
    return msgspec.json.encode(message)


def _renumbered_details(details: dict[str, Any], void: bool, old: EpochBase, new: EpochBase) -> dict[str, Any]:
    """An entry's references to other rows (a void's range, the capture of `capture_voided`), if those are renumbered too."""
    shift = new.base - old.base
    if void and "from" in details:
        return {"from": max(1, details["from"] - shift), "to": details["to"] - shift}
    if details.get("outbox") == old.outbox and details.get("seq", 0) > shift:
        return {"outbox": new.outbox, "seq": details["seq"] - shift}
    return {}
