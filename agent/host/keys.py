"""Key files next to the outbox: written completely or not at all, mode 0600, never over an existing one.

`cards.key` signs control cards: 32 random bytes. Daemon and command line make it, whichever needs it first; it never leaves the
terminal: the command line asks a running daemon to sign.

`export.key` seals parcels: Ed25519. Its public half is a line of text in `export.pub`, so that the daemon can report it to the
county without loading a cryptography library: to make or use the key the daemon runs this module in a child process
(`python -m agent.host.keys '{"outbox": …, "digest": …}'` prints the public key, and the signature).
"""

import json
import os
import re
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from drivers.catalogue import refused_by_system
from drivers.reading import YinongError

CARD_KEY, PRIVATE, PUBLIC = "cards.key", "export.key", "export.pub"
KEY_BYTES = 32


class CardKeyError(YinongError):
    """The key cannot be read or made, or others can read it."""


class ExportKeyError(YinongError):
    """The key cannot be read or made, or others can read it."""


class Signed(NamedTuple):
    """In hex."""

    key: str
    signature: str


def card_key(outbox: Path) -> bytes:
    """The control cards' key of this outbox file, made if there is none. Raises CardKeyError."""
    path = outbox.with_name(CARD_KEY)
    try:
        if not path.exists():
            write_private(path, os.urandom(KEY_BYTES), 0o600)
        mode = stat.S_IMODE(path.stat().st_mode)
        key = path.read_bytes()
    except OSError as error:
        raise CardKeyError(
            f"控制卡密钥 {path} 读不了：{refused_by_system(error)} / "
            f"the key of the control cards cannot be read: {error.strerror}"
        ) from error
    if mode & 0o077:
        raise CardKeyError(
            f"别人也能读 {path}（权限 {mode:04o}）：请删除后重新打印控制卡 / "
            f"others can read {path} (mode {mode:04o}): remove it and print the cards anew"
        )
    if len(key) != KEY_BYTES:
        raise CardKeyError(
            f"{path} 已损坏：请删除后重新打印控制卡 / {path} is damaged: remove it and print the cards anew"
        )
    return key


def public_key(outbox: Path) -> str | None:
    """The export key's public half, stored next to this outbox file, in hex; None if there is none yet."""
    try:
        text = outbox.with_name(PUBLIC).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch("[0-9a-f]{64}", text) and outbox.with_name(PRIVATE).exists() else None


def sign(outbox: Path, digest: str | None) -> Signed:
    """Sign a parcel's digest with this outbox's export key, made if there is none; without a digest only make the key.

    Raises ExportKeyError.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from common.parcel import signed_text

    path = outbox.with_name(PRIVATE)
    try:
        if not path.exists():
            write_private(path, os.urandom(KEY_BYTES), 0o600)
        mode, secret = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
        if mode & 0o077:
            raise ExportKeyError(
                f"别人也能读 {path}（权限 {mode:04o}）：请删除，会另做一把 / "
                f"others can read {path} (mode {mode:04o}): remove it, another one will be made"
            )
        if len(secret) != KEY_BYTES:
            raise ExportKeyError(
                f"{path} 已损坏：请删除，会另做一把 / {path} is damaged: remove it, another will be made"
            )
        private = Ed25519PrivateKey.from_private_bytes(secret)
        key = private.public_key().public_bytes_raw().hex()
        if public_key(outbox) != key:
            outbox.with_name(PUBLIC).unlink(missing_ok=True)
            write_private(outbox.with_name(PUBLIC), f"{key}\n".encode(), 0o644)
    except OSError as error:
        raise ExportKeyError(
            f"数据包密钥 {path} 不可用：{refused_by_system(error)} / the key of parcels cannot be used: {error.strerror}"
        ) from error
    return Signed(key, private.sign(signed_text(digest)).hex() if digest else "")


def write_private(path: Path, content: bytes, mode: int) -> None:
    """Create the file, fsynced; if root creates it, the folder's owner (the daemon's user) becomes its owner.

    If the file already exists, it is kept. Raises OSError.
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


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    try:
        print(json.dumps(sign(Path(asked["outbox"]), asked.get("digest"))._asdict()))
    except ExportKeyError as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
