"""The station's disk, kernel and initrd: Debian 12 from this machine's own apt sources, built once and cached by content."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from lab import initrd
from lab.frames import a_frame_each_millisecond
from lab.places import CACHE, LAB, LabError, key_of, made
from lab.wheels import wheelhouse, wheelhouse_key

_RECIPE = LAB / "image"
_SUITE = "bookworm"
_DISK_SIZE = "3G"
_EARLY_MODULES = ("virtio_pci", "virtio_blk", "ext4")  # needed to mount the disk
_TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs", "setpriv": "util-linux",
}  # fmt: skip
# Kernel drivers of hardware that no virtual station has: a third of the image.
_LEFT_OUT = (
    "drivers/infiniband", "drivers/net/wireless", "drivers/net/ethernet", "drivers/gpu/drm/amd",
    "drivers/gpu/drm/nouveau", "drivers/gpu/drm/radeon", "drivers/gpu/drm/i915", "drivers/scsi/*", "drivers/media/dvb*",
    "drivers/media/pci", "drivers/iio", "drivers/isdn", "fs/ocfs2", "fs/btrfs", "fs/xfs",
)  # fmt: skip


class Image(NamedTuple):
    """What QEMU boots."""

    key: str
    disk: Path  # qcow2, never written: machines work on overlays
    kernel: Path
    initrd: Path


def image() -> Image:
    """The image, built if its recipe or the agent's dependencies have changed. Errors: LabError that states what is missing."""
    missing = {package for tool, package in _TOOLS.items() if not shutil.which(tool)}
    if missing:
        raise LabError(f"the lab needs: apt-get install {' '.join(sorted(missing))}")
    wheels = wheelhouse()
    key = image_key()
    folder = made("image", key, lambda at: _build(at, wheels), what="image of the station")
    ramdisk = made(
        "initrd", key_of([key, LAB / "guest", LAB / "initrd.py"]), lambda at: initrd.build(at, folder), what="initrd"
    )
    return Image(ramdisk.name, folder / "disk.qcow2", folder / "vmlinuz", ramdisk / "initrd.gz")


def image_key() -> str:
    """The key of the contents of `.cache/lab/wheels` and `.cache/lab/image`, for a cache between runs of CI."""
    return key_of([_RECIPE, LAB / "frames.py", wheelhouse_key(), _SUITE, _DISK_SIZE, *_LEFT_OUT])


def packages() -> list[str]:
    lines = (_RECIPE / "packages.txt").read_text().splitlines()
    return [word for line in lines for word in line.partition("#")[0].split()]


def _build(folder: Path, wheels: Path) -> None:
    if os.getuid() != 0:
        raise LabError("building the image needs root (mmdebstrap, chroot): run it with sudo once")
    root = folder / "rootfs"
    log = CACHE / "mmdebstrap.log"
    with log.open("w") as out:
        made_it = subprocess.run(
            _mmdebstrap(root, wheels), stdout=out, stderr=out, stdin=subprocess.DEVNULL, check=False
        )
    if made_it.returncode:
        raise LabError(f"mmdebstrap failed; the end of {log}:\n{log.read_text()[-3000:]}")
    _keep_what_boots(root, folder)
    a_frame_each_millisecond(root)
    _pack(root, folder / "disk.qcow2")
    shutil.rmtree(root)


def _mmdebstrap(root: Path, wheels: Path) -> list[str | Path]:
    left_out = [f"--dpkgopt=path-exclude=/lib/modules/*/kernel/{path}/*" for path in _LEFT_OUT]
    left_out += [f"--dpkgopt=path-exclude=/usr/share/{path}/*" for path in ("doc", "man", "locale", "info")]
    small_initrd = 'mkdir -p "$1/etc/initramfs-tools/conf.d" && echo MODULES=list > "$1/etc/initramfs-tools/conf.d/lab"'
    return [
        "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(packages())}",
        '--aptopt=APT::Install-Recommends "false"', *left_out,
        f"--setup-hook={small_initrd}",
        f'--customize-hook="{_RECIPE}/dress.sh" "$1" "{_RECIPE}/files" "{wheels}"',
        _SUITE, root, _apt_sources(),
    ]  # fmt: skip


def _apt_sources() -> Path:
    """This machine's own Debian sources: no mirror is named in the project."""
    for path in ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"):
        sources = Path(path)
        if sources.is_file() and re.search(rf"\b{_SUITE}\b", sources.read_text()):
            return sources
    raise LabError(f"no apt sources of Debian {_SUITE} in /etc/apt: the lab builds its station from these")


def _keep_what_boots(root: Path, folder: Path) -> None:
    (version,) = [path.name for path in (root / "lib/modules").iterdir()]
    for initrd_of_debian in (root / "boot").glob("initrd.img-*"):
        initrd_of_debian.unlink()
    shutil.copy(root / f"boot/vmlinuz-{version}", folder / "vmlinuz")
    shutil.copy(root / "bin/busybox", folder / "busybox")
    (folder / "modules").mkdir()
    order: list[str] = []
    for module in _EARLY_MODULES:
        shown = subprocess.run(
            ["chroot", root, "modprobe", "--set-version", version, "--show-depends", module],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for file in re.findall(r"^insmod (\S+)", shown, re.MULTILINE):
            if Path(file).name not in order:
                order.append(Path(file).name)
                shutil.copy(root / file.lstrip("/"), folder / "modules")
    (folder / "modules/order").write_text("".join(f"{name}\n" for name in order))


def _pack(root: Path, disk: Path) -> None:
    raw = disk.with_suffix(".raw")
    subprocess.run(["truncate", "-s", _DISK_SIZE, raw], check=True)
    eager = (
        "lazy_itable_init=0,lazy_journal_init=0,nodiscard"  # else the first boot continues to create the file system
    )
    subprocess.run(["mkfs.ext4", "-q", "-d", root, "-L", "station", "-E", eager, raw], check=True)
    compressed = ["-c", "-o", "compression_type=zstd"]
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", *compressed, raw, disk], check=True)
    raw.unlink()
