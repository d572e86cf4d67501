"""The key that parcels are sealed with: Ed25519, its private half in a file of mode 0600 beside the outbox.

The public half is a line of text in a file beside it, so that the daemon can tell the county of it without loading a library
of cryptography: where a key has to be made or used the daemon has it done by this module in a child process
(`python -m agent.host.keys '{"outbox": …, "digest": …}'` prints the public key, and the signature).
"""

import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import NamedTuple

from agent.host.beside import put_beside
from drivers.reading import YinongError

PRIVATE, PUBLIC = "export.key", "export.pub"
KEY_BYTES = 32


class NoExportKey(YinongError):  # noqa: N818
    """The key cannot be read or made, or others can read it."""


class Signed(NamedTuple):
    """In hex."""

    key: str
    signature: str


def told_key(outbox: Path) -> str | None:
    """The public key beside this outbox file, in hex; None where there is none yet."""
    try:
        text = outbox.with_name(PUBLIC).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch("[0-9a-f]{64}", text) and outbox.with_name(PRIVATE).exists() else None


def sign(outbox: Path, digest: str | None) -> Signed:
    """Sign a parcel's digest (none: only see that there is a key) with this outbox's key, made where there is none.

    Raises NoExportKey.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from common.parcel import signed_text

    path = outbox.with_name(PRIVATE)
    try:
        if not path.exists():
            put_beside(path, os.urandom(KEY_BYTES), 0o600)
        mode, secret = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
        if mode & 0o077:
            raise NoExportKey(
                f"别人也能读 {path}(权限 {mode:04o}):请删除它,会另做一把 / "
                f"others can read {path} (mode {mode:04o}): remove it, another one will be made"
            )
        if len(secret) != KEY_BYTES:
            raise NoExportKey(f"{path} 已损坏:请删除它,会另做一把 / {path} is damaged: remove it, another will be made")
        private = Ed25519PrivateKey.from_private_bytes(secret)
        key = private.public_key().public_bytes_raw().hex()
        if told_key(outbox) != key:
            outbox.with_name(PUBLIC).unlink(missing_ok=True)
            put_beside(outbox.with_name(PUBLIC), f"{key}\n".encode(), 0o644)
    except OSError as error:
        raise NoExportKey(
            f"数据包密钥 {path} 不可用:{error.strerror} / the key of parcels cannot be used: {error.strerror}"
        ) from error
    return Signed(key, private.sign(signed_text(digest)).hex() if digest else "")


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    try:
        print(json.dumps(sign(Path(asked["outbox"]), asked.get("digest"))._asdict()))
    except NoExportKey as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
