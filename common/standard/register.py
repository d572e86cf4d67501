"""The register of a county: its townships, their codes, and how many stations of each type each has in the plan.

A file per county, `config/counties/<division>.toml`. Pure but for reading that file.
"""

import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from common.codes.platforms import PlatformRule
from common.station import PROVINCES, StationNumber, StationType
from drivers.reading import YinongError

Count: TypeAlias = Annotated[int, Meta(ge=0)]


class BadRegister(YinongError):  # noqa: N818
    """The register's file cannot be read or contradicts itself."""


class Township(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One township (乡镇). `demonstration` stations (示范社) are included in the other counts."""

    name: str  # as the plan writes it (同练乡)
    official: str  # in full (同练瑶族乡)
    code: Annotated[str, Meta(pattern="^[1-9][0-9]{8}$")]  # nine-digit statistical code
    standard: Count
    professional: Count
    simple: Count
    demonstration: Count

    def stations(self, station_type: StationType) -> int:
        """Number of stations of a type."""
        return {
            StationType.STANDARD: self.standard,
            StationType.PROFESSIONAL: self.professional,
            StationType.SIMPLE: self.simple,
        }[station_type]

    @property
    def all_stations(self) -> int:
        return self.standard + self.professional + self.simple


class County(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One county with its townships in the plan's order. `dict=True` only for the cached index."""

    division: Annotated[str, Meta(pattern="^[1-9][0-9]{5}$")]  # GB/T 2260
    name: str
    prefecture: str
    province: Annotated[str, Meta(min_length=1, max_length=1)]  # 桂
    plate: Annotated[str, Meta(pattern="^[A-Z]$")]
    initials: Annotated[str, Meta(pattern="^[A-Z]{2,6}$")]
    document: str = ""
    township: tuple[Township, ...]
    platform: tuple[PlatformRule, ...] = ()  # what codes of tracing platforms look like, for `common.codes.meaning`

    def stations(self, station_type: StationType) -> int:
        """Number of stations of a type in the whole county."""
        return sum(township.stations(station_type) for township in self.township)

    @property
    def all_stations(self) -> int:
        return sum(township.all_stations for township in self.township)

    @property
    def demonstration_stations(self) -> int:
        return sum(township.demonstration for township in self.township)

    def find(self, text: str) -> Township | None:
        """A township by the plan's name, its official name or its code; None if the county has no such township."""
        return self._index.get(text.strip())

    def numbers_here(self, number: StationNumber) -> bool:
        """Whether a station number has this county's prefix (which another county may have too)."""
        return (number.province, number.plate, number.county) == (self.province, self.plate, self.initials)

    @cached_property
    def _index(self) -> dict[str, Township]:
        return {
            key: township for township in self.township for key in (township.name, township.official, township.code)
        }


def load_register(path: Path) -> County:
    """Read and check one county's file. Raises BadRegister with the file's path."""
    try:
        county = msgspec.convert(tomllib.loads(path.read_text("utf-8")), County)
    except (OSError, ValueError) as error:  # both tomllib's and msgspec's errors are ValueErrors
        raise BadRegister(f"{path}: {error}") from error
    problems = [
        *([f"unknown province {county.province!r}"] if county.province not in PROVINCES else []),
        *(f"{t.code} ({t.official}) is not of {county.division}" for t in county.township
          if not t.code.startswith(county.division)),
        *(f"{t.official}: more demonstration stations than stations" for t in county.township
          if t.demonstration > t.all_stations),
        *(f"{key} stands twice" for key in _repeated(county)),
    ]  # fmt: skip
    if problems:
        raise BadRegister(f"{path}: {'; '.join(problems)}")
    return county


def _repeated(county: County) -> list[str]:
    seen: set[str] = set()
    repeated: list[str] = []
    for township in county.township:
        own = {township.name, township.official, township.code}
        repeated += sorted(seen & own)
        seen |= own
    return repeated
