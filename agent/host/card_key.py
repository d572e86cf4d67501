"""The key that control cards are signed with: 32 random bytes in a file of mode 0600 beside the outbox.

Whoever comes first makes it, the daemon or the command line; made by root it is given to the owner of the folder, which is
the daemon's user. It never leaves the terminal: the command line asks the daemon to sign where one runs.
"""

import os
import stat
from pathlib import Path

from agent.host.beside import put_beside
from drivers.reading import YinongError

NAME = "cards.key"
KEY_BYTES = 32


class NoKey(YinongError):  # noqa: N818
    """The key cannot be read or made, or others can read it."""


def card_key(outbox: Path) -> bytes:
    """The key beside this outbox file, made where there is none. Raises NoKey."""
    path = outbox.with_name(NAME)
    try:
        if not path.exists():
            put_beside(path, os.urandom(KEY_BYTES), 0o600)
        mode = stat.S_IMODE(path.stat().st_mode)
        key = path.read_bytes()
    except OSError as error:
        raise NoKey(
            f"控制卡密钥 {path} 读不了:{error.strerror} / the key of the control cards cannot be read: {error.strerror}"
        ) from error
    if mode & 0o077:
        raise NoKey(
            f"别人也能读 {path}(权限 {mode:04o}):请删除它,再重新打印控制卡 / "
            f"others can read {path} (mode {mode:04o}): remove it and print the cards anew"
        )
    if len(key) != KEY_BYTES:
        raise NoKey(f"{path} 已损坏:请删除它,再重新打印控制卡 / {path} is damaged: remove it and print the cards anew")
    return key
