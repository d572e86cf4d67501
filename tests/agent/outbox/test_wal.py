"""What a power cut leaves of the outbox's file: always a prefix, and never less than was acknowledged."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.flash import flushed, slow_flash

from agent.outbox.opening import open_outbox
from agent.outbox.outbox import Outbox
from agent.outbox.stamps import journal

STEP = 64


@pytest.fixture
def cuts(tmp_path: Path, clock: Any) -> Iterator[tuple[bytes, bytes, list[int]]]:
    """The file, its WAL, and how long the WAL was when each of the rows had been acknowledged."""
    path = tmp_path / "o.db"
    box = open_outbox(path, "hw", "0123456789ab", "t")
    box.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    acknowledged: list[int] = []
    for n in range(6):
        box.append([journal(clock, f"n{n}")], {"gun:main": str(n).encode()})
        acknowledged.append(path.with_name("o.db-wal").stat().st_size)
    main, wal = path.read_bytes(), path.with_name("o.db-wal").read_bytes()
    box.close()
    yield main, wal, acknowledged


def test_a_wal_cut_at_every_64th_byte_gives_a_prefix_and_never_less_than_was_acknowledged(
    tmp_path: Path, cuts: tuple[bytes, bytes, list[int]]
) -> None:
    main, wal, acknowledged = cuts
    assert acknowledged == sorted(set(acknowledged))
    assert acknowledged[-1] == len(wal)
    seen: set[int] = set()
    for length in (*range(0, len(wal), STEP), len(wal)):
        box = _opened(tmp_path, main, wal[:length])
        found = [json.loads(row.body)["event"] for row in box.waiting(0, 100)]
        assert found == [f"n{n}" for n in range(len(found))], length
        assert len(found) == sum(end <= length for end in acknowledged), length
        assert box.state("gun:main") == (str(len(found) - 1).encode() if found else None), "state and message together"
        seen.add(len(found))
        _close(box)
    assert seen == set(range(7)), "the cuts went through every commit"


def test_a_sector_of_the_wal_that_was_never_written_ends_it_there(
    tmp_path: Path, cuts: tuple[bytes, bytes, list[int]]
) -> None:
    """A volatile cache loses any sector, not only the last ones: what follows a hole is no prefix, and is not used."""
    main, wal, acknowledged = cuts
    for sector in range(0, len(wal), 512):
        hole = wal[:sector] + bytes(len(wal[sector : sector + 512])) + wal[sector + 512 :]
        box = _opened(tmp_path, main, hole)
        found = [json.loads(row.body)["event"] for row in box.waiting(0, 100)]
        assert found == [f"n{n}" for n in range(len(found))], sector
        assert len(found) >= sum(end <= sector for end in acknowledged), sector
        _close(box)


def test_the_file_is_durable_by_its_pragmas(outbox: Outbox) -> None:
    """Cutting files cannot detect a missing fsync."""
    assert outbox.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert outbox.db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


_COMMITS = """
import sys
from pathlib import Path
from common.clock import SystemClock
from agent.outbox.stamps import journal
from agent.outbox.opening import open_outbox
box, clock, log = open_outbox(Path(sys.argv[1]), "hw", "0123456789ab", "t"), SystemClock(), Path(sys.argv[2])
box.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
for n in range(20):
    before = log.read_text().count("o.db-wal")
    box.append([journal(clock, "x")])
    print(log.read_text().count("o.db-wal") - before)
"""


def test_every_commit_has_flushed_the_wal_when_it_returns(tmp_path: Path) -> None:
    environment = slow_flash(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", _COMMITS, str(tmp_path / "o.db"), environment["FLASH_LOG"]],
        env=environment | {"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    flushes = [int(line) for line in done.stdout.split()]
    assert len(flushes) == 20
    assert min(flushes) >= 1, flushes
    assert "o.db" in flushed(tmp_path), "and a checkpoint flushes the file"


def _opened(folder: Path, main: bytes, wal: bytes) -> Outbox:
    copy = folder / "copy.db"
    copy.write_bytes(main)
    copy.with_name("copy.db-wal").write_bytes(wal)
    box = open_outbox(copy, "hw", "ffffffffffff", "t")
    assert box.opening.kind == "kept"
    return box


def _close(box: Outbox) -> None:
    box.close()
    for part in box.path.parent.glob(f"{box.path.name}-*"):
        if "reserve" not in part.name:
            part.unlink(missing_ok=True)
