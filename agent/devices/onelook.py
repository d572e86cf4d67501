"""One look at everything without a daemon: for `check` on a machine where none runs."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from agent.devices.state import Seen
from agent.devices.watched import bounded_look
from common.clock import Clock, rfc3339
from drivers.reading import Driver
from drivers.table import DeviceClass


async def look_once(
    devices: Iterable[tuple[DeviceClass, Driver]], root: Path, clock: Clock, tell: Callable[[Seen], None]
) -> list[Seen]:
    """All devices at the same time, each bounded; `tell` is called as each is done. In the order given."""

    async def look(kind: DeviceClass, driver: Driver) -> Seen:
        reading = await bounded_look(kind, driver, root, None)
        seen = Seen(kind.name, driver.id, reading, rfc3339(clock.now()), clock.quality())
        tell(seen)
        return seen

    return list(await asyncio.gather(*(look(kind, driver) for kind, driver in devices)))
