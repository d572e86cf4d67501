"""The disk of the power-cut tests, on its own: QEMU's own client writes, and is killed before or after a flush."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.volatile_disk import LIE_S, PHYSICAL, SECTOR, Lost, VolatileDisk

pytestmark = pytest.mark.settled
BEFORE, WRITTEN = b"\x11", b"\x22"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "image"
    file.write_bytes(BEFORE * SECTOR * 64)
    return file


@pytest.fixture
def disk(image: Path, tmp_path: Path) -> Iterator[VolatileDisk]:
    served = VolatileDisk(image, tmp_path / "nbd")
    yield served
    served.close()


def test_what_was_flushed_is_there_after_a_cut(disk: VolatileDisk) -> None:
    _qemu(disk, "write -P 0x22 0 32k", "flush")
    assert disk.cut(seed="1", keep=0).unflushed == 0
    assert _sectors(disk.image) == {WRITTEN: 64}


def test_what_was_not_flushed_is_lost_in_a_cut(disk: VolatileDisk) -> None:
    _qemu(disk, "write -P 0x22 0 16k", "read -P 0x22 0 16k")
    assert disk.cut(seed="1", keep=0)[:2] == (32, 0)
    assert _sectors(disk.image) == {BEFORE: 64}


def test_a_write_through_the_cache_is_there_after_a_cut(disk: VolatileDisk) -> None:
    _qemu(disk, "write -f -P 0x22 0 16k")
    disk.cut(seed="1", keep=0)
    assert _sectors(disk.image)[WRITTEN] == 32


def test_each_physical_sector_by_itself_is_kept_by_a_coin_that_the_seed_repeats(disk: VolatileDisk) -> None:
    def cut(seed: str) -> tuple[Lost, bytes]:
        disk.image.write_bytes(BEFORE * SECTOR * 64)
        _qemu(disk, "write -P 0x22 0 32k")
        return disk.cut(seed=seed, keep=0.5), disk.image.read_bytes()

    first, second, other = cut("7"), cut("7"), cut("8")
    assert first[1] == second[1] != other[1]
    assert 0 < first[0].kept < 64 and first[0].kept % PHYSICAL == 0
    assert _sectors(disk.image)[WRITTEN] == other[0].kept


def test_a_disk_that_stops_in_a_flush_has_not_flushed_and_in_a_write_has_it_in_its_cache(disk: VolatileDisk) -> None:
    for stops_in, flushed, unflushed in ((4, 16, 16), (3, 16, 16), (2, 0, 16)):
        disk.image.write_bytes(BEFORE * SECTOR * 64)
        disk.stop_in(stops_in)
        line = _line(disk, "write -P 0x22 0 8k", "flush", "write -P 0x22 8k 8k", "flush")
        with subprocess.Popen(line, stdout=subprocess.DEVNULL) as qemu:
            assert disk.has_stopped()
            qemu.kill()
        assert disk.cut(seed="1", keep=0).unflushed == unflushed
        assert _sectors(disk.image)[WRITTEN] == flushed


def test_a_disk_that_lies_loses_what_was_flushed_within_the_last_second(image: Path, tmp_path: Path) -> None:
    disk = VolatileDisk(image, tmp_path / "lying", lies=True)
    _qemu(disk, "write -P 0x22 0 16k", "flush", f"sleep {LIE_S * 1100:.0f}", "write -P 0x22 16k 16k", "flush")
    assert disk.cut(seed="1", keep=0).unflushed == 32
    assert _sectors(disk.image) == {WRITTEN: 32, BEFORE: 32}
    disk.close()


def _qemu(disk: VolatileDisk, *commands: str) -> None:
    """Through qemu-io (write-back, so that nothing is flushed without a request), killed at the end: a clean end flushes."""
    done = subprocess.run(_line(disk, *commands, "sigraise 9"), capture_output=True, text=True, check=False)
    assert "Pattern verification failed" not in done.stdout and done.returncode == -9, done.stdout + done.stderr


def _line(disk: VolatileDisk, *commands: str) -> list[str]:
    asked = [part for command in commands for part in ("-c", command)]
    return ["qemu-io", "-f", "raw", "-t", "writeback", *asked, f"nbd+unix:///?socket={disk.socket}"]


def _sectors(image: Path) -> Counter[bytes]:
    """The number of sectors filled with each byte."""
    data = image.read_bytes()
    sectors = [data[at : at + SECTOR] for at in range(0, len(data), SECTOR)]
    assert all(len(set(sector)) == 1 for sector in sectors)
    return Counter(sector[:1] for sector in sectors)
