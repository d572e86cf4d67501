"""A device under watch, and one look at it that always gives a reading."""

import asyncio
import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from agent.devices.debounce import Judged
from common.clock import Clock
from drivers.reading import CannotLook, Driver, DriverError, Reading
from drivers.table import DeviceClass

log = logging.getLogger(__name__)

CUT_SHORT = frozenset({"timed_out", "driver_failed"})


async def bounded_look(kind: DeviceClass, driver: Driver, root: Path, previous: Reading | None) -> Reading:
    """One look that always gives a reading: late, failing and unable drivers are `unknown`, with the reason."""
    return await _bounded(kind.name, kind.budget_s, driver.look(root, previous))


async def bounded_measurement(kind: DeviceClass, driver: "Measurer", root: Path, previous: Reading | None) -> Reading:
    """The same of a measurement."""
    return await _bounded(kind.name, kind.measure_budget_s, driver.measure(root, previous))


async def _bounded(name: str, budget_s: float, asked: Awaitable[Reading]) -> Reading:
    try:
        async with asyncio.timeout(budget_s):
            return await asked
    except TimeoutError:
        return CannotLook("timed_out", budget_s=budget_s).reading
    except DriverError as error:
        return error.reading
    except Exception as error:
        log.exception("driver %s failed", name)
        return CannotLook("driver_failed", error=f"{type(error).__name__}: {error}"[:200]).reading


@runtime_checkable
class Measurer(Driver, Protocol):
    """A driver that can also measure, which costs more than a look: the line's."""

    @property
    def mini_url(self) -> str: ...
    @property
    def measure_every_h(self) -> float: ...
    async def measure(self, root: Path, previous: Reading | None = None) -> Reading: ...
    def resumed(self, measured: Reading, age_s: float, uptime_s: float, before: Reading | None) -> Reading: ...


@runtime_checkable
class Sparing(Driver, Protocol):
    """A driver whose looks write to the disk: it can look without, or hardly ever."""

    def sparing(self) -> Driver: ...


class Measured(msgspec.Struct, frozen=True):
    """A measurement as it is kept over a restart, and when it was made, on both clocks."""

    reading: Reading
    boot: str
    mono_ms: int
    at_s: float | None  # wall time where it was trusted

    @classmethod
    def now(cls, reading: Reading, clock: Clock) -> "Measured":
        at_s = clock.now().timestamp() if clock.quality() == "synced" else None
        return cls(reading, clock.boot, clock.mono_ms(), at_s)

    def age_s(self, clock: Clock) -> float | None:
        """How long ago it was; None where no clock can tell."""
        if self.boot == clock.boot:
            return (clock.mono_ms() - self.mono_ms) / 1000
        if self.at_s is None or clock.quality() != "synced":
            return None
        age_s = clock.now().timestamp() - self.at_s
        return age_s if age_s >= 0 else None


class Watch:
    """One device under watch."""

    def __init__(
        self, kind: DeviceClass, id: str, driver: Driver | None, judged: Judged | None, instead: Reading | None = None
    ) -> None:
        self.kind, self.id, self.driver = kind, id, driver
        self.judged = judged
        self.instead = instead  # of a device that is not looked at because its table is wrong
        self.plugged = asyncio.Event()
        self.doubted = asyncio.Event()  # a look out of its turn has seen a change that is not believed yet
        self.busy = asyncio.Lock()
        self.reported_mono_ms: int | None = None
        self.previous: Reading | None = None  # the last one that the driver itself gave: counters are differences to it

    def heard(self, reading: Reading) -> None:
        """Keep what the driver gave; a look that was cut short or failed carries no counters on."""
        if reading.reason.code not in CUT_SHORT:
            self.previous = reading

    @property
    def in_doubt(self) -> bool:
        """Something was seen that is not believed yet: it is looked at again soon."""
        return self.judged is not None and self.judged.candidate is not None

    @property
    def key(self) -> str:
        return f"{self.kind.name}/{self.id}"
