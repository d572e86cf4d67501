"""What a driver reports of its device: a reading, and the errors that become one.

The leaf under everything: no other module of the project is imported here. A driver returns readings and knows no
standard, no schedule and no clock; the daemon stamps a reading with when and on what clock.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

Scalar: TypeAlias = str | int | float | bool | None


class Condition(StrEnum):
    """What a driver saw of its device. Three-valued where the evidence is: unknown is never mapped to good or bad."""

    WORKING = "working"  # proved, with evidence
    ATTENTION = "attention"  # works, needs something: toner low
    FAULTY = "faulty"  # there, does not work: paper out, no picture
    IN_USE = "in_use"  # busy with its proper work: a camera in a conference is healthy
    UNREACHABLE = "unreachable"  # should answer, does not
    ABSENT = "absent"  # not connected
    UNKNOWN = "unknown"  # not looked at yet, or could not be looked at: the reason says why


class Reason(msgspec.Struct, frozen=True):
    """Why the condition is what it is: a code of the catalogue (`reasons.toml` in the driver's folder) and its parameters."""

    code: str
    params: dict[str, str | int | float] = {}


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at: the method, where, and the raw value as the device gave it (JSON-able, short)."""

    method: str  # how, in one word or two: "ipp get-printer-attributes", "sysfs", "v4l2 capture"
    source: str = ""  # where: a path, an address
    raw: Any = None  # scalar, list or dict of the values that decided; never a picture, never a secret


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One look at one device.

    `measures` holds numbers with the unit in the name (`free_mb`, `area_m2`, `rtt_ms`); None where the device's data
    cannot tell. `evidence` holds what was seen and how, in the order in which it was looked at.
    """

    condition: Condition
    reason: Reason
    measures: dict[str, Scalar] = {}
    evidence: tuple[Evidence, ...] = ()


class YinongError(Exception):
    """Root of every error of this project."""


class DriverError(YinongError):
    """A device could not be looked at as meant; `reading` is the result instead."""

    def __init__(self, condition: Condition, code: str, *evidence: Evidence, **params: str | int | float) -> None:
        super().__init__(f"{condition.value}: {code} {params or ''}".rstrip())
        self.reading = Reading(condition=condition, reason=Reason(code, params), evidence=evidence)


class CannotLook(DriverError):  # noqa: N818
    """The device could not be looked at (no permission, no library, timed out): unknown, with the reason."""

    def __init__(self, code: str, *evidence: Evidence, **params: str | int | float) -> None:
        super().__init__(Condition.UNKNOWN, code, *evidence, **params)


class Driver(Protocol):
    """A device as configured: a frozen struct whose fields are its `[[device]]` table, and one coroutine that looks."""

    @property
    def id(self) -> str: ...

    async def look(self, root: Path, previous: Reading | None = None) -> Reading:
        """Look at the device once.

        `root` is where `/sys`, `/proc` and `/dev` are found (`/` on a terminal, a folder in tests). `previous` is this
        device's last reading, for counters that only mean something as a difference; None at the first look.
        Raises DriverError (its `reading` is the answer); anything else is a bug and is reported as `driver_failed`.
        The caller bounds the time and cancels: a blocking call belongs into a child process (`drivers.child`).
        """
        ...


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A device that is on this machine: what it is, how it is known again, and its table for agent.toml."""

    device_class: str
    identity: str  # stable: USB serial, by-id or by-path, address
    label: str  # maker and model as the device says it
    options: Mapping[str, Scalar]  # the options of its `[[device]]` table, `class` and `id` apart
    note: str = ""  # for the operator, bilingual "中文 / English": what to know or change
