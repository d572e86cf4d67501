"""Outbox, delivery and receipts against a plain list, with every fault as a rule.

The outbox is the real one on a real file, what was handed over and receipted is kept by the real code, the county's store is
the real one on a real file; the broker between them is a queue with faults (its wire is tested elsewhere). In the end all
faults are over, everything is delivered, and each capture that was ever committed is at the county exactly once.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import msgspec
from county_in_memory import InMemoryCounty, Published
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.messages import Capture, Device, Journal, Receipt
from agent.store import scan_archive
from agent.store.handed_over import HandedOver
from agent.store.opening import open_outbox
from agent.store.rows import Draft, Row
from drivers.reading import Condition

# not the flash is tested here: what each fsync costs is saved
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
LONG = bool(os.environ.get("YINONG_LONG_TESTS"))
STAMP = {"boot": "b0070001", "at": "2026-03-02T09:00:00.000+08:00", "mono_ms": 5, "clock": "synced"}
PLACE = {"outbox": "0" * 12, "seq": 1}


def capture(n: int) -> Draft:
    message = Capture(
        **STAMP, **PLACE, gun="gun", identity="usb", number=n, source="evdev", text=f"T{n}", raw="", charset="ascii",
        charset_because="bytes", symbology=None, start_mono_ms=1, end_mono_ms=2,
    )  # fmt: skip
    return Draft("scan", message, at_s=1)


def entry(n: int) -> Draft:
    return Draft("journal", Journal(**STAMP, **PLACE, event=f"T{n}"), at_s=1)


def reading(n: int) -> Draft:
    message = Device(
        **STAMP, **PLACE, device_class="printer", id="main", condition=Condition.WORKING, reason=f"T{n}", params={},
        measures={}, evidence=(),
    )  # fmt: skip
    return Draft("device/printer/main", message, retained=True, at_s=1)


def told(body: bytes) -> str:
    """The text that tells one committed message from every other."""
    found = re.search(rb'"(?:text|reason|event)":"(T[0-9]+)"', body)
    return found[1].decode() if found else ""


class OutboxMachine(RuleBasedStateMachine):
    """`sent` is what the terminal's user was told is committed: the plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-", dir=IN_MEMORY))
        self.county = InMemoryCounty(self.folder)
        self.ids = self.files = self.fingerprint = self.made = 0
        self.captures: set[str] = set()  # committed
        self.exempt: set[str] = set()  # a fault took them that no program can undo, or the archive's age did
        self.given: dict[tuple[str, int], bytes] = {}  # every number that was ever given, and to what
        self.image: Path | None = None
        self.went_back = False  # an image was put back: conflicts are allowed from then on
        self.path = self._new_folder()
        self._open()

    # the terminal

    def _open(self) -> None:
        self.box = open_outbox(self.path, f"hw{self.fingerprint}", self._new_id(), "t")
        self.handed = HandedOver()
        self.up = False
        self.live: list[Row] = []
        self.cursor = self.live_from = 0

    def _new_id(self) -> str:
        self.ids += 1
        return f"{self.ids:012x}"

    def _new_folder(self) -> Path:
        self.files += 1
        folder = self.folder / str(self.files)
        folder.mkdir()
        return folder / "outbox.db"

    def _copy(self, to: Path) -> None:
        for suffix in ("", "-wal"):
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                shutil.copy(part, to.with_name(to.name + suffix))

    def _append(self, drafts: list[Draft]) -> None:
        rows = self.box.append(drafts)
        for row in rows:
            if not self.went_back:
                assert (row.outbox, row.seq) not in self.given, "a number was given twice"
            self.given[(row.outbox, row.seq)] = row.body
            if row.leaf == "scan":
                self.captures.add(told(row.body))
        if self.up:
            self.live += rows

    def _send_again(self) -> None:
        self.live_from, self.cursor = self.box.last_id(), 0

    def _publish(self, rows: list[Row], late: bool, fault: str, receipted: bool = False) -> bool:
        """As `Delivery._hand_over`: what the broker acknowledged was handed over. Gives whether it was."""
        bodies = tuple(msgspec.Raw(row.body) for row in rows)
        batch = {**STAMP, "v": 1, "outbox": rows[0].outbox, "captures": bodies}
        body = msgspec.json.encode(batch) if rows[0].leaf == "scan" else rows[0].body
        if fault not in ("lost", "forgotten"):
            self.county.queue.append(Published(rows[0].leaf, body, late))
        if fault == "twice":
            self.county.queue.append(Published(rows[0].leaf, body, late))
        if fault in ("lost", "unacknowledged"):
            self.up = False
            return False
        if said := self.handed.note(rows):
            self._receive(said, False)
        return True

    def _receive(self, receipt: Receipt, retained: bool) -> None:
        if not self.handed.knows(receipt.outbox):
            self.handed.begin(receipt.outbox, self.box.handed(receipt.outbox))
        meaning = self.box.receipt(receipt, retained, self.handed.upto(receipt))
        if meaning == "went_back":
            assert self.went_back, "a receipt for what was never given"
            self.box.begin_anew(self._new_id())
            self.county.birth(self.box.id)
        if meaning in ("again", "went_back"):
            self._send_again()

    # rules: what people and devices do

    @rule(count=st.integers(1, 4), kind=st.sampled_from([capture, capture, entry, reading]))
    def commit(self, count: int, kind) -> None:
        self.made += count
        self._append([kind(n) for n in range(self.made - count + 1, self.made + 1)])

    @rule()
    def resend_everything_that_was_scanned(self) -> None:
        self.box.append([], scan_archive.resend_mark(1, max(1, self.box.last_id())))

    # rules: the line

    @rule(old=st.integers(-1, 3))
    def connect(self, old: int) -> None:
        """The broker's retained receipt comes first: the newest, an older one of a broker that died, or (-1) none."""
        self.up, self.live = True, []
        if self.county.retained and old >= 0:
            self._receive(self.county.retained[-1 - old % len(self.county.retained)], True)
        self.county.birth(self.box.id)
        self._send_again()
        for row in self.box.asks():
            self._publish([row], True, "")

    @precondition(lambda self: self.up and self.live)
    @rule(fault=st.sampled_from(["", "", "", "lost", "unacknowledged", "forgotten", "twice"]))
    def send_live(self, fault: str) -> None:
        row = self.live.pop(0)
        if row.id > self.live_from:
            self._publish([row], False, fault)

    @precondition(lambda self: self.up)
    @rule(most=st.integers(1, 5), fault=st.sampled_from(["", "", "", "lost", "unacknowledged", "forgotten", "twice"]))
    def send_backlog(self, most: int, fault: str = "") -> None:
        rows = self.box.waiting(self.cursor, most, self.live_from)
        if not rows:
            return
        same = [r for r in rows if r.leaf == "scan" and r.outbox == rows[0].outbox]
        rows = rows[:1] if rows[0].leaf != "scan" else same[: _leading(rows)]
        if self._publish(rows, True, fault):
            self.cursor = max(self.cursor, rows[-1].id)

    @precondition(lambda self: self.up)
    @rule()
    def send_what_was_asked_for(self) -> None:
        if again := scan_archive.next_again(self.box):
            rows, mark = scan_archive.rows_again(self.box, again, 5)
            if not rows or self._publish(rows, True, "", receipted=True):
                self.box.append([], mark)

    @rule()
    def nothing_was_receipted_for_long(self) -> None:
        self._send_again()

    # rules: the county

    @rule(most=st.integers(1, 6))
    def record(self, most: int) -> None:
        self.county.take(most)

    @rule()
    def everything_goes_well_for_once(self) -> None:
        """So that there is something to lose: most faults need a county that has what the terminal knows it to have."""
        self.connect(0)
        self._exchange()

    @rule()
    def broker_forgets_everything(self) -> None:
        self.county.queue.clear()
        self.county.receipts.clear()
        self.up = False

    @precondition(lambda self: self.county.receipts)
    @rule(how=st.sampled_from(["arrives", "arrives", "twice", "lost"]))
    def receipt(self, how: str) -> None:
        said = self.county.receipts.pop(0)
        for _ in range({"arrives": 1, "twice": 2, "lost": 0}[how]):
            self._receive(said, False)
            if not self.went_back:
                self._receipt_covers_no_more_than_the_county_has(said)

    def _receipt_covers_no_more_than_the_county_has(self, said: Receipt) -> None:
        standing = next(box for box in self.box.spans() if box.outbox == said.outbox)
        if said.store == self.county.store.id and said == self.county.retained[-1]:
            upto = standing.receipted - standing.base
            assert set(range(1, upto + 1)) <= self.county.covered(said.outbox) or upto > said.upto

    @rule()
    def back_up_the_recorder(self) -> None:
        self.county.back_up()

    @rule()
    def restore_the_recorder(self) -> None:
        self.county.restore()

    @rule()
    def new_store(self) -> None:
        self.county.renew()

    # rules: what happens to the terminal

    @rule()
    def crash(self) -> None:
        """The file as it lies on the disk, with its WAL, is opened again."""
        to = self._new_folder()
        self._copy(to)
        self.box.close()
        self.path = to
        self._open()

    @rule()
    def restart(self) -> None:
        self.box.close()
        self._open()

    @rule()
    def moved_to_other_hardware(self) -> None:
        self.box.close()
        self.fingerprint += 1
        self._open()

    @rule()
    def image_is_taken(self) -> None:
        self.image = self._new_folder()
        self._copy(self.image)

    @precondition(lambda self: self.image)
    @rule()
    def image_is_put_back(self) -> None:
        """All that was only on this disk since then is gone."""
        now = self._held()
        self.box.close()
        self.path, self.image = self.image, None
        self._open()
        self.exempt |= now - self._held()
        self.went_back = True

    @rule()
    def prune(self) -> None:
        before = self._held()
        self.box.prune(2**40)
        self.exempt |= before - self._held()

    @rule()
    def give_way(self) -> None:
        waiting = {told(row.body) for row in self.box.waiting(0, 10_000) if row.leaf == "scan"}
        before = self._held()
        self.box.make_room(for_captures=True)
        assert waiting <= self._held(), "a capture that the county lacks gave way"
        self.exempt |= before - self._held()

    @rule(which=st.integers(0, 30))
    def flash_flips_a_bit(self, which: int) -> None:
        rows = self.box.db.execute("SELECT id, body FROM entry WHERE kind <> 'void' ORDER BY id").fetchall()
        if rows:
            place, body = rows[which % len(rows)]
            self.exempt.add(told(bytes(body)))
            turned = bytes(body[:-2]) + bytes([body[-2] ^ 1]) + bytes(body[-1:])
            self.box.db.execute("UPDATE entry SET body = ? WHERE id = ?", (turned, place))

    # what always holds

    def _held(self) -> set[str]:
        """What the file holds of captures, whether the county has them or not."""
        found = self.box.db.execute("SELECT body FROM entry WHERE kind = 'scan'")
        return {told(bytes(body)) for (body,) in found}

    @invariant()
    def every_capture_is_at_the_county_or_in_the_file(self) -> None:
        there = {told(body) for body in self.county.bodies("entry", "scan")}
        there |= {told(body) for body in self.county.bodies("conflict")}
        missing = self.captures - self.exempt - there - self._held()
        assert not missing, missing

    def teardown(self) -> None:
        try:
            self._settle()
            self._everything_is_there_once()
        finally:
            self.box.close()
            self.county.close()
            shutil.rmtree(self.folder)

    def _settle(self) -> None:
        """All faults are over. A day later at the latest something is committed, and the terminal connects anew."""
        for _ in range(8):
            self.commit(1, entry)
            self.connect(0)
            self._exchange()
        assert self.box.depth().waiting == 0, (self.box.spans(), self.county.store.id)

    def _exchange(self) -> None:
        """Until nothing moves any more."""
        before = None
        while before != (before := (self.cursor, self.box.depth().waiting, len(self.county.queue))):
            self.send_backlog(5)
            self.send_what_was_asked_for()
            self.county.take(1000)
            while self.county.receipts:
                self._receive(self.county.receipts.pop(0), False)

    def _everything_is_there_once(self) -> None:
        there = sorted(told(body) for body in self.county.bodies("entry", "scan"))
        conflicts = {told(body) for body in self.county.bodies("conflict")}
        wanted = self.captures - self.exempt
        assert wanted <= {*there, *(conflicts if self.went_back else ())}, wanted - {*there}
        if not self.went_back:
            assert len(there) == len(set(there)), "stored twice"
        for span in self.box.spans():
            newest = self.box.db.execute("SELECT 1 FROM entry WHERE id = ?", (span.end,)).fetchone()
            if not self.went_back and newest:  # of an id whose archive has aged away nobody can ask any more
                assert set(range(1, span.end - span.base + 1)) <= self.county.covered(span.outbox)


def _leading(rows: list[Row]) -> int:
    """How many of them are captures of one outbox id, from the first on."""
    fits = (at for at, row in enumerate(rows) if row.leaf != "scan" or row.outbox != rows[0].outbox)
    return next(fits, len(rows))


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(
    max_examples=1500 if LONG else 40,
    stateful_step_count=60 if LONG else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
