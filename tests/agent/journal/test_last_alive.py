"""The last-alive mark: survives torn writes, a full disk and damage, and costs one block."""

import os
import threading
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.journal.last_alive import BLOCK, SLOT, LastAliveFile, path_for
from common.events import LastAlive


def alive(mono_ms: int) -> LastAlive:
    return LastAlive(
        boot="b0070001", mono_ms=mono_ms, at="2026-11-25T09:00:00.000+08:00", clock="synced", run="0000aaaa", link=True
    )


def written(path: Path, marks: int) -> None:
    file = LastAliveFile(path)
    for n in range(1, marks + 1):
        file.write(alive(n), n)
    file.close()


def read(path: Path) -> int | None:
    file = LastAliveFile(path)
    file.close()
    return file.previous.alive.mono_ms if file.previous else None


@pytest.mark.parametrize("marks", [0, 1, 2, 3, 10])
def test_the_newest_mark_is_found_by_the_next_run(tmp_path: Path, marks: int) -> None:
    written(tmp_path / "o.db.alive", marks)
    assert read(tmp_path / "o.db.alive") == (marks or None)


def test_a_run_continues_after_the_marks_of_the_previous_one(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    for n in range(1, 6):
        file = LastAliveFile(path)
        file.write(alive(n), None)
        file.close()
        assert read(path) == n
    assert path.stat().st_size == 2 * BLOCK, "it never grows"
    assert path.stat().st_mode & 0o077 == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(marks=st.integers(2, 5), torn=st.integers(0, SLOT), junk=st.binary(min_size=SLOT, max_size=SLOT))
def test_a_write_torn_at_any_byte_costs_one_mark_and_never_invents_one(
    tmp_path: Path, marks: int, torn: int, junk: bytes
) -> None:
    """The block that was being written holds the beginning of the new mark and then arbitrary bytes."""
    path = tmp_path / "alive"
    path.unlink(missing_ok=True)
    written(path, marks)
    block = marks % 2 * BLOCK
    with path.open("r+b") as file:
        file.seek(block)
        whole = file.read(SLOT)
        file.seek(block)
        file.write((whole[:torn] + junk)[:SLOT])
    newest = marks if (whole[:torn] + junk)[:SLOT].rstrip(b" ") == whole.rstrip(b" ") else marks - 1
    assert read(path) == newest


def test_a_mark_whose_checksum_does_not_match_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    written(path, 2)
    content = path.read_bytes()
    assert content.count(b'"mono_ms":2') == 1
    path.write_bytes(content.replace(b'"mono_ms":2', b'"mono_ms":7'))
    assert read(path) == 1


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * BLOCK, b"\xff" * 3 * BLOCK, b"00000000 " + b" " * BLOCK])
def test_a_damaged_file_is_ignored_and_used_again(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "alive"
    path.write_bytes(content)
    assert read(path) is None
    written(path, 2)
    assert read(path) == 2


def test_a_mark_allocates_no_new_block_so_a_full_disk_does_not_stop_it(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    written(path, 1)
    before = (path.stat().st_size, path.stat().st_blocks)
    written(path, 100)
    assert (path.stat().st_size, path.stat().st_blocks) == before


def test_a_mark_of_the_version_before_is_read(tmp_path: Path) -> None:
    body = (
        b'{"number":7,"alive":{"boot":"b0070001","mono_ms":5,"at":"2026-11-25T09:00:00.000+08:00","clock":"synced",'
        b'"run":"0000aaaa","link":true},"good_s":1795600000}'
    )
    (tmp_path / "alive").write_bytes(b"%08x %s" % (zlib.crc32(body), body))
    file = LastAliveFile(tmp_path / "alive")
    file.close()
    assert file.previous is not None
    assert (file.previous.number, file.previous.alive.mono_ms, file.previous.synced_s) == (7, 5, 1_795_600_000)


def test_a_write_after_close_is_an_error_and_reaches_no_other_file(tmp_path: Path) -> None:
    """The number of a closed descriptor is reused for the next file that is opened."""
    file = LastAliveFile(tmp_path / "alive")
    file.close()
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    with pytest.raises(OSError, match="closed"):
        file.write(alive(1), None)
    file.close()
    assert os.fstat(other).st_size == 0
    os.close(other)


def test_closing_waits_for_a_running_write(tmp_path: Path) -> None:
    file = LastAliveFile(tmp_path / "alive")
    errors: list[BaseException] = []

    def write() -> None:
        try:
            for n in range(1, 100_000):
                file.write(alive(n), None)
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    while file._number < 3:
        pass
    file.close()
    thread.join()
    assert [str(error) for error in errors] == ["closed"]


def test_a_symbolic_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"mine")
    path_for(tmp_path / "o.db").symlink_to(tmp_path / "target")
    with pytest.raises(OSError):
        LastAliveFile(path_for(tmp_path / "o.db"))
    assert (tmp_path / "target").read_bytes() == b"mine"
