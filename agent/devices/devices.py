"""The devices as one part: polled, debounced, reported, and checked on request."""

import asyncio
from collections.abc import Sequence
from functools import partial

from agent.configuration.settings import Loaded
from agent.context import Context
from agent.devices.checks import Checks, verdicts_now
from agent.devices.debounce import STATE_PREFIX, Debounced
from agent.devices.poller import Poller
from agent.devices.state import DeviceState, DeviceStates
from agent.devices.watched import WatchedDevice
from agent.observable import Observed
from agent.storage import Storage
from common.clock import ClockQuality
from drivers.hotplug import Hotplug
from drivers.reading import Condition, Reading


class Devices:
    """`begin` once the journal has its start entry, then `run`; `states` and `checks` are for the others."""

    def __init__(
        self,
        context: Context,
        loaded: Loaded,
        storage: Storage,
        clock_quality: Observed[ClockQuality],
        hotplug: Hotplug,
    ) -> None:
        settings, clock = context.settings, context.clock
        if storage.opening.kind == "other_hardware":
            storage.forget_states(STATE_PREFIX)  # every device is reported again
        self.states = DeviceStates()
        self._poller = Poller(
            _watched(loaded, storage),
            context.root,
            clock,
            storage.writer,
            self.states,
            partial(verdicts_now, settings, clock=clock),
            settings.profile.value,
            budget_spent=storage.budget.is_spent,
        )
        self.checks = Checks(settings, clock, self.states, self._poller)
        self._clock_changes = clock_quality.changes()
        hotplug.subscribe(self._poller.on_hotplug)

    async def begin(self) -> None:
        """Measurements of the run before count on."""
        await self._poller.resume_measurements()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poller.run())
            group.create_task(self._resume_when_synced())

    def line_states(self) -> Sequence[DeviceState]:
        """The devices that probe the line."""
        return [self.states.devices[key] for key in self._line_keys()]

    async def poll_line(self) -> None:
        """Poll them at once."""
        await self._poller.poll_now(self._line_keys())

    def _line_keys(self) -> list[str]:
        return [key for key, state in self.states.devices.items() if state.device_class == "broadband"]

    async def _resume_when_synced(self) -> None:
        """A measurement of another boot has an age once the clock is good."""
        async for quality in self._clock_changes:
            if quality == "synced":
                await self._poller.resume_measurements()


def _watched(loaded: Loaded, storage: Storage) -> list[WatchedDevice]:
    devices = [
        WatchedDevice(kind, driver.id, driver, storage.load_state(f"{STATE_PREFIX}{kind.name}/{driver.id}", Debounced))
        for kind, driver in loaded.devices
    ]
    wrong = [
        WatchedDevice(kind, id, None, None, Reading(condition=Condition.UNKNOWN, reason=reason))
        for kind, id, reason in loaded.disabled
    ]
    return [*devices, *wrong]
