"""The two grounds of power cuts: clones with the outbox on a separate disk, seconds each, and full reboots of one station.

Both stand on `lab.volatile_disk`. A clone of the parked station never saw the outbox's disk, so it mounts it as a boot does: the
file system's journal is recovered, then the service starts. What a clone cannot show is the boot itself, and its kernel has
the parked one's boot id, so the service is shown another one; the whole reboots have the kernel's own.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from lab.installed import BOOT_ID, PACKAGE
from lab.machine import Frozen
from lab.places import RUN, LabError
from lab.station import Station, clone, forget
from lab.volatile_disk import Lost, VolatileDisk

_STATE = "/var/lib/yinong-agent"
_SIZE = "96M"
_BAD_WORDS = ("error", "warning", "corrupt", "failed")


class OutboxDisk:
    """A new clone each time, with the outbox on a second disk. `changed` is applied to each clone first."""

    starts_by_itself = False

    def __init__(
        self, frozen: Frozen, *, lies: bool = False, changed: Callable[[Station], None] = lambda _station: None
    ) -> None:
        self._frozen, self._changed = frozen, changed
        self._folder = _folder("outbox")
        image = self._folder / "outbox.raw"
        subprocess.run(["truncate", "-s", _SIZE, image], check=True)
        eager = "lazy_itable_init=0,lazy_journal_init=0"
        subprocess.run(["mkfs.ext4", "-q", "-E", eager, image], check=True)
        self.disk = VolatileDisk(image, self._folder / "nbd", lies=lies)

    def up(self, boot_id: str) -> Station:
        station = clone(self._frozen, "power")
        try:
            station.put(BOOT_ID, boot_id + "\n")
            self._changed(station)
            station.machine.plug_disk("outbox", self.disk.socket)
            words = station.hand("counter.mount", disk="/dev/disk/by-id/virtio-outbox", folder=_STATE)
            if any(bad in line.lower() for line in words for bad in _BAD_WORDS):
                raise LabError(f"the file system needs help: {words}")
        except BaseException:
            station.end()
            raise
        return station

    def cut(self, station: Station, seed: str, keep: float) -> Lost:
        station.power_cut()
        lost = self.disk.cut(seed=seed, keep=keep)
        forget(station)
        return lost

    def close(self, station: Station) -> None:
        station.run(f"umount {_STATE}")
        self.cut(station, "", 0)
        _is_whole(self.disk.image)
        self.forget()

    def forget(self) -> None:
        """The disk is gone."""
        self.disk.close()
        shutil.rmtree(self._folder)


class RootDisk:
    """One station, entirely on a volatile disk: a clone at first, a real boot after each cut, with the clock at `clock`."""

    def __init__(self, frozen: Frozen, *, clock: str = "utc") -> None:
        self._frozen, self._clock = frozen, clock
        self._folder = _folder("root")
        image = self._folder / "root.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", frozen.disk, image], check=True)
        self.disk = VolatileDisk(image, self._folder / "nbd")
        self._station: Station | None = None
        self.starts_by_itself = False

    def up(self, boot_id: str) -> Station:
        """The boot id is the kernel's own."""
        if self._station is None:
            self._station = clone(self._frozen, "reboots", stands_on=self.disk.socket)
        else:
            self._station.power_on(clock=self._clock)
            self.starts_by_itself = True
        return self._station

    def cut(self, station: Station, seed: str, keep: float) -> Lost:
        station.power_cut()
        return self.disk.cut(seed=seed, keep=keep)

    def close(self, station: Station) -> None:
        station.machine.power_button()
        self.disk.cut(seed="", keep=0)
        _is_whole(self.disk.image)
        self.disk.close()
        shutil.rmtree(self._folder)
        forget(station)


def with_normal_synchronous(station: Station) -> None:
    """The installed program is edited in the station: `synchronous = NORMAL`, for which the product has no option."""
    full, normal = "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"
    station.run(f"grep -rl --include=*.py '{full}' {PACKAGE} | xargs sed -i 's/{full}/{normal}/'")
    station.run(f"! grep -rq --include=*.py '{full}' {PACKAGE} && grep -rq --include=*.py '{normal}' {PACKAGE}")


def _folder(what: str) -> Path:
    folder = RUN / f"{what}-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _is_whole(image: Path) -> None:
    """Errors: LabError with the checker's output, if the file system has a fault that its journal did not repair."""
    checked = subprocess.run(["e2fsck", "-fn", image], capture_output=True, text=True, check=False)
    if checked.returncode:
        raise LabError(f"the file system is damaged:\n{checked.stdout}{checked.stderr}")
