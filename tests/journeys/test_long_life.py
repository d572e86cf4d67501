"""A long life in compressed time leaves memory, descriptors, threads, the outbox's file and the log where they were.

`tests/benchmarks/long_life.py` runs it, in a process of its own; it fails if a scan does not reach the county.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks/long_life.py"
LONG = pytest.mark.skipif(not os.environ.get("YINONG_LONG_TESTS"), reason="minutes; make proof has it")
WAL_AND_BALLAST_KB = 6 * 1024  # the WAL is checkpointed at 4 MB; 1 MB is ballast for a full disk


def run_life(*options: str, timeout_s: float) -> list[SimpleNamespace]:
    """Run a life with these options; its marks."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--json", *options],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    marks = [SimpleNamespace(**json.loads(line)) for line in done.stdout.splitlines()]
    assert len(marks) >= 3, done.stdout
    return marks


def is_flat(marks: list[SimpleNamespace], *, blocks: int, rss_kb: int) -> None:
    """Compare first and last mark: counts must be equal, allocations may differ within these bounds."""
    first, last = marks[0], marks[-1]
    table = "\n".join(str(mark) for mark in marks)
    for name in ("descriptors", "threads", "tasks"):
        assert {getattr(mark, name) for mark in marks} == {getattr(first, name)}, table
    assert last.blocks - first.blocks <= blocks, table
    assert last.rss_kb - first.rss_kb <= rss_kb, table
    for mark in marks:
        assert mark.file_kb <= WAL_AND_BALLAST_KB + 4 * mark.rows + 2 * mark.spilled_bytes / 1024, table


def test_a_day_and_a_half_leave_everything_where_it_was_after_the_first_half() -> None:
    marks = run_life("--days", "1.5", "--marks", "3", "--archive-days", "1", timeout_s=110)
    is_flat(marks, blocks=1400, rss_kb=3000)  # a leak per heartbeat would be at least 1440 blocks
    assert marks[-1].captures > 100
    assert marks[-1].rows < 1.3 * marks[1].rows, "rows older than the archive's day are deleted"
    assert marks[-1].log_lines < 150


def test_half_a_day_without_a_broker_logs_hardly_anything_and_loses_nothing() -> None:
    marks = run_life("--days", "0.5", "--marks", "3", "--dead", timeout_s=110)
    assert marks[-1].log_lines <= 10
    assert marks[-1].spilled_bytes == 0, "the day's telemetry has arrived too"
    assert {mark.threads for mark in marks} <= {marks[-1].threads, marks[-1].threads + 1}, "one may be connecting"


@LONG
@pytest.mark.timeout(3600)
def test_a_month_leaves_everything_where_it_was_after_its_first_week() -> None:
    marks = run_life("--days", "30", timeout_s=3500)
    is_flat(marks[6:], blocks=2500, rss_kb=3000)
    assert max(mark.rows for mark in marks[7:]) < 1.3 * marks[6].rows
    assert marks[-1].log_lines < 30 * 100
    assert max(mark.flash_mb_day for mark in marks) < 30


@LONG
@pytest.mark.timeout(3600)
def test_a_month_without_a_broker_logs_hardly_anything_and_loses_nothing() -> None:
    marks = run_life("--days", "30", "--marks", "30", "--dead", timeout_s=3500)
    assert marks[-1].log_lines <= 10
    assert marks[-2].blocks - marks[6].blocks <= 2500
    assert marks[-2].rss_kb - marks[6].rss_kb <= 3000
    assert {mark.descriptors for mark in marks[6:-1]} <= {marks[6].descriptors, marks[6].descriptors + 1}
