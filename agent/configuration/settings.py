"""agent.toml: every option with its default, and loading a file: settings, devices, and all of its mistakes.

A mistake costs as little as possible: one in a `[[device]]` table disables that device, one in `[[attested]]`, `[[waiver]]` or
`[[platform]]` drops that claim or rule, any other leaves that option at its default; only mistakes in `[station]` and
`[broker]`, or a file that cannot be read, stop the start. Every mistake is reported (`agent.configuration.mistakes`). The
annotated sample is config/agent.toml.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

import msgspec
from msgspec import Meta

from agent.configuration.device_tables import Disabled, read_devices
from agent.configuration.mistakes import (
    INVALID,
    Mistake,
    converted,
    looks_like_a_secret,
    report_secret,
    report_unknown,
    shown,
)
from agent.configuration.secret_files import Secrets, broker_secrets
from agent.configuration.toml_lines import line_of, lines_of
from common.codes.platforms import PlatformRule
from common.standard.opening_hours import OpeningHours
from common.standard.rules import Attestation, Rules, Waiver
from common.station import PROVINCES, StationNumber, StationType, Terminal
from drivers.catalogue import refused_by_system
from drivers.reading import Driver
from drivers.table import CLASSES, DeviceClass

DEFAULT_PATH = Path("/etc/yinong-agent/agent.toml")
DEFAULT_SOCKET = Path("/run/yinong-agent/agent.sock")
MB = 1_000_000  # of every option whose name says mb

_FIRST = f"(?:[{''.join(PROVINCES)}]|{'|'.join(PROVINCES.values())})"
Division: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[1-9][0-9]{5}\Z",
        description='六位行政区划代码（加引号），如 "450225" / six digits in quotes like "450225"',
    ),
]
Number: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^{_FIRST}[A-Z][A-Z]{{2,6}}[0-9]{{4}}[BZJ]\Z",
        description='站点编号，如 "桂BRS0001B" 或 "GXBRS0001B" / a station number like "桂BRS0001B" or "GXBRS0001B"',
    ),
]
TerminalId: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]{1,8}\Z",
        description='1 到 8 个小写字母或数字（加引号），如 "1" / 1 to 8 of a-z and 0-9 in quotes, like "1"',
    ),
]
Host: TypeAlias = Annotated[
    str, Meta(pattern=r"^[^\s/@:]+\Z|^[0-9a-fA-F:]+\Z", description="主机名或 IP 地址 / a host name or an IP address")
]
AbsolutePath: TypeAlias = Annotated[
    str, Meta(pattern=r"^/", description='绝对路径，如 "/etc/…" / an absolute path like "/etc/…"')
]
PathOrNone: TypeAlias = Annotated[
    str, Meta(pattern=r"^(/.*)?\Z", description='绝对路径，或 "" 表示没有 / an absolute path, or "" for none')
]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One section of the file."""


class Station(Section, frozen=True, kw_only=True):
    """The identity of the terminal. The type is the last letter of the number."""

    division: Division
    number: Number
    terminal: TerminalId = "1"
    profile: Literal["", "B", "Z", "J"] = ""
    name: str = ""
    township: str = ""


