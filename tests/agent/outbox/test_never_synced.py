"""A clock that is never right: nothing in the archive has an age, so its file is bounded by `max_mb` alone."""

from pathlib import Path
from typing import Any

from agent.outbox.opening import open_outbox
from agent.outbox.stamps import journal
from common.messages import Receipt

MAX_BYTES = 4 << 20
ROWS_AT_ONCE = 250


def test_the_file_fills_to_its_bound_and_no_further_and_accepts_new_rows(tmp_path: Path, clock: Any) -> None:
    clock.known = "unsynced"
    box = open_outbox(tmp_path / "outbox.db", "f00d00000001", "0123456789ab", "t", MAX_BYTES)
    sizes: list[int] = []
    for _ in range(60):
        rows = box.append([journal(clock, "scan_like", text="x" * 400) for _ in range(ROWS_AT_ONCE)])
        box.apply_receipt(Receipt(at="", store="store", outbox=box.id, upto=rows[-1].seq))
        assert box.prune(2_000_000_000) == 0, "by its age nothing of it may go"
        sizes.append(box.backlog().file_bytes)
    assert max(sizes) <= MAX_BYTES
    assert sizes[-1] > MAX_BYTES / 2, "it was filled"
    depth = box.depth()
    assert depth.last_seq == 60 * ROWS_AT_ONCE
    assert 0 < depth.archived < depth.last_seq
    assert (tmp_path / "outbox.db-wal").stat().st_size <= 3 * MAX_BYTES
    box.close()
