"""The options of a gun, as agent.toml and the first line of a recording hold them."""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from drivers.scan_gun.decoding.alt_codes import Alt
from drivers.scan_gun.decoding.framing import Framing

Speed: TypeAlias = Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400]
Affix = Annotated[str, Meta(max_length=32, pattern=r"^[\x00-\x7f]*$", description="ASCII")]


class ScanGunOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[[device]]` table of a gun. With all defaults it names no gun, and nothing is opened."""

    id: str
    source: Literal["auto", "evdev", "serial", "hidpos"] = "auto"
    port: str = "auto"  # a node or by-id / by-path link
    usb: Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}(:.+)?)?$")] = ""  # VID:PID[:SERIAL]
    usb_port: Annotated[str, Meta(pattern=r"^([0-9]+-[0-9.]+)?$")] = ""  # port as sysfs names it: 1-2.4
    baud: Speed = 9600
    parity: Literal["none", "even", "odd"] = "none"
    data_bits: Literal[7, 8] = 8
    suffix: Affix = "auto"
    prefix: Affix = ""
    aim: bool = False
    multi_line: bool = False
    caps: Literal["ignore", "host"] = "ignore"
    charset: Annotated[str, Meta(pattern="^[0-9A-Za-z_.-]+$")] = "auto"  # a name that Python knows
    alt: Alt = "auto"
    silence_ms: Annotated[int, Meta(ge=0, le=10_000)] = 0
    grab: Literal["exclusive", "pass_through", "shared"] = "exclusive"
    acknowledge: Literal["none", "bel", "ack"] = "none"

    def __post_init__(self) -> None:
        try:
            "".encode("ascii" if self.charset == "auto" else self.charset)
        except LookupError as error:
            raise ValueError(f"没有 {self.charset} 这种编码 / charset: {error}") from error

    @property
    def framing(self) -> Framing:
        """The options for the framer."""
        return Framing(
            prefix=self.prefix,
            suffix=self.suffix,
            aim=self.aim,
            multi_line=self.multi_line,
            charset=self.charset,
            alt=self.alt,
            silence_ms=self.silence_ms,
        )

    @property
    def configured(self) -> bool:
        """Whether the table names a gun; otherwise none is opened."""
        return self.port != "auto" or bool(self.usb or self.usb_port)
