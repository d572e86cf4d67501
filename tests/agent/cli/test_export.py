"""`yinong-agent export` as an officer uses it: to a stick that is good, full, write-protected or missing."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import parcels

from agent.cli import stick
from agent.cli.output import Terms
from agent.control.export import TERMINAL
from agent.host.keys import public_key
from common.parcel import BadParcel, key_digits
from drivers.reading import YinongError

COMMAND = str(Path(sys.executable).parent / "yinong-agent")
ENGLISH = Terms("en")


class Place:
    """A terminal without a daemon, its outbox, and a folder instead of the stick."""

    def __init__(self, folder: Path, clock: Any, scans: int = 3) -> None:
        self.folder, self.stick, self.config = folder, folder / "stick", folder / "agent.toml"
        self.stick.mkdir()
        self.clock = clock
        self.box = parcels.outbox_in(folder)
        self.outbox = self.box.path
        parcels.scan(self.box, clock, *(os.urandom(40).hex() for _ in range(scans)))
        self.config.write_text(
            f'[station]\ndivision = "450225"\nnumber = "桂BRS0001B"\n[broker]\nhost = "127.0.0.1"\ntls = false\n'
            f'[outbox]\npath = "{self.outbox}"\n',
            "utf-8",
        )

    def run(self, *arguments: str, code: int = 0, lang: str = "en", mount: str = "") -> str:
        """Its output; `mount` mounts a stick on the folder, for this run only, and then its content is returned too."""
        command = [
            COMMAND,
            "--lang",
            lang,
            "export",
            "--config",
            str(self.config),
            "--socket",
            str(self.folder / "none"),
        ]
        if mount:
            script = f'{mount} && {{ "$@"; code=$?; echo it holds: $(ls -A {self.stick}); exit $code; }}'
            command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *command]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout + done.stderr

    @property
    def files(self) -> list[Path]:
        return sorted(self.stick.iterdir())


@pytest.fixture
def place(tmp_path: Path, clock: Any) -> Place:
    return Place(tmp_path, clock)


def test_the_officer_reads_what_was_written_and_what_to_do_next(place: Place) -> None:
    printed = place.run("--to", str(place.stick), lang="zh")
    key = public_key(place.outbox)
    assert key and [file.suffix for file in place.files] == [".yinong"]
    for word in ("3 条记录，其中扫码 3 条", "安全弹出 U 盘", "交给乡镇或县", "记录还留在本机", key_digits(key)):
        assert word in printed, printed
    assert stick.content_of(place.files[0])[0] == key
    assert place.box.depth().waiting == 3


def test_a_second_export_writes_nothing_twice_and_reports_it(place: Place) -> None:
    place.run("--to", str(place.stick))
    before = place.files[0].read_bytes()
    assert "already on the stick" in place.run("--to", str(place.stick))
    assert [file.read_bytes() for file in place.files] == [before]
    parcels.scan(place.box, place.clock, "one more")
    assert "4 records" in place.run("--to", str(place.stick))
    assert len(place.files) == 2


def test_a_damaged_parcel_of_the_same_name_is_written_again(place: Place) -> None:
    place.run("--to", str(place.stick))
    (file,) = place.files
    file.write_bytes(file.read_bytes()[:-1])
    assert "written to the stick" in place.run("--to", str(place.stick))
    stick.content_of(file)


def test_if_all_is_receipted_nothing_is_written(place: Place) -> None:
    parcels.receipted(place.box, 3)
    assert "nothing to export" in place.run("--to", str(place.stick))
    assert place.files == []


def test_json_for_programs(place: Place) -> None:
    answer = json.loads(place.run("--to", str(place.stick), "--json"))
    assert answer["fingerprint"] == key_digits(answer["key"])
    assert [(one["rows"], one["scans"], one["was_there"]) for one in answer["parcels"]] == [(3, 3, False)]


@pytest.mark.parametrize(
    ("mount", "why"),
    [
        ("mount -t tmpfs -o size=16k stick {}", "no room on the stick"),
        ("mount -t tmpfs -o size=1m,ro stick {}", "write-protected"),
    ],
)
def test_a_stick_that_cannot_be_written_is_reported_and_has_no_file_that_looks_complete(
    tmp_path: Path, clock: Any, mount: str, why: str
) -> None:
    place = Place(tmp_path, clock, scans=400)
    printed = place.run("--to", str(place.stick), code=2, mount=mount.format(place.stick))
    assert why in printed and printed.startswith("it holds:\n")


def test_a_missing_folder_is_reported(place: Place) -> None:
    assert "is the stick plugged in" in place.run("--to", str(place.stick / "none"), code=2)


def test_bytes_that_the_stick_returns_changed_are_noticed(tmp_path: Path) -> None:
    """What is read back is checked, not what was written."""
    with pytest.raises(BadParcel):
        stick.write(ENGLISH, tmp_path, "x.yinong", [b"not what it should be" * 50])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EIO, errno.ENODEV])
def test_a_stick_pulled_out_in_the_middle_is_reported_and_nothing_is_left(tmp_path: Path, number: int) -> None:
    """The errors of the kernel when the next piece is written."""

    def pulled() -> Iterator[bytes]:
        yield b"the beginning"
        raise OSError(number, os.strerror(number))

    with pytest.raises(YinongError, match="pulled out"):
        stick.write(ENGLISH, tmp_path, "x.yinong", pulled())
    assert list(tmp_path.iterdir()) == []


def test_a_daemon_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Any:
        yield b"the beginning"
        raise YinongError("broke off")

    with pytest.raises(YinongError, match="broke off"):
        stick.write(ENGLISH, tmp_path, "x.yinong", broken())
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_broken_terminal_has_its_name(place: Place, tmp_path: Path) -> None:
    place.box.append([], {TERMINAL: b"450225-GXBRS0007B-2"})
    place.box.close()
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(place.outbox, copy)
    printed = place.run("--to", str(place.stick), "--outbox", str(copy / "outbox.db"))
    assert "450225-GXBRS0007B-2_0123456789ab_1-3" in printed and "was not copied with it" in printed


def test_a_file_without_a_terminals_name_needs_the_option(place: Place) -> None:
    printed = place.run("--to", str(place.stick), "--outbox", str(place.outbox), code=2)
    assert "--terminal" in printed
    named = place.run("--to", str(place.stick), "--outbox", str(place.outbox), "--terminal", "450225-GXBRS0009B-1")
    assert "450225-GXBRS0009B-1_0123456789ab_1-3" in named


def test_a_copy_made_while_the_daemon_wrote_is_read_with_its_wal(place: Place, tmp_path: Path) -> None:
    """outbox.db and outbox.db-wal, without the -shm that only the running daemon has."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("outbox.db", "outbox.db-wal"):
        shutil.copy(place.folder / name, copy)
    place.box.close()
    outbox = str(copy / "outbox.db")
    assert "3 records" in place.run("--to", str(place.stick), "--outbox", outbox, "--terminal", parcels.TERMINAL.name)


