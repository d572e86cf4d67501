"""The outbox: one SQLite file in which everything is true before anybody is told, and stays until the county has it.

    loops -> Writer -> Outbox.append (one transaction, fsynced) -> Delivery -> broker -> recorder -> Outbox.receipt

WAL with `synchronous=FULL`: measured, FULL lost no acknowledged row in any power cut, NORMAL lost hundreds. A row's place in
the sequence comes from AUTOINCREMENT, so an emptied table never gives a number twice. Rows that the county has receipted
stay as an archive (90 days): a recorder restored from a backup gets them again. This module is synchronous and knows no
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

__all__ = ["Depth", "Draft", "Opening", "Outbox", "OutboxFull", "Row"]  # what is said with it


class Outbox(EntryTable):
    """The rows, and what the county has of them. Not safe between threads: one owner."""

    def apply_receipt(self, receipt: Receipt, retained: bool = False, handed: int | None = None) -> str:
        """Take a receipt in. Gives what it meant: `advanced`, `same`, `again` (a restored or new store holds less: what is
        above goes again, from the archive), `foreign` (an outbox id that this file never had), or `went_back`: the county
        has numbers that this file did not give yet, so it is an older copy of itself: `begin_anew`.

        `retained`: the broker's stored one, which may be older than what is known (`common.receipts.answer`).
        `handed`: brokers took the rows of this outbox id up to here: no more is covered, whatever the receipt says. It may
        speak of rows that the file gave in another life (decision 12). None: all of them.
        """
        boxes = enumerate(self._spans())
        found = next(((at, box, end - box.base) for at, (box, end) in boxes if box.outbox == receipt.outbox), None)
        if found is None:
            return "foreign"
        at, box, last_seq = found
        if receipt.upto > last_seq and box.outbox == self.id:
            return "went_back"
        known = ReceiptState(box.outbox, box.store, box.upto)
        covers = min(receipt.upto, last_seq, last_seq if handed is None else max(handed, box.upto))
        standing, again = apply_receipt(known, msgspec.structs.replace(receipt, upto=covers), last_seq, retained)
        if standing == known:
            return "same"
        taken = max(box.sent_upto, standing.upto, min(handed or 0, last_seq))
        with self.transaction():
            self._db.execute(
                "UPDATE outbox SET upto = ?, store = ?, handed = ? WHERE id = ?",
                (standing.upto, standing.store, taken, box.outbox),
            )
            if again:  # what the archive holds no longer cannot go again
                at_box = EpochBase(box.outbox, box.base)
                voids.fill_gaps(self._db, at_box, box.base + standing.upto, box.base + last_seq, "not_in_archive")
        self._epochs[at] = box._replace(upto=standing.upto, store=standing.store, sent_upto=taken)
        return "again" if again else "advanced"

    def epoch_probes(self) -> list[Row]:
        """The newest row in the archive of every earlier outbox id that is receipted whole: it is answered by a receipt.

        Births name the present id only: this is how it comes out that a recorder from a backup lacks older ones.
        """
        rows: list[Row] = []
        for (box, end), span in zip(self._spans(), self.spans(), strict=True):
            if box.outbox != self.id and box.base < span.receipted == end:
                newest = "SELECT max(id) FROM entry WHERE id > ? AND id <= ?"
                (place,) = self._db.execute(newest, (box.base, end)).fetchone()
                rows += self._read(box, place - 1, place, 1) if place else []
        return rows

    def sent_upto(self, outbox: str) -> int:
        """Brokers have taken the rows of this outbox id up to here, as far as the file knows."""
        return next((max(box.upto, box.sent_upto) for box in self._epochs if box.outbox == outbox), 0)

    def start_epoch(self, new_id: str) -> None:
        """A new outbox id for the rows of this run, and from here on: the file turned out to be an older copy of itself.

        What earlier runs left is sent under the old id: the same bytes are stored once, others are kept as conflicts.
        """
        base = max(self._rowid_at_opening, self._epochs[-1].base)
        written_on = database.newest_epoch(self._db)
        assert written_on
        with self.transaction():
            database.start_epoch(self._db, new_id, written_on[1], base)
            renumber(self._db, EpochBase(self.id, self._epochs[-1].base), EpochBase(new_id, base))
        self._epochs = self._read_epochs()

    def acknowledge_broker(self, rowid: int) -> None:
        """`[delivery] acknowledge = "broker"`: everything up to this row was taken by the broker, which is as good as it gets."""
        for box, end in self._spans():
            if box.base < rowid <= end:
                self.apply_receipt(Receipt(at="", store="broker", outbox=box.outbox, upto=rowid - box.base))


def load_state(box: Outbox, key: str, kind: type[T]) -> T | None:
    """The state under this key as last committed; None where there is none that can be read."""
    return decode_state(box.state(key), kind, key)


def decode_state(mark: bytes | None, kind: type[T], key: str) -> T | None:
    """A mark's state; None where it cannot be read."""
    if mark is None:
        return None
    try:
        return msgspec.json.decode(mark, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("the state %s cannot be read and is begun anew: %s", key, error)
        return None


def renumber(db: sqlite3.Connection, old: EpochBase, new: EpochBase) -> None:
    """Give every row above `new.base` its number under the new id. In a transaction of the caller."""
    rows = db.execute("SELECT id, body FROM entry WHERE id > ? ORDER BY id", (new.base,)).fetchall()
    for place, body in rows:
        changed = _renumbered(bytes(body), place, old, new)
        if changed is not None:
            db.execute("UPDATE entry SET body = ?, crc = ? WHERE id = ?", (changed, crc32(changed), place))


def _renumbered(body: bytes, place: int, old: EpochBase, new: EpochBase) -> bytes | None:
    """None where it cannot be read: its CRC gives it up when it is sent."""
    try:
        message: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    message |= {"outbox": new.outbox, "seq": place - new.base}
    if isinstance(message.get("details"), dict):
        message["details"] |= _renumbered_details(message["details"], message["event"] == voids.VOID, old, new)
    return msgspec.json.encode(message)


def _renumbered_details(details: dict[str, Any], void: bool, old: EpochBase, new: EpochBase) -> dict[str, Any]:
    """What an entry says of other rows (a void of its neighbours, `capture_voided` of a capture), where those moved too."""
    shift = new.base - old.base
    if void and "from" in details:
        return {"from": max(1, details["from"] - shift), "to": details["to"] - shift}
    if details.get("outbox") == old.outbox and details.get("seq", 0) > shift:
        return {"outbox": new.outbox, "seq": details["seq"] - shift}
    return {}
