"""A terminal for the state machine: the real outbox on a real file, and the real record of what was sent.

Its line is the county's queue (`memory_county`), its agent the part of `Delivery` that decides what is sent and what a receipt
means; its file suffers what happens to files.
"""

import re
import shutil
from pathlib import Path

import msgspec
from support.memory_county import InMemoryCounty, Published

from agent.outbox import archive
from agent.outbox.opening import open_outbox
from agent.outbox.rows import Draft, Row
from agent.outbox.sent import Sent
from common.messages import Capture, Device, Journal, Receipt
from drivers.reading import Condition

STAMP = {"boot": "b0070001", "at": "2026-03-02T09:00:00.000+08:00", "mono_ms": 5, "clock": "synced"}
PLACE = {"outbox": "0" * 12, "seq": 1}


def capture(n: int) -> Draft:
    message = Capture(
        **STAMP,
        **PLACE,
        gun="gun",
        identity="usb",
        number=n,
        source="evdev",
        text=f"T{n}",
        raw="",
        charset="ascii",
        charset_because="bytes",
        symbology=None,
        start_mono_ms=1,
        end_mono_ms=2,
    )
    return Draft("scan", message, at_s=1)


def entry(n: int) -> Draft:
    return Draft("journal", Journal(**STAMP, **PLACE, event=f"T{n}"), at_s=1)


def reading(n: int) -> Draft:
    message = Device(
        **STAMP,
        **PLACE,
        device_class="printer",
        id="main",
        condition=Condition.WORKING,
        reason=f"T{n}",
        params={},
        measures={},
        evidence=(),
    )
    return Draft("device/printer/main", message, retained=True, at_s=1)


def text_of(body: bytes) -> str:
    """The text that identifies a committed message."""
    found = re.search(rb'"(?:text|reason|event)":"(T[0-9]+)"', body)
    return found[1].decode() if found else ""


class InMemoryTerminal:
    """`captures` are those reported to the user as committed: the plain list that everything is compared with."""

    def __init__(self, folder: Path, county: InMemoryCounty) -> None:
        self._folder, self._county = folder, county
        self._ids = self._files = self._fingerprint = 0
        self.captures: set[str] = set()
        self._assigned: dict[tuple[str, int], bytes] = {}  # every number that was ever assigned, and its row
        self.image: Path | None = None
        self.went_back = False  # an image was restored: conflicts are allowed from then on
        self._path = self._new_folder()
        self._open()

    def _open(self) -> None:
        self.box = open_outbox(self._path, f"hw{self._fingerprint}", self._new_id(), "t")
        self._sent = Sent()
        self.up = False
        self.live: list[Row] = []
        self.cursor = self._live_from = 0

    def _new_id(self) -> str:
        self._ids += 1
        return f"{self._ids:012x}"

    def _new_folder(self) -> Path:
        self._files += 1
        folder = self._folder / str(self._files)
        folder.mkdir()
        return folder / "outbox.db"

    def _copied(self) -> Path:
        """The file as it is on the disk, with its WAL."""
        to = self._new_folder()
        for suffix in ("", "-wal"):
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                shutil.copy(part, to.with_name(to.name + suffix))
        return to

    def stored(self) -> set[str]:
        """The captures in the file, whether the county has them or not."""
        found = self.box.db.execute("SELECT body FROM entry WHERE kind = 'scan'")
        return {text_of(bytes(body)) for (body,) in found}

    def commit(self, drafts: list[Draft]) -> None:
        rows = self.box.append(drafts)
        for row in rows:
            if not self.went_back:
                assert (row.outbox, row.seq) not in self._assigned, "a number was assigned twice"
            self._assigned[(row.outbox, row.seq)] = row.body
            if row.leaf == "scan":
                self.captures.add(text_of(row.body))
        if self.up:
            self.live += rows

    # the line

    def connect(self, retained: Receipt | None) -> None:
        """The broker's retained receipt comes first."""
        self.up, self.live = True, []
        if retained:
            self.receive(retained, True)
        self._county.birth(self.box.id)
        self.send_again()
        for row in self.box.epoch_probes():
            self._publish([row], True, "")

    def send_again(self) -> None:
        self._live_from, self.cursor = self.box.last_rowid(), 0

    def send_live(self, fault: str) -> None:
        row = self.live.pop(0)
        if row.rowid > self._live_from:
            self._publish([row], False, fault)

    def send_backlog(self, most: int, fault: str = "") -> None:
        rows = self.box.waiting(self.cursor, most, self._live_from)
        if not rows:
            return
        same = [r for r in rows if r.leaf == "scan" and r.outbox == rows[0].outbox]
        rows = rows[:1] if rows[0].leaf != "scan" else same[: _leading(rows)]
        if self._publish(rows, True, fault):
            self.cursor = max(self.cursor, rows[-1].rowid)

    def send_replay(self) -> None:
        if again := archive.next_replay(self.box):
            rows, state = archive.replay_rows(self.box, again, 5)
            if not rows or self._publish(rows, True, ""):
                self.box.append([], state)

    def _publish(self, rows: list[Row], late: bool, fault: str) -> bool:
        """As `agent.uplink.publisher`: what the broker acknowledged was sent. Return whether it was."""
        bodies = tuple(msgspec.Raw(row.body) for row in rows)
        batch = {**STAMP, "v": 1, "outbox": rows[0].outbox, "captures": bodies}
        body = msgspec.json.encode(batch) if rows[0].leaf == "scan" else rows[0].body
        if fault not in ("lost", "forgotten"):
            self._county.queue.append(Published(rows[0].leaf, body, late))
        if fault == "twice":
            self._county.queue.append(Published(rows[0].leaf, body, late))
        if fault in ("lost", "unacknowledged"):
            self.up = False
            return False
        if unanswered := self._sent.add(rows):
            self.receive(unanswered, False)
        return True

    def receive(self, receipt: Receipt, retained: bool) -> None:
        if not self._sent.knows(receipt.outbox):
            self._sent.begin(receipt.outbox, self.box.sent_upto(receipt.outbox))
        meaning = self.box.apply_receipt(receipt, retained, self._sent.upto(receipt))
        if meaning == "went_back":
            assert self.went_back, "a receipt for a number that was never assigned"
            self.box.start_epoch(self._new_id())
            self._county.birth(self.box.id)
        if meaning in ("again", "went_back"):
            self.send_again()

    # what happens to it

    def restart(self) -> None:
        self.box.close()
        self._open()

    def crash(self) -> None:
        to = self._copied()
        self.box.close()
        self._path = to
        self._open()

    def move_to_other_hardware(self) -> None:
        self._fingerprint += 1
        self.restart()

    def take_image(self) -> None:
        self.image = self._copied()

    def put_image_back(self) -> None:
        assert self.image
        self.box.close()
        self._path, self.image = self.image, None
        self._open()
        self.went_back = True


def _leading(rows: list[Row]) -> int:
    """How many of them are captures of one outbox id, from the first on."""
    fits = (at for at, row in enumerate(rows) if row.leaf != "scan" or row.outbox != rows[0].outbox)
    return next(fits, len(rows))
