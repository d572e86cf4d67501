"""The outbox: one SQLite file in which everything is true before anybody is told, and stays until the county has it.

    loops -> Writer -> Outbox.append (one transaction, fsynced) -> Delivery -> broker -> recorder -> Outbox.receipt

WAL with `synchronous=FULL`: measured, FULL lost no acknowledged row in any power cut, NORMAL lost hundreds. A row's place in
the sequence comes from AUTOINCREMENT, so an emptied table never gives a number twice. Rows that the county has receipted
stay as an archive (90 days): a recorder restored from a backup gets them again. This module is synchronous and knows no
task: `agent.outbox.writer` owns it in a thread of its own.
"""

import msgspec

from agent.outbox import database as file
from agent.outbox import voids
from agent.outbox.begin_anew import renumber
from agent.outbox.entries import RowFile
from agent.outbox.rows import Depth, Draft, Opening, OutboxFull, Row
from common.messages import Receipt
from common.receipts import ReceiptState, apply_receipt

__all__ = ["Depth", "Draft", "Opening", "Outbox", "OutboxFull", "Row"]  # what is said with it


class Outbox(RowFile):
    """The rows, and what the county has of them. Not safe between threads: one owner."""

    def receipt(self, receipt: Receipt, retained: bool = False, handed: int | None = None) -> str:
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
        taken = max(box.handed, standing.upto, min(handed or 0, last_seq))
        with self.transaction():
            self._db.execute(
                "UPDATE outbox SET upto = ?, store = ?, handed = ? WHERE id = ?",
                (standing.upto, standing.store, taken, box.outbox),
            )
            if again:  # what the archive holds no longer cannot go again
                at_box = voids.Place(box.outbox, box.base)
                voids.fill(self._db, at_box, box.base + standing.upto, box.base + last_seq, "not_in_archive")
        self._boxes[at] = box._replace(upto=standing.upto, store=standing.store, handed=taken)
        return "again" if again else "advanced"

    def asks(self) -> list[Row]:
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

    def handed(self, outbox: str) -> int:
        """Brokers have taken the rows of this outbox id up to here, as far as the file knows."""
        return next((max(box.upto, box.handed) for box in self._boxes if box.outbox == outbox), 0)

    def begin_anew(self, new_id: str) -> None:
        """A new outbox id for the rows of this run, and from here on: the file turned out to be an older copy of itself.

        What earlier runs left is sent under the old id: the same bytes are stored once, others are kept as conflicts.
        """
        base = max(self._opened_at, self._boxes[-1].base)
        written_on = file.writer(self._db)
        assert written_on
        with self.transaction():
            file.begin(self._db, new_id, written_on[1], base)
            renumber(self._db, voids.Place(self.id, self._boxes[-1].base), voids.Place(new_id, base))
        self._boxes = self._read_boxes()

    def acknowledge_broker(self, place: int) -> None:
        """`[delivery] acknowledge = "broker"`: everything up to this row was taken by the broker, which is as good as it gets."""
        for box, end in self._spans():
            if box.base < place <= end:
                self.receipt(Receipt(at="", store="broker", outbox=box.outbox, upto=place - box.base))
