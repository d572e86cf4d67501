"""Captures in the outbox file, waiting or archived: read newest first in short steps, and replayed on request.

One step reads at most STEP rowids: the daemon's commits wait for one step only, however long the file is. Voided captures are
recorded as states, which stay as long as the capture (the journal's entry may be evicted before it).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal, NamedTuple
from zlib import crc32

import msgspec

from agent.outbox.outbox import Outbox, Row
from common.boot_time import BootClocks, scanned_at
from common.messages import Capture, Journal

STEP = 2000  # rowids: some milliseconds, or tens on a slow flash
LOOK_BACK = 20 * STEP
VOIDED = "voided:"  # state key: voided:<rowid> -> the voiding entry's time
REPLAY = "resend:"  # state key: resend:<first rowid>-<last rowid> -> the next rowid to send


class CaptureQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which captures. A capture of unknown time is never left out by `since`."""

    gun: str | None = None
    since: datetime | None = None
    limit: int | None = None  # N newest


class StoredCapture(msgspec.Struct, frozen=True, kw_only=True):
    """A capture with its state."""

    capture: Capture
    state: Literal["waiting", "archived"]  # archived: the county has receipted it
    voided: bool
    scanned_at: datetime | None  # None if no clock knew it


class CaptureReader:
    """Newest first: call `step` until `done`. In the outbox's thread, or on a file opened read-only."""

    def __init__(self, query: CaptureQuery) -> None:
        self._query = query
        self._before: int | None = None  # rowids from here on have been read
        self._known = BootClocks()  # a boot's clock entries come after most of its captures
        self._looked_back: set[str] = set()  # boots whose earlier entries were read too
        self.returned = self.unreadable = 0
        self.done = False

    def step(self, box: Outbox) -> list[StoredCapture]:
        """The matching captures among the next STEP rowids; [] does not mean the end."""
        before = box.last_rowid() + 1 if self._before is None else self._before
        self._before = max(1, before - STEP)
        found = box.db.execute(
            "SELECT id, kind, body, at_s FROM entry WHERE id >= ? AND id < ? AND kind IN ('scan', 'journal') ORDER BY id DESC",
            (self._before, before),
        ).fetchall()
        voided = box.states(VOIDED)
        captures: list[StoredCapture] = []
        for rowid, kind, body, at_s in found:
            if kind == "journal":
                self._learn(body)
            elif self._is_older(at_s):
                self.done = True
            elif not self.done and (one := self._stored(box, rowid, bytes(body), f"{VOIDED}{rowid}" in voided)):
                captures.append(one)
                self.returned += 1
                self.done = self.returned == self._query.limit
            if self.done:
                break
        self.done = self.done or self._before == 1
        return captures

    def all(self, box: Outbox) -> Iterator[StoredCapture]:
        while not self.done:
            yield from self.step(box)

    def _stored(self, box: Outbox, rowid: int, body: bytes, voided: bool) -> StoredCapture | None:
        try:
            capture = msgspec.json.decode(body, type=Capture)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.unreadable += 1
            return None
        if capture.clock != "synced" and not self._known.knows(capture.boot):
            self._look_back(box, rowid, capture.boot)
        at, since = scanned_at(capture, self._known), self._query.since
        if self._query.gun not in (None, capture.gun) or (since is not None and at is not None and at < since):
            return None
        _, receipted = box.row(rowid, "scan", body)
        return StoredCapture(
            capture=capture, state="archived" if receipted else "waiting", voided=voided, scanned_at=at
        )

    def _is_older(self, at_s: int | None) -> bool:
        """Far enough before `since` that no match comes before it: guns of one terminal share one clock."""
        since = self._query.since
        return since is not None and at_s is not None and at_s < since.timestamp() - 3600

    def _look_back(self, box: Outbox, rowid: int, boot: str) -> None:
        """Read the entries before the capture, once for a boot: its clock may have been right before it was set wrong."""
        if boot in self._looked_back:
            return
        self._looked_back.add(boot)
        found = box.db.execute(
            "SELECT body FROM entry WHERE id >= ? AND id < ? AND kind = 'journal' ORDER BY id DESC",
            (rowid - LOOK_BACK, rowid),
        )
        for (body,) in found:
            if self._learn(bytes(body)) not in ("", boot) or self._known.knows(boot):
                return

    def _learn(self, body: bytes) -> str:
        """Learn from an entry of the journal; return its boot, "" if it cannot be decoded."""
        try:
            entry = msgspec.json.decode(body, type=Journal)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
        self._known.learn_entry(entry.boot, entry.mono_ms, entry.at, entry.clock, entry.event, entry.details)
        return entry.boot


def forget_voids(box: Outbox) -> None:
    """Delete the states of voided captures that the archive no longer holds."""
    gone = [
        key
        for key in box.states(VOIDED)
        if box.db.execute("SELECT 1 FROM entry WHERE id = ?", (int(key.removeprefix(VOIDED)),)).fetchone() is None
    ]
    if gone:
        box.append([], dict.fromkeys(gone))


class Replay(NamedTuple):
    """A range of rowids whose captures are to be sent again."""

    key: str  # of its state
    next: int
    last: int


def count_captures(box: Outbox, first: int, last: int) -> int:
    """Count the captures in a range of rowids; the caller passes at most STEP rowids at a time."""
    sql = "SELECT count(*) FROM entry WHERE id >= ? AND id <= ? AND kind = 'scan'"
    return int(box.db.execute(sql, (first, last)).fetchone()[0])


def replay_state(first: int, last: int) -> dict[str, bytes | None]:
    """The state by which the captures in this range are sent again: it survives a restart and a cut line."""
    return {f"{REPLAY}{first}-{last}": str(first).encode()}


def next_replay(box: Outbox) -> Replay | None:
    """The first replay that is not finished; None if there is none."""
    for key, value in box.states(REPLAY).items():
        return Replay(key, int(value), int(key.rpartition("-")[2]))
    return None


def replay_rows(box: Outbox, replay: Replay, most: int) -> tuple[list[Row], dict[str, bytes | None]]:
    """The next captures of a replay, of one outbox id, and the state to commit once the broker accepted them.

    Captures that the county has not receipted are left to the backlog, which sends them until it has.
    """
    end = min(replay.last, replay.next + STEP - 1)
    found = box.db.execute(
        "SELECT id, leaf, body, crc FROM entry WHERE id >= ? AND id <= ? AND kind = 'scan' ORDER BY id LIMIT ?",
        (replay.next, end, most),
    ).fetchall()
    reached = end if len(found) < most else int(found[-1][0])
    rows: list[Row] = []
    for rowid, leaf, body, crc in found:
        if crc is not None and crc32(body) != crc:  # a fault of the flash: the county has what was committed
            continue
        row, receipted = box.row(rowid, leaf, bytes(body))
        if receipted and rows and row.outbox != rows[0].outbox:
            reached = rowid - 1
            break
        if receipted:
            rows.append(row)
    return rows, {replay.key: None if reached >= replay.last else str(reached + 1).encode()}
