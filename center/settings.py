"""center.toml: every option with its default; all mistakes are reported at once, each with its path and what is valid."""

import os
import ssl
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast, get_type_hints

import msgspec
from msgspec import Meta

from common.mqtt.session import BrokerAddress
from drivers.reading import YinongError

Port: TypeAlias = Annotated[int, Meta(ge=1, le=65535, description="1 到 65535 的整数 / a whole number from 1 to 65535")]
Seconds: TypeAlias = Annotated[
    int, Meta(ge=60, le=31_536_000, description="60 到 31536000 的整数（秒） / 60 to 31536000 s")
]
Text: TypeAlias = Annotated[str, Meta(description="文字 / a text")]
Name: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=60,
        pattern="^[0-9A-Za-z_.-]+$",
        description="字母、数字、_ . - / letters, digits, _ . -",
    ),
]
Url: TypeAlias = Annotated[
    str, Meta(pattern="^(sqlite|postgresql)(\\+[a-z]+)?://", description="sqlite:///文件 / postgresql+psycopg://…")
]
Switch: TypeAlias = Annotated[bool, Meta(description="true 或 false / true or false")]
Level: TypeAlias = Annotated[
    Literal["debug", "info", "warning", "error"], Meta(description="debug, info, warning, error")
]


class SettingsError(YinongError):
    """Mistakes in the settings, one line each, in Chinese and English."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    host: Name = "127.0.0.1"
    port: Port = 1883
    tls_ca: Text = ""
    username: Text = ""
    password_file: Text = ""


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    url: Url = "sqlite:////var/lib/yinong-center/center.db"


class RecorderSettings(msgspec.Struct, frozen=True, kw_only=True):
    client_id: Name = "yinong-recorder"
    session_expiry_s: Seconds = 604_800
    simulated: Switch = False


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    level: Level = "info"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    broker: BrokerSettings = BrokerSettings()
    store: StoreSettings = StoreSettings()
    recorder: RecorderSettings = RecorderSettings()
    log: LogSettings = LogSettings()


def load(path: Path) -> Settings:
    """Raises SettingsError with every mistake of the file."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError([f"{path}：无法读取 / cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}：不是有效的 TOML / is not TOML: {error}"]) from error
    return checked(tables)


def checked(tables: dict[str, Any]) -> Settings:
    """The settings of parsed TOML. Raises SettingsError."""
    mistakes: list[str] = []
    sections = get_type_hints(Settings)
    valid: dict[str, Any] = {}
    for name, given in tables.items():
        if name not in sections:
            mistakes.append(_unknown(f"[{name}]", sections))
        elif not isinstance(given, dict):
            mistakes.append(f"{name} = {given!r}：应写成一节 [{name}] / must be a section [{name}]")
        else:
            valid[name] = _section(name, sections[name], cast(dict[str, Any], given), mistakes)
    if mistakes:
        raise SettingsError(mistakes)
    return Settings(**valid)


def _section(name: str, kind: type[Any], given: dict[str, Any], mistakes: list[str]) -> Any:
    fields = get_type_hints(kind, include_extras=True)
    valid: dict[str, Any] = {}
    for key, value in given.items():
        if key not in fields:
            mistakes.append(_unknown(f"{name}.{key}", fields))
            continue
        try:
            valid[key] = msgspec.convert(value, fields[key])
        except msgspec.ValidationError:
            expected = next(meta.description for meta in fields[key].__metadata__ if meta.description)
            mistakes.append(f"{name}.{key} = {value!r}：应为 / must be: {expected}")
    return kind(**valid)


def _unknown(path: str, known: dict[str, Any]) -> str:
    return f"{path}：没有这一项，可用的有：{'、'.join(known)} / no such option; known: {', '.join(known)}"


def broker_address(settings: BrokerSettings) -> BrokerAddress:
    """Address, credentials and TLS. Raises SettingsError: a secret that others can read, a missing file of the authority."""
    mistakes: list[str] = []
    password = _secret(settings.password_file, mistakes)
    if settings.tls_ca and not Path(settings.tls_ca).is_file():
        mistakes.append(f"broker.tls_ca = {settings.tls_ca!r}：文件不存在 / no such file")
    if mistakes:
        raise SettingsError(mistakes)
    authority = settings.tls_ca
    tls = (lambda: ssl.create_default_context(cafile=authority)) if authority else None
    return BrokerAddress(settings.host, settings.port, settings.username or None, password, tls)


def _secret(password_file: str, mistakes: list[str]) -> str | None:
    """From systemd's credential `broker-password`, otherwise from a file that only its owner may read."""
    credential = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / "broker-password"
    path = credential if credential.is_file() else Path(password_file)
    if path != credential and not password_file:
        return None
    try:
        if path != credential and stat.S_IMODE(path.stat().st_mode) & 0o077:
            mistakes.append(f"broker.password_file = {password_file!r}：权限应为 0600 / its mode must be 0600")
            return None
        return path.read_text("utf-8").removesuffix("\n")
    except OSError as error:
        mistakes.append(f"broker.password_file = {password_file!r}：无法读取 / cannot be read: {error.strerror}")
        return None
