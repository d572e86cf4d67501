"""A device under watch, and one look at it that always gives a reading."""

import asyncio
import logging
from pathlib import Path
from typing import Protocol, runtime_checkable

from agent.judgement import Judged
from drivers.reading import CannotLook, Driver, DriverError, Reading
from drivers.table import DeviceClass

log = logging.getLogger(__name__)

CUT_SHORT = frozenset({"timed_out", "driver_failed"})


async def bounded_look(kind: DeviceClass, driver: Driver, root: Path, previous: Reading | None) -> Reading:
    """One look that always gives a reading: late, failing and unable drivers are `unknown`, with the reason."""
    try:
        async with asyncio.timeout(kind.budget_s):
            return await driver.look(root, previous)
    except TimeoutError:
        return CannotLook("timed_out", budget_s=kind.budget_s).reading
    except DriverError as error:
        return error.reading
    except Exception as error:
        log.exception("driver %s failed", kind.name)
        return CannotLook("driver_failed", error=f"{type(error).__name__}: {error}"[:200]).reading


@runtime_checkable
class Measurer(Protocol):
    """A driver that can also measure, which costs more than a look: the line's."""

    @property
    def mini_url(self) -> str: ...
    @property
    def measure_every_h(self) -> float: ...
    async def measure(self, root: Path, previous: Reading | None = None) -> Reading: ...


class Watch:
    """One device under watch."""

    def __init__(
        self, kind: DeviceClass, id: str, driver: Driver | None, judged: Judged | None, instead: Reading | None = None
    ) -> None:
        self.kind, self.id, self.driver = kind, id, driver
        self.judged = judged
        self.instead = instead  # of a device that is not looked at because its table is wrong
        self.plugged = asyncio.Event()
        self.busy = asyncio.Lock()
        self.reported_mono_ms: int | None = None
        self.previous: Reading | None = None  # the last one that the driver itself gave: counters are differences to it

    def heard(self, reading: Reading) -> None:
        """Keep what the driver gave; a look that was cut short or failed carries no counters on."""
        if reading.reason.code not in CUT_SHORT:
            self.previous = reading

    @property
    def key(self) -> str:
        return f"{self.kind.name}/{self.id}"
