"""Small files beside the outbox (keys): written whole or not at all, and never over one that is there."""

import os
from contextlib import suppress
from pathlib import Path


def put_beside(path: Path, content: bytes, mode: int) -> None:
    """Make the file, fsynced; made by root it is given to the owner of the folder, which is the daemon's user.

    Where somebody was quicker his file stays. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.urandom(4).hex()}.new")
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            os.write(fd, content)
            folder = path.parent.stat()
            if os.geteuid() == 0:
                os.fchown(fd, folder.st_uid, folder.st_gid)
            os.fsync(fd)
        finally:
            os.close(fd)
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink(missing_ok=True)
    folder_fd = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)