class Broker(Section, frozen=True, kw_only=True):
    """The county's broker. The user name is always the terminal's name."""

    host: Host
    port: Annotated[int, Meta(ge=1, le=65535)] = 8883
    tls: bool = True
    ca_file: AbsolutePath = "/etc/yinong-agent/county-ca.pem"
    cert_file: PathOrNone = ""
    key_file: PathOrNone = ""
    password_file: PathOrNone = ""
    keepalive_s: Annotated[int, Meta(ge=10, le=1200)] = 30
    will_delay_s: Annotated[int, Meta(ge=0, le=3600)] = 120
    session_expiry_s: Annotated[int, Meta(ge=0, le=604_800)] = 3600
    connect_timeout_s: Annotated[int, Meta(ge=2, le=120)] = 15
    acknowledge_timeout_s: Annotated[int, Meta(ge=2, le=300)] = 30
    reconnect_cap_s: Annotated[int, Meta(ge=1, le=3600)] = 120

    def __post_init__(self) -> None:
        if self.session_expiry_s < self.will_delay_s:
            raise ValueError(
                "session_expiry_s 不能小于 will_delay_s，否则县中心会漏报或误报离线 / "
                "session_expiry_s must not be below will_delay_s, or the will is lost or comes early"
            )

    @property
    def loopback(self) -> bool:
        """Whether the broker runs on this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class Delivery(Section, frozen=True, kw_only=True):
    acknowledge: Literal["receipt", "broker"] = "receipt"
    backlog_kbit_s: Annotated[int, Meta(ge=8, le=100_000)] = 320


class OutboxSection(Section, frozen=True, kw_only=True):
    path: AbsolutePath = "/var/lib/yinong-agent/outbox.db"
    max_mb: Annotated[int, Meta(ge=16, le=100_000)] = 512
    archive_days: Annotated[int, Meta(ge=1, le=3650)] = 90
    telemetry_max_mb: Annotated[int, Meta(ge=1, le=10_000)] = 16
    flash_budget_mb_day: Annotated[int, Meta(ge=1, le=100_000)] = 30

    @property
    def max_bytes(self) -> int:
        return self.max_mb * MB

    @property
    def telemetry_max_bytes(self) -> int:
        return self.telemetry_max_mb * MB

    @property
    def flash_budget_bytes_day(self) -> int:
        return self.flash_budget_mb_day * MB


class ScanSection(Section, frozen=True, kw_only=True):
    beep: bool = True


class Log(Section, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file except its devices. Field names are the names of sections and tables."""

    station: Station
    broker: Broker
    delivery: Delivery = Delivery()
    opening_hours: OpeningHours = OpeningHours()
    outbox: OutboxSection = OutboxSection()
    scan: ScanSection = ScanSection()
    log: Log = Log()
    standard: Rules = Rules()
    attested: tuple[Attestation, ...] = ()
    waiver: tuple[Waiver, ...] = ()
    platform: tuple[PlatformRule, ...] = ()

    @property
    def terminal(self) -> Terminal:
        return Terminal(self.station.division, StationNumber.parse(self.station.number), self.station.terminal)

    @property
    def profile(self) -> StationType:
        """The type whose items the station must have: its own, unless the file sets another."""
        return StationType(self.station.profile) if self.station.profile else self.terminal.number.type


