"""A watched device, and a poll of it that always returns a reading."""

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
    """Poll once and always return a reading: a driver that is late, fails or cannot look is `unknown`, with the reason."""
    return await _bounded(kind.name, kind.budget_s, driver.look(root, previous))


async def bounded_measurement(kind: DeviceClass, driver: "Measurer", root: Path, previous: Reading | None) -> Reading:
    """The same for a measurement."""
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
    """A driver that can also measure, which costs more than a poll: the line's."""

    @property
    def mini_url(self) -> str: ...
    @property
    def measure_every_h(self) -> float: ...
    async def measure(self, root: Path, previous: Reading | None = None) -> Reading: ...
    def resumed(self, measured: Reading, age_s: float, uptime_s: float, before: Reading | None) -> Reading: ...


@runtime_checkable
class WritingDriver(Driver, Protocol):
    """A driver whose polls write to the disk: it has a variant that writes rarely."""

    def writing_less(self) -> Driver: ...


class StoredMeasurement(msgspec.Struct, frozen=True):
    """A measurement as stored across restarts, with its time on both clocks."""

    reading: Reading
    boot: str
    mono_ms: int
    at_s: float | None  # wall time if the clock was trusted

    @classmethod
    def now(cls, reading: Reading, clock: Clock) -> "StoredMeasurement":
        at_s = clock.now().timestamp() if clock.quality() == "synced" else None
        return cls(reading, clock.boot, clock.mono_ms(), at_s)

    def age_s(self, clock: Clock) -> float | None:
        """Its age; None if no clock can tell."""
        if self.boot == clock.boot:
            return (clock.mono_ms() - self.mono_ms) / 1000
        if self.at_s is None or clock.quality() != "synced":
            return None
        age_s = clock.now().timestamp() - self.at_s
        return age_s if age_s >= 0 else None


class WatchedDevice:
    """One device that the poller watches, with its poll state."""

    def __init__(
        self,
        kind: DeviceClass,
        id: str,
        driver: Driver | None,
        debounced: Debounced | None,
        fixed_reading: Reading | None = None,
    ) -> None:
        self.kind, self.id, self.driver = kind, id, driver
        self.debounced = debounced
        self.fixed_reading = fixed_reading  # of a device that is not polled because its table is invalid
        self.hotplugged = asyncio.Event()
        self.recheck = asyncio.Event()  # a poll on request saw a change that is not confirmed yet
        self.busy = asyncio.Lock()
        self.reported_mono_ms: int | None = None
        self.previous: Reading | None = None  # the driver's last own reading: counters are differences to it

    def remember(self, reading: Reading) -> None:
        """Keep the driver's reading; after a poll that timed out or failed the earlier one stays, for the counters."""
        if reading.reason.code not in POLL_FAILED:
            self.previous = reading

    @property
    def unconfirmed(self) -> bool:
        """A change is pending: the device is polled again soon."""
        return self.debounced is not None and self.debounced.pending is not None

    @property
    def key(self) -> str:
        return f"{self.kind.name}/{self.id}"


async def poll_once(
    devices: Iterable[tuple[DeviceClass, Driver]], root: Path, clock: Clock, report: Callable[[DeviceState], None]
) -> list[DeviceState]:
    """Poll all devices concurrently, each bounded, without a daemon; `report` is called as each is done. In the order given."""

    async def poll(kind: DeviceClass, driver: Driver) -> DeviceState:
        reading = await bounded_poll(kind, driver, root, None)
        state = DeviceState(kind.name, driver.id, reading, rfc3339(clock.now()), clock.quality())
        report(state)
        return state

    return list(await asyncio.gather(*(poll(kind, driver) for kind, driver in devices)))
