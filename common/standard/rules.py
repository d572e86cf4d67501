"""What a county and a station configure about the standard: profiles and limits, attestations, waivers. Data only."""

from datetime import date
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from common.standard.annex2 import ANNEX_2, EVERY_ITEM, SIMPLE_ITEMS, Capability, ItemCode
from common.station import StationType

Person: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=60, description='查验人，如 "韦某某" / who, a person\'s name like "Wei Moumou"')
]
Ratio: TypeAlias = Annotated[float, Meta(gt=0, le=1)]

ATTESTABLE = tuple(line.code for line in ANNEX_2 if line.established != "measured")
WAIVERS: dict[ItemCode, Capability] = {line.code: line.waived_by for line in ANNEX_2 if line.waived_by}


class Profiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which items a station of each type must have."""

    B: tuple[ItemCode, ...] = EVERY_ITEM
    Z: tuple[ItemCode, ...] = SIMPLE_ITEMS
    J: tuple[ItemCode, ...] = SIMPLE_ITEMS

    def of(self, profile: StationType) -> tuple[ItemCode, ...]:
        return {StationType.STANDARD: self.B, StationType.PROFESSIONAL: self.Z, StationType.SIMPLE: self.J}[profile]


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[standard]` section: the annex's limits, as the county sets them."""

    min_area_m2: Annotated[float, Meta(gt=0, le=100)] = 1.0
    area_tolerance: Annotated[float, Meta(ge=0, le=0.2)] = 0.015
    min_mbps: Annotated[float, Meta(gt=0, le=10_000)] = 8.0
    min_mbps_ratio: Ratio = 0.9
    waive_scan_gun_by_video: bool = True  # the annex's waiver of the scan gun may be an error: a county can refuse it
    profiles: Profiles = Profiles()


class Attestation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[attested]]` table: somebody saw that the station has an item that no device can prove."""

    item: ItemCode
    by: Person
    on: date
    note: str = ""

    def __post_init__(self) -> None:
        if self.item not in ATTESTABLE:
            raise ValueError(
                f"{self.item} 由设备检测，不能登记；可登记的有 {'、'.join(ATTESTABLE)} / "
                f"{self.item} is measured and cannot be attested; these can: {', '.join(ATTESTABLE)}"
            )


class Waiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[waiver]]` table: somebody saw that the terminal can do what makes an item unnecessary."""

    item: ItemCode
    capability: Capability
    by: Person
    on: date
    note: str = ""

    def __post_init__(self) -> None:
        if WAIVERS.get(self.item) != self.capability:
            right = ", ".join(f"{item}: {capability}" for item, capability in WAIVERS.items())
            raise ValueError(
                f"{self.item} 不能因 {self.capability} 免配；可以的有 {right} / "
                f"{self.item} is not waived by {self.capability}; these are: {right}"
            )
