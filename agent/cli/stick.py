"""The USB stick: the plugged-in drives, and writing a file atomically."""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from agent.cli.output import Terms
from common.parcel import ParcelReader, verify_seal
from drivers.catalogue import refused_by_system
from drivers.reading import YinongError


class Drive(NamedTuple):
    """A partition of a removable drive or of a USB drive."""

    device: str  # /dev/sdb1
    folder: Path | None  # mount point; None: plugged in but not mounted


def drives(root: Path = Path("/")) -> list[Drive]:
    """All drives, the mounted ones first."""
    mounts = _mounts(root)
    found: list[Drive] = []
    for disk in sorted((root / "sys/block").glob("*")):
        if not _is_removable(disk) or _text(disk / "size") in ("", "0"):  # a card reader without a card
            continue
        parts = sorted(part.parent.name for part in disk.glob("*/partition")) or [disk.name]
        found += [Drive(f"/dev/{part}", mounts.get(f"/dev/{part}")) for part in parts]
    return sorted(found, key=lambda drive: drive.folder is None)


def write(say: Terms, folder: Path, name: str, pieces: Iterable[bytes]) -> Path:
    """Write a parcel under a temporary name, read it back from the stick, and only then rename it. Raises YinongError."""
    path, part = folder / name, folder / f"{name}.part"
    try:
        with part.open("wb") as out:
            for piece in pieces:
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
            os.posix_fadvise(out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # so that it is read back from the stick
        content_of(part)
        part.replace(path)
        _sync_folder(folder)
    except OSError as error:
        _remove(part)
        raise YinongError(_why(say, folder, error)) from error
    except BaseException:
        _remove(part)
        raise
    return path


def content_of(path: Path) -> tuple[str, str]:
    """Read a whole parcel; return its key and its content digest. Raises BadParcel, OSError."""
    with path.open("rb") as file:
        seal, reading = verify_seal(file), ParcelReader(file)
        for _ in reading.rows():
            pass
        return seal.key, reading.manifest.content


def is_on_this_disk(folder: Path) -> bool:
    """Whether the folder is on the terminal's own disk: usually an empty mount point."""
    try:
        return folder.stat().st_dev == Path("/").stat().st_dev
    except OSError:
        return False


def _remove(part: Path) -> None:
    with suppress(OSError):
        part.unlink()


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (
            errno.EINVAL,
            errno.ENOTSUP,
        ):  # file systems in user space do not support fsync of a folder
            raise
        os.sync()
    finally:
        os.close(fd)


def _why(say: Terms, folder: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return say(
            f"U 盘空间不够（{folder}）：请删掉些东西或换一个，再做一次。没有写入任何东西",
            f"no room on the stick ({folder}): make some or take another one, and do it again. Nothing was written",
        )
    if error.errno == errno.EROFS:
        return say(
            f"U 盘是写保护的（{folder}）：请拨开写保护开关或换一个，再做一次",
            f"the stick is write-protected ({folder}): release its switch or take another one, and do it again",
        )
    if error.errno in (errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENOTCONN):
        return say(
            f"U 盘被拔出，或已损坏（{folder}）：请重新插好或换一个，再做一次。U 盘上没有可用的数据包",
            f"the stick was pulled out or is broken ({folder}): plug it in again or take another one, and do it again; "
            "there is no usable parcel on it",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return say(f"没有权限写 {folder}：请用 sudo", f"no permission to write to {folder}: use sudo")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return say(
            f"没有这个文件夹：{folder}。U 盘插好了吗？", f"there is no folder {folder}: is the stick plugged in?"
        )
    return say(f"无法写入 {folder}：{refused_by_system(error)}", f"cannot write to {folder}: {error.strerror}")


def _mounts(root: Path) -> dict[str, Path]:
    """Device -> folder, from /proc/mounts (proc(5): octal escapes); the first mount of a device counts."""
    found: dict[str, Path] = {}
    for line in _text(root / "proc/mounts").splitlines():
        columns = line.split()
        if len(columns) >= 2 and columns[0].startswith("/dev/"):
            folder = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), columns[1].encode()).decode()
            found.setdefault(columns[0], Path(folder))
    return found


def _is_removable(disk: Path) -> bool:
    return _text(disk / "removable") == "1" or (
        (disk / "device").exists() and bool(re.search(r"/usb\d+/", str(disk.resolve())))
    )


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "surrogateescape").strip()
    except OSError:
        return ""


def mounted(found: Iterable[Drive]) -> Iterator[Path]:
    """The folders of the mounted drives."""
    for drive in found:
        if drive.folder is not None:
            yield drive.folder
