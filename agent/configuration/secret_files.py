"""The secrets of the link: from systemd credentials, else from files that only their owner can read; never from the TOML."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent.configuration.mistakes import Report, shown
from drivers.catalogue import refused_by_system

PASSWORD_CREDENTIAL = "broker-password"  # LoadCredential=broker-password:… in the unit
KEY_CREDENTIAL = "broker-key"


@dataclass(frozen=True)
class Secrets:
    """The secrets that authenticate the terminal. Never printed."""

    password: str | None = field(default=None, repr=False)
    key_file: Path | None = None  # private key of the certificate


class _Broker(Protocol):
    """The options that name files."""

    @property
    def tls(self) -> bool: ...
    @property
    def ca_file(self) -> str: ...
    @property
    def cert_file(self) -> str: ...
    @property
    def key_file(self) -> str: ...
    @property
    def password_file(self) -> str: ...


def broker_secrets(broker: _Broker, root: Path, environ: Mapping[str, str], report: Report) -> Secrets:
    """Read them; report every file that is missing, readable by others, or unusable.

    A credential has priority over the file that the configuration names. Paths are relative to `root`.
    """
    credentials = Path(environ["CREDENTIALS_DIRECTORY"]) if environ.get("CREDENTIALS_DIRECTORY") else None
    return Secrets(
        password=_password(broker.password_file, credentials, root, report),
        key_file=_key(broker, credentials, root, report) if broker.tls else None,
    )


def _password(named: str, credentials: Path | None, root: Path, report: Report) -> str | None:
    if credentials and (credentials / PASSWORD_CREDENTIAL).is_file():
        path, value = credentials / PASSWORD_CREDENTIAL, shown(f"$CREDENTIALS_DIRECTORY/{PASSWORD_CREDENTIAL}")
    elif named:
        path, value = under_root(root, named), shown(named)
        if not _is_private(path, "broker.password_file", value, report):
            return None
    else:
        return None
    try:
        password = path.read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        report("broker.password_file", value, f"无法读取：{_why(error)}", f"cannot be read: {error}")
        return None
    if not password:
        report(
            "broker.password_file",
            value,
            "文件是空的，应有一行密码",
            "is empty; it must hold the password, on one line",
        )
    return password or None


def _why(error: OSError | UnicodeDecodeError) -> str:
    return refused_by_system(error) if isinstance(error, OSError) else "不是 UTF-8 文字"


def _key(broker: _Broker, credentials: Path | None, root: Path, report: Report) -> Path | None:
    _is_readable(under_root(root, broker.ca_file), "broker.ca_file", shown(broker.ca_file), report)
    credential = credentials / KEY_CREDENTIAL if credentials else None
    has_credential = credential is not None and credential.is_file()
    if bool(broker.cert_file) != bool(broker.key_file or has_credential):
        zh = "cert_file 与 key_file（或凭据 broker-key）要么都有，要么都没有"
        report(
            "broker.cert_file",
            shown(broker.cert_file),
            zh,
            "give both cert_file and key_file (or the credential broker-key), or none",
        )
        return None
    if not broker.cert_file:
        return None
    _is_readable(under_root(root, broker.cert_file), "broker.cert_file", shown(broker.cert_file), report)
    if has_credential:
        return credential
    path = under_root(root, broker.key_file)
    return path if _is_private(path, "broker.key_file", shown(broker.key_file), report) else None


def under_root(root: Path, absolute: str) -> Path:
    """An absolute path of the configuration, in the tree at `root`."""
    return root / absolute.lstrip("/")


def _is_readable(path: Path, option: str, value: str, report: Report) -> bool:
    if path.is_file() and os.access(path, os.R_OK):
        return True
    report(option, value, "文件不存在，或无法读取", "there is no such file, or it cannot be read")
    return False


def _is_private(path: Path, option: str, value: str, report: Report) -> bool:
    if not _is_readable(path, option, value, report):
        return False
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        zh = f"别人也能读（权限 {mode:04o}），请执行 chmod 600 {path}"
        report(option, value, zh, f"can be read by others (mode {mode:04o}); run chmod 600 {path}")
        return False
    return True
