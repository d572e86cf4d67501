"""Outbox, delivery and receipts against a plain list, with every fault as a rule.

The outbox and the store are the real ones on real files (`terminal_in_memory`, `memory_county`); the broker between them is
a queue with faults (its wire is tested by itself). In the end all faults are over, everything is delivered, and each capture that
was ever committed is at the county exactly once.
"""

import os
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.memory_county import InMemoryCounty
from support.terminal_in_memory import InMemoryTerminal, capture, entry, reading, text_of

from agent.outbox import archive
from common.messages import Receipt

# The flash is not tested here, so fsync is off to save time. `make test` runs the same examples each time, so that a failure is
# caused by the change; `make proof` searches for new ones (and shrinking a failing example takes minutes).
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
LONG = bool(os.environ.get("YINONG_LONG_TESTS"))
FAULTS = ["", "", "", "lost", "unacknowledged", "forgotten", "twice"]


class OutboxMachine(RuleBasedStateMachine):
    """A terminal and its county, and what people, devices, line and disk do to them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-", dir=IN_MEMORY))
        self.county = InMemoryCounty(self.folder)
        self.terminal = InMemoryTerminal(self.folder, self.county)
        self.made = 0
        self.exempt: set[str] = set()  # lost by a fault that no program can undo, or pruned by age

    # rules: what people and devices do

    @rule(count=st.integers(1, 4), kind=st.sampled_from([capture, capture, entry, reading]))
    def commit(self, count: int, kind) -> None:
        self.made += count
        self.terminal.commit([kind(n) for n in range(self.made - count + 1, self.made + 1)])

    @rule()
    def resend_everything_that_was_scanned(self) -> None:
        box = self.terminal.box
        box.append([], archive.replay_state(1, max(1, box.last_rowid())))

    # rules: the line

    @rule(old=st.integers(-1, 3))
    def connect(self, old: int) -> None:
        """The broker's retained receipt is the newest, an older one of a broker that died, or (-1) none."""
        retained = self.county.retained
        self.terminal.connect(retained[-1 - old % len(retained)] if retained and old >= 0 else None)

    @precondition(lambda self: self.terminal.up and self.terminal.live)
    @rule(fault=st.sampled_from(FAULTS))
    def send_live(self, fault: str) -> None:
        self.terminal.send_live(fault)

    @precondition(lambda self: self.terminal.up)
    @rule(most=st.integers(1, 5), fault=st.sampled_from(FAULTS))
    def send_backlog(self, most: int, fault: str) -> None:
        self.terminal.send_backlog(most, fault)

    @precondition(lambda self: self.terminal.up)
    @rule()
    def send_replay(self) -> None:
        self.terminal.send_replay()

    @rule()
    def nothing_was_receipted_for_long(self) -> None:
        self.terminal.send_again()

    # rules: the county

    @rule(most=st.integers(1, 6))
    def record(self, most: int) -> None:
        self.county.ingest(most)

    @rule()
    def everything_goes_well_for_once(self) -> None:
        """Gives later faults something to lose: most need a county that has what the terminal expects it to have."""
        self.connect(0)
        self._exchange()

    @rule()
    def broker_forgets_everything(self) -> None:
        self.county.queue.clear()
        self.county.receipts.clear()
        self.terminal.up = False

    @precondition(lambda self: self.county.receipts)
    @rule(how=st.sampled_from(["arrives", "arrives", "twice", "lost"]))
    def receipt(self, how: str) -> None:
        arrived = self.county.receipts.pop(0)
        for _ in range({"arrives": 1, "twice": 2, "lost": 0}[how]):
            self.terminal.receive(arrived, False)
            if not self.terminal.went_back:
                self._receipt_covers_no_more_than_the_county_has(arrived)

    def _receipt_covers_no_more_than_the_county_has(self, arrived: Receipt) -> None:
        standing = next(box for box in self.terminal.box.spans() if box.outbox == arrived.outbox)
        if arrived.store == self.county.store.id and arrived == self.county.retained[-1]:
            upto = standing.receipted - standing.base
            assert set(range(1, upto + 1)) <= self.county.covered(arrived.outbox) or upto > arrived.upto

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
        self.terminal.crash()

    @rule()
    def restart(self) -> None:
        self.terminal.restart()

    @rule()
    def moved_to_other_hardware(self) -> None:
        self.terminal.move_to_other_hardware()

    @rule()
    def image_is_taken(self) -> None:
        self.terminal.take_image()

    @precondition(lambda self: self.terminal.image)
    @rule()
    def image_is_put_back(self) -> None:
        """Rows that were on this disk only, written since then, are lost."""
        before = self.terminal.stored()
        self.terminal.put_image_back()
        self.exempt |= before - self.terminal.stored()

    @rule()
    def prune(self) -> None:
        before = self.terminal.stored()
        self.terminal.box.prune(2**40)
        self.exempt |= before - self.terminal.stored()

    @rule()
    def evict(self) -> None:
        box = self.terminal.box
        waiting = {text_of(row.body) for row in box.waiting(0, 10_000) if row.leaf == "scan"}
        before = self.terminal.stored()
        box.evict(for_captures=True)
        assert waiting <= self.terminal.stored(), "a capture that the county lacks gave way"
        self.exempt |= before - self.terminal.stored()

    @rule(which=st.integers(0, 30))
    def flash_flips_a_bit(self, which: int) -> None:
        db = self.terminal.box.db
        rows = db.execute("SELECT id, body FROM entry WHERE kind <> 'void' ORDER BY id").fetchall()
        if rows:
            place, body = rows[which % len(rows)]
            self.exempt.add(text_of(bytes(body)))
            turned = bytes(body[:-2]) + bytes([body[-2] ^ 1]) + bytes(body[-1:])
            db.execute("UPDATE entry SET body = ? WHERE id = ?", (turned, place))

    # what always holds

    @invariant()
    def every_capture_is_at_the_county_or_in_the_file(self) -> None:
        there = {text_of(body) for body in self.county.bodies("entry", "scan")}
        there |= {text_of(body) for body in self.county.bodies("conflict")}
        missing = self.terminal.captures - self.exempt - there - self.terminal.stored()
        assert not missing, missing

    def teardown(self) -> None:
        try:
            self._settle()
            self._everything_is_there_once()
        finally:
            self.terminal.box.close()
            self.county.close()
            shutil.rmtree(self.folder)

    def _settle(self) -> None:
        """All faults are over. A day later at the latest something is committed, and the terminal reconnects."""
        for _ in range(8):
            self.commit(1, entry)
            self.connect(0)
            self._exchange()
        box = self.terminal.box
        assert box.depth().waiting == 0, (box.spans(), self.county.store.id)

    def _exchange(self) -> None:
        """Until no message is in flight."""
        terminal, before = self.terminal, None
        while before != (before := (terminal.cursor, terminal.box.depth().waiting, len(self.county.queue))):
            terminal.send_backlog(5)
            terminal.send_replay()
            self.county.ingest(1000)
            while self.county.receipts:
                terminal.receive(self.county.receipts.pop(0), False)

    def _everything_is_there_once(self) -> None:
        there = sorted(text_of(body) for body in self.county.bodies("entry", "scan"))
        conflicts = {text_of(body) for body in self.county.bodies("conflict")}
        went_back = self.terminal.went_back
        wanted = self.terminal.captures - self.exempt
        assert wanted <= {*there, *(conflicts if went_back else ())}, wanted - {*there}
        if not went_back:
            assert len(there) == len(set(there)), "stored twice"
        box = self.terminal.box
        for span in box.spans():
            inside = "SELECT 1 FROM entry WHERE id > ? AND id <= ?"
            found = box.db.execute(inside, (span.base, span.end)).fetchone()
            if not went_back and found:  # an id whose archive was pruned cannot be probed any more
                assert set(range(1, span.end - span.base + 1)) <= self.county.covered(span.outbox)


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(
    max_examples=1500 if LONG else 40,
    stateful_step_count=60 if LONG else 40,
    derandomize=not LONG,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestOutboxMachine.pytestmark = [pytest.mark.timeout(3600 if LONG else 600)]