def disk(
    root: Path, name: str, removable: bool, parts: tuple[str, ...] = (), usb: bool = False, size: str = "100"
) -> None:
    where = root / "sys/devices" / ("usb1/1-1" if usb else "pci0") / name
    for part in parts:
        (where / part).mkdir(parents=True)
        (where / part / "partition").write_text("1\n")
    where.mkdir(parents=True, exist_ok=True)
    (where / "removable").write_text(f"{int(removable)}\n")
    (where / "size").write_text(f"{size}\n")
    (where / "device").mkdir()
    (root / "sys/block").mkdir(parents=True, exist_ok=True)
    (root / "sys/block" / name).symlink_to(where)


def test_sticks_are_found_mounted_ones_first_and_own_disks_never(tmp_path: Path) -> None:
    disk(tmp_path, "sda", False, ("sda1", "sda2"))
    disk(tmp_path, "sdb", True, ("sdb1",))
    disk(tmp_path, "sdc", False, ("sdc1",), usb=True)
    disk(tmp_path, "sdd", True)
    disk(tmp_path, "sr0", True, size="0")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/mounts").write_text(
        "/dev/sda1 / ext4 rw 0 0\n/dev/sdc1 /media/站\\040长/U\\134 vfat rw 0 0\nproc /proc proc rw 0 0\n", "utf-8"
    )
    assert stick.drives(tmp_path) == [
        stick.Drive("/dev/sdc1", Path("/media/站 长/U\\")),
        stick.Drive("/dev/sdb1", None),
        stick.Drive("/dev/sdd", None),
    ]


def test_the_help_of_both_exports_distinguishes_them() -> None:
    for command, other in (("export", "scans export"), ("scans export", "U 盘")):
        printed = subprocess.run([COMMAND, *command.split(), "--help"], capture_output=True, text=True, timeout=60)
        assert other in " ".join(printed.stdout.split()), printed.stdout