@dataclass(frozen=True)
class Loaded:
    """The result of loading a file. `settings` is None if its mistakes prevent the start."""

    settings: Settings | None
    devices: tuple[tuple[DeviceClass, Driver], ...] = ()
    disabled: tuple[Disabled, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    secrets: Secrets = field(default_factory=Secrets, repr=False)


def load(
    path: Path,
    root: Path = Path("/"),
    *,
    classes: Mapping[str, DeviceClass] = CLASSES,
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """Load a file; never raises because of its content.

    Paths in it are relative to `root` (`/` on a terminal; another tree to check an image). Without any `[[device]]` table,
    one device of each class is found automatically and named `main`.
    """
    try:
        text = path.read_text("utf-8-sig")  # editors on Windows write a byte order mark
        tables = tomllib.loads(text)
    except (OSError, ValueError) as error:  # tomllib's and the decoder's errors are ValueErrors
        return Loaded(None, mistakes=(_unreadable(path, error),))
    return _FileReader(lines_of(text), root, classes, environ).loaded(tables)


class _FileReader:
    """Reads one file into `Loaded` and collects its mistakes."""

    def __init__(
        self, lines: dict[str, int], root: Path, classes: Mapping[str, DeviceClass], environ: Mapping[str, str]
    ) -> None:
        self._lines, self._root, self._classes, self._environ = lines, root, classes, environ
        self._mistakes: list[Mistake] = []

    def loaded(self, tables: dict[str, Any]) -> Loaded:
        known = [*Settings.__struct_fields__, "device"]
        for name in tables:
            if looks_like_a_secret(name):
                report_secret(name, self._report)
            elif name not in known:
                report_unknown(name, name, tables[name], known, self._report)
        made = {name: self._section(name, kind, tables) for name, kind in _SECTIONS.items()}
        made |= {name: self._claims(name, kind, tables.get(name, [])) for name, kind in _CLAIMS.items()}
        broker = made["broker"]
        secrets = Secrets() if broker is INVALID else broker_secrets(broker, self._root, self._environ, self._report)
        devices = read_devices(tables.get("device"), self._classes, self._report)
        stopped = any(mistake.stops_start for mistake in self._mistakes)
        mistakes = tuple(sorted(self._mistakes, key=lambda mistake: mistake.line or 0))
        return Loaded(None if stopped else Settings(**made), devices.configured, devices.disabled, mistakes, secrets)

    def _report(self, path: str, value: str, zh: str, en: str) -> None:
        stops = path.split(".")[0] in _STOPPING
        line = line_of(path, self._lines)
        self._mistakes.append(Mistake(path=path, value=value, zh=zh, en=en, line=line, stops_start=stops))

    def _section(self, name: str, kind: type[msgspec.Struct], tables: dict[str, Any]) -> Any:
        made = converted(tables.get(name, {}), kind, name, self._report, lenient=True)
        return kind() if made is INVALID and name not in _STOPPING else made

    def _claims(self, name: str, kind: type[msgspec.Struct], tables: object) -> tuple[Any, ...]:
        if not isinstance(tables, list):
            self._report(name, shown(tables), f"应写成 [[{name}]]", f"must be written as [[{name}]]")
            return ()
        given = enumerate(cast(list[object], tables), 1)
        made = [converted(table, kind, f"{name}[{n}]", self._report) for n, table in given]
        return tuple(claim for claim in made if claim is not INVALID)


_STOPPING = ("station", "broker")
_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "station": Station, "broker": Broker, "delivery": Delivery, "opening_hours": OpeningHours,
    "outbox": OutboxSection, "scan": ScanSection, "log": Log, "standard": Rules,
}  # fmt: skip
_CLAIMS: dict[str, type[msgspec.Struct]] = {"attested": Attestation, "waiver": Waiver, "platform": PlatformRule}


def _unreadable(path: Path, error: OSError | ValueError) -> Mistake:
    """The only mistake of a file that cannot be read at all."""
    line = None
    if isinstance(error, FileNotFoundError):
        zh = f"没有配置文件。请把安装包里的样例 config/agent.toml 复制到 {path}，填好 [station] 和 [broker]"
        en = f"there is no such file. Copy the sample config/agent.toml to {path} and fill in [station] and [broker]"
    elif isinstance(error, OSError):
        zh, en = f"无法读取配置文件：{refused_by_system(error)}", f"cannot be read: {error.strerror}"
    elif isinstance(error, UnicodeDecodeError):
        zh = "文件不是 UTF-8 编码，请用 UTF-8 另存（记事本：另存为，编码选 UTF-8）"
        en = f"is not UTF-8 (byte {error.start}); save it as UTF-8"
    else:
        position = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        line = int(position[1]) if position else None
        where = f"第 {position[1]} 行第 {position[2]} 列" if position else "文件末尾"
        zh = f"TOML 语法错误（{where}）。常见原因：引号或括号没有成对，用了中文的引号或逗号，文字没有加引号，同一节写了两次"
        en = f"is not TOML: {error}. Often a quote or bracket is missing, a text has no quotes, or a section stands twice"
    return Mistake(path=str(path), zh=zh, en=en, line=line, stops_start=True)
