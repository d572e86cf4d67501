"""A device under watch, and one look at it that always gives a reading."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from agent.devices.debounce import Debounced
from agent.devices.state import DeviceState
from common.clock import Clock, rfc3339
from drivers.reading import CannotLook, Driver, DriverError, Reading
from drivers.table import DeviceClass

log = logging.getLogger(__name__)

POLL_FAILED = frozenset({"timed_out", "driver_failed"})


async def bounded_poll(kind: DeviceClass, driver: Driver, root: Path, previous: Reading | None) -> Reading:
    """One look that always gives a reading: late, failing and unable drivers are `unknown`, with the reason."""
    return await _bounded(kind.name, kind.budget_s, driver.look(root, previous))


async def bounded_measurement(kind: DeviceClass, driver: "Measurer", root: Path, previous: Reading | None) -> Reading:
    """The same of a measurement."""
    return await _bounded(kind.name, kind.measure_budget_s, driver.measure(root, previous))


async def _bounded(name: str, budget_s: float, call: Awaitable[Reading]) -> Reading:
    try:
        async with asyncio.timeout(budget_s):
            return await call
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
class WritingDriver(Driver, Protocol):
    """A driver whose looks write to the disk: it can look without, or hardly ever."""

    def writing_less(self) -> Driver: ...


class StoredMeasurement(msgspec.Struct, frozen=True):
    """A measurement as it is kept over a restart, and when it was made, on both clocks."""

    reading: Reading
    boot: str
    mono_ms: int
    at_s: float | None  # wall time where it was trusted

    @classmethod
    def now(cls, reading: Reading, clock: Clock) -> "StoredMeasurement":
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


class WatchedDevice:
    """One device under watch."""

    def __init__(
        self, kind: DeviceClass, id: str, driver: Driver | None, debounced: Debounced | None,
        fixed_reading: Reading | None = None,
    ) -> None:  # fmt: skip
        self.kind, self.id, self.driver = kind, id, driver
        self.debounced = debounced
        self.fixed_reading = fixed_reading  # of a device that is not looked at because its table is wrong
        self.hotplugged = asyncio.Event()
        self.recheck = asyncio.Event()  # a look out of its turn has seen a change that is not believed yet
        self.busy = asyncio.Lock()
        self.reported_mono_ms: int | None = None
        self.previous: Reading | None = None  # the last one that the driver itself gave: counters are differences to it

    def remember(self, reading: Reading) -> None:
        """Keep what the driver gave; a look that was cut short or failed carries no counters on."""
        if reading.reason.code not in POLL_FAILED:
            self.previous = reading

    @property
    def unconfirmed(self) -> bool:
        """Something was state that is not believed yet: it is looked at again soon."""
        return self.debounced is not None and self.debounced.pending is not None

    @property
    def key(self) -> str:
        return f"{self.kind.name}/{self.id}"


async def poll_once(
    devices: Iterable[tuple[DeviceClass, Driver]], root: Path, clock: Clock, report: Callable[[DeviceState], None]
) -> list[DeviceState]:
    """All devices at the same time, each bounded; `report` is called as each is done. In the order given."""

    async def poll(kind: DeviceClass, driver: Driver) -> DeviceState:
        reading = await bounded_poll(kind, driver, root, None)
        state = DeviceState(kind.name, driver.id, reading, rfc3339(clock.now()), clock.quality())
        report(state)
        return state

    return list(await asyncio.gather(*(poll(kind, driver) for kind, driver in devices)))
