"""The faults: each breaks one part of a scene while the officer scans, and restores it."""

import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from faults.scene import Counts, Scene

_SLOW_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static int slowly(const char *name, int fd) {
    struct timespec half = {0, 500000000};
    nanosleep(&half, 0);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return slowly("fsync", fd); }
int fdatasync(int fd) { return slowly("fdatasync", fd); }
"""


class CannotRun(Exception):  # noqa: N818
    """This machine lacks what the fault needs."""


class Fault(NamedTuple):
    """One fault; `run(folder, scans)` runs it in a folder of its own and returns the counts."""

    name: str
    title: str  # Chinese / English
    run: Callable[[Path, int], Counts]


def _agent_killed(folder: Path, scans: int) -> Counts:
    with Scene(folder) as scene:
        for run in range(3):
            with scene.scanning():
                scene.until_acknowledged((run + 1) * scans // 3)
                scene.kill_agent()
            scene.start_agent()
        return scene.count()


def _broker_killed(folder: Path, scans: int) -> Counts:
    """It loses what it had acknowledged: nothing was saved since it started."""
    with Scene(folder) as scene:
        with scene.scanning():
            scene.until_acknowledged(scans // 2)
            scene.broker.kill()
            scene.until_acknowledged(scans)
            scene.broker.start()
        return scene.count()


def _broker_away(folder: Path, scans: int) -> Counts:
    with Scene(folder) as scene:
        scene.scan(scans // 2)
        scene.broker.stop()
        scene.scan(scans - scans // 2)
        scene.until_acknowledged(scans)
        scene.broker.start()
        return scene.count()


def _recorder_killed(folder: Path, scans: int) -> Counts:
    with Scene(folder) as scene:
        with scene.scanning():
            scene.until_acknowledged(scans // 2)
            scene.recorder.process.end(signal.SIGKILL)
            scene.until_acknowledged(scans)
            scene.start_recorder()
        return scene.count()


def _recorder_restored(folder: Path, scans: int) -> Counts:
    """Rows from after the backup are sent again from the archive."""
    with Scene(folder) as scene:
        scene.scan(scans // 2)
        scene.until_acknowledged(scans // 2)
        scene.until_receipted()
        backup = folder / "backup.db"
        with closing(sqlite3.connect(scene.recorder.file)) as live, closing(sqlite3.connect(backup)) as copy:
            live.backup(copy)
        scene.scan(scans - scans // 2)
        scene.until_acknowledged(scans)
        scene.until_receipted()
        scene.restart_recorder_with(backup)
        scene.kill_agent()  # its next birth is answered with the receipt of the restored store
        scene.start_agent()
        scene.daemon.until_connected()
        return scene.count()


def _line_hangs(folder: Path, scans: int) -> Counts:
    """The broker's host stops answering, with the connection open."""
    with Scene(folder) as scene:
        with scene.scanning():
            scene.until_acknowledged(scans // 2)
            os.kill(scene.broker.pid, signal.SIGSTOP)
            scene.until_link_down()
            scene.until_acknowledged(scans)
            os.kill(scene.broker.pid, signal.SIGCONT)
        return scene.count()


def _disk_full(folder: Path, scans: int) -> Counts:
    """A small disk of its own is filled to the last byte and freed after a while."""
    with ExitStack() as mounted:
        disk = mounted.enter_context(_small_disk(folder))
        scene = mounted.enter_context(Scene(folder, outbox_folder=disk))
        ballast = disk / "ballast"
        with scene.scanning():
            scene.until_acknowledged(scans // 2)
            _fill(ballast)
            _until_unacknowledged(scene)
            ballast.unlink()
            scene.until_acknowledged(scans)
        return scene.count()


def _slow_disk(folder: Path, scans: int) -> Counts:
    """Every fsync takes half a second longer, as on worn flash."""
    if shutil.which("gcc") is None:
        raise CannotRun("apt-get install gcc libc6-dev")
    library = folder / "slow.so"
    source = folder / "slow.c"
    source.write_text(_SLOW_SYNC)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    scene = Scene(folder)
    scene.daemon.environment["LD_PRELOAD"] = str(library)
    with scene:
        scene.scan(scans)
        scene.until_acknowledged(scans)
        return scene.count()


def _outbox_damaged(folder: Path, scans: int) -> Counts:
    """The file is overwritten while the agent is off, after the county has receipted everything."""
    with Scene(folder) as scene:
        scene.scan(scans // 2)
        scene.until_acknowledged(scans // 2)
        scene.until_receipted()
        scene.kill_agent()
        for file in scene.daemon.outbox_file.parent.glob("outbox.db*"):
            if file.suffix != ".lock":
                file.write_bytes(os.urandom(file.stat().st_size))
        scene.start_agent()
        scene.scan(scans - scans // 2)
        scene.until_acknowledged(scans)
        return scene.count()


FAULTS = (
    Fault("agent_killed", "程序被强制结束 / the agent is killed, three times", _agent_killed),
    Fault("broker_killed", "县中心服务器崩溃 / the broker dies and forgets", _broker_killed),
    Fault("broker_away", "县中心服务器停机 / the broker is away", _broker_away),
    Fault("line_hangs", "线路挂起 / the line hangs with the connection open", _line_hangs),
    Fault("recorder_killed", "接收程序崩溃 / the recorder dies", _recorder_killed),
    Fault("recorder_restored", "记录库恢复备份 / the store is an old backup", _recorder_restored),
    Fault("disk_full", "硬盘写满 / the disk is full for a while", _disk_full),
    Fault("slow_disk", "硬盘很慢 / every fsync takes 500 ms more", _slow_disk),
    Fault("outbox_damaged", "记录库文件损坏 / the outbox file is damaged", _outbox_damaged),
)


@contextmanager
def _small_disk(folder: Path) -> Generator[Path]:
    """A file system of 4 MB that really gets full."""
    if os.geteuid() != 0:
        raise CannotRun("root (sudo): it mounts a small disk")
    disk = Path(tempfile.mkdtemp(dir=folder, prefix="disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "yinong-fault", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def _until_unacknowledged(scene: Scene) -> None:
    """Scan until 20 scans in a row were not acknowledged."""
    unacknowledged = 0
    before = scene.acknowledged()
    while unacknowledged < 20:
        scene.scan(1)
        unacknowledged = unacknowledged + 1 if scene.acknowledged() == before else 0
        before = scene.acknowledged()
