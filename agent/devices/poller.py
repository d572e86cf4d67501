"""The poller: every device is polled at its interval, debounced, and a change is committed with the message that reports it.

    driver.look -> debounce -> standard -> one transaction (device, standard, state) -> DeviceStates

Every poll has a time limit and is cancelled after it; a driver that fails is `unknown` and never stops the daemon.
"""

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from agent.devices.debounce import STATE_PREFIX, Debounced, debounce
from agent.devices.state import ConfirmedReadings, DeviceState, DeviceStates, not_polled_yet
from agent.devices.watched import (
    Measurer,
    StoredMeasurement,
    WatchedDevice,
    WritingDriver,
    bounded_measurement,
    bounded_poll,
)
from agent.outbox.outbox import Draft, OutboxFull, load_state
from agent.outbox.stamps import draft, sequenced
from agent.outbox.writer import Writer
from common.clock import Clock, first_of, rfc3339
from common.messages import Device, Item, Standard
from common.standard.verdicts import verdict_codes
from drivers.hotplug import HotplugEvent
from drivers.reading import Driver, Reading, YinongError

log = logging.getLogger(__name__)

CONFIRM_S = 5  # next poll of a device with a pending change
REPORT_INTERVAL_MS = 24 * 3_600_000
BUDGET_SPENT_INTERVAL_MS = 3_600_000  # between two reports of one device once the flash budget is spent
SETTLE_S = 0.2  # one plug makes several events; poll after the last one
MAX_SETTLE_WAITS = 25  # a loose plug makes events without end: poll all the same


class Poller:
    """`run` belongs in the daemon's task group. `verdicts` turns confirmed readings into items; `budget_spent`: whether
    the day's flash budget is spent (docs/decisions/0022)."""

    def __init__(
        self,
        devices: Iterable[WatchedDevice],
        root: Path,
        clock: Clock,
        writer: Writer,
        states: DeviceStates,
        verdicts: Callable[[ConfirmedReadings], tuple[Item, ...]],
        profile: str,
        rng: random.Random | None = None,
        budget_spent: Callable[[], bool] = lambda: False,
    ) -> None:
        self._devices = {device.key: device for device in devices}
        self._root, self._clock, self._writer, self._states = root, clock, writer, states
        self._verdicts, self._profile = verdicts, profile
        self._rng, self._budget_spent = rng or random.Random(), budget_spent
        self._items_reported_mono_ms: int | None = None
        self._report_lock = asyncio.Lock()  # items are computed from all states: one change at a time
        for device in self._devices.values():
            states.devices[device.key] = DeviceState(
                device.kind.name, device.id, not_polled_yet(), rfc3339(clock.now()), clock.quality(), device.debounced
            )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for device in self._devices.values():
                if device.fixed_reading is not None:
                    group.create_task(self._keep_reporting(device, device.fixed_reading))
                if device.driver is not None:
                    group.create_task(self._keep_polling(device))
                if isinstance(device.driver, Measurer) and device.driver.mini_url:
                    group.create_task(self._keep_measuring(device, device.driver))

    async def poll_now(self, keys: Iterable[str] | None = None) -> list[DeviceState]:
        """Poll these devices (or all) now, for a person who waits; return their new states."""
        wanted = [w for k, w in self._devices.items() if keys is None or k in set(keys)]
        await asyncio.gather(*(self.poll(device) for device in wanted if device.driver is not None))
        for device in wanted:
            if device.unconfirmed:  # its next poll may be a minute away
                device.recheck.set()
        return [self._states.devices[device.key] for device in wanted]

    async def poll(self, device: WatchedDevice, event: bool = False) -> None:
        """Poll, debounce, commit a change, update the state."""
        if device.driver is None:
            return
        async with device.busy:
            reading = await bounded_poll(device.kind, self._driver(device.driver), self._root, device.previous)
            device.remember(reading)
            await self.process(device, reading, event)

    async def measure_now(self, device_class: str) -> tuple[str, Reading]:
        """Have the class's first device measure (the line: some seconds, some megabytes); return its key and the result.

        Raises YinongError if no device of the class can measure.
        """
        for device in self._devices.values():
            if device.kind.name == device_class and isinstance(device.driver, Measurer):
                return device.key, await self._measure(device, device.driver)
        raise YinongError(f"没有可测量的 {device_class} / no {device_class} to measure")

    async def resume_measurements(self) -> None:
        """Resume measurements from before a restart if their age is known: in the same boot, or by a trusted clock."""
        for device in self._devices.values():
            if isinstance(device.driver, Measurer):
                stored = await self._writer.run_in_thread(
                    lambda box, key=device.key: load_state(box, f"measured:{key}", StoredMeasurement)
                )
                age_s = stored.age_s(self._clock) if stored else None
                if stored is not None and age_s is not None:
                    device.previous = device.driver.resumed(
                        stored.reading, age_s, self._clock.mono_ms() / 1000, device.previous
                    )

    async def _keep_reporting(self, device: WatchedDevice, reading: Reading) -> None:
        """For a device whose table is invalid: reported once a day like the others, and again if the commit failed."""
        while True:
            await self.process(device, reading)
            await self._clock.sleep(device.kind.every_s)

    async def _measure(self, device: WatchedDevice, driver: Measurer) -> Reading:
        """Measure and store the result. The device's condition is that of the poll after it, confirmed at once."""
        async with device.busy:
            measured = await bounded_measurement(device.kind, driver, self._root, device.previous)
            device.remember(measured)
            after = await bounded_poll(device.kind, driver, self._root, device.previous)
            device.remember(after)
            stored = StoredMeasurement.now(measured, self._clock)
            await self.process(
                device, after, event=True, extra_state={f"measured:{device.key}": msgspec.json.encode(stored)}
            )
        return measured

    async def _keep_measuring(self, device: WatchedDevice, driver: Measurer) -> None:
        """Never at the start, and each terminal at a random time: 618 must not measure together after a power cut."""
        period_s = driver.measure_every_h * 3600
        await self._clock.sleep(self._rng.uniform(600, max(600, period_s)))
        while True:
            await self._measure(device, driver)
            await self._clock.sleep(period_s)

    async def process(
        self,
        device: WatchedDevice,
        reading: Reading,
        event: bool = False,
        extra_state: Mapping[str, bytes] | None = None,
    ) -> None:
        """Debounce and report a reading, of a poll or from the configuration; `extra_state` is committed with it."""
        clock, now = self._clock, self._clock.mono_ms()
        debounced, changed = debounce(device.debounced, reading, now, clock.boot, event)
        if changed and device.debounced is not None and self._too_soon(device.reported_mono_ms, now):
            debounced, changed = device.debounced, False  # not true until committed: a later poll tries again
        state = DeviceState(device.kind.name, device.id, reading, rfc3339(clock.now()), clock.quality(), debounced)
        async with self._report_lock:
            drafts = (
                [self._device_message(device, debounced)] if changed or self._due(device.reported_mono_ms, now) else []
            )
            items = self._verdicts(self._states.confirmed(state))
            changed_items = verdict_codes(items) != verdict_codes(self._states.items)
            due_items = bool(drafts) and self._due(self._items_reported_mono_ms, now)
            report_items = self._all_polled(device) and (changed_items or due_items)
            if report_items:
                drafts.append(self._standard_message(items))
            if drafts or extra_state:
                try:
                    await self._writer.commit(
                        drafts, {f"{STATE_PREFIX}{device.key}": msgspec.json.encode(debounced), **(extra_state or {})}
                    )
                except (OutboxFull, sqlite3.Error) as error:  # not true until committed: the next poll tries again
                    log.error("%s: the outbox accepts nothing: %s", device.key, error)
                    self._states.devices[device.key] = state._replace(debounced=device.debounced)
                    return
            if drafts and drafts[0].leaf != "standard":
                device.reported_mono_ms = now
            if report_items:
                self._items_reported_mono_ms, self._states.items = now, items
            device.debounced = debounced
            self._states.devices[device.key] = state

    def _all_polled(self, now: WatchedDevice) -> bool:
        """Whether every device was polled once in this run; verdicts are not reported before."""
        return all(
            key == now.key or state.reading.reason.code != "not_looked_at"
            for key, state in self._states.devices.items()
        )

    def _due(self, reported_mono_ms: int | None, now: int) -> bool:
        """Whether an unchanged state is due to be reported again."""
        return not self._budget_spent() and (reported_mono_ms is None or now - reported_mono_ms >= REPORT_INTERVAL_MS)

    def _too_soon(self, reported_mono_ms: int | None, now: int) -> bool:
        """Once the flash budget is spent, a device that keeps changing is reported once an hour."""
        return (
            self._budget_spent() and reported_mono_ms is not None and now - reported_mono_ms < BUDGET_SPENT_INTERVAL_MS
        )

    def _driver(self, driver: Driver) -> Driver:
        return driver.writing_less() if self._budget_spent() and isinstance(driver, WritingDriver) else driver

    async def _keep_polling(self, device: WatchedDevice) -> None:
        event = False
        while True:
            await self.poll(device, event)
            event = await self._wait(device)

    async def _wait(self, device: WatchedDevice) -> bool:
        """Wait until the next poll is due (False) or a plug event of the class has settled (True)."""
        while not device.hotplugged.is_set():
            device.recheck.clear()
            seconds = min(CONFIRM_S, device.kind.every_s) if device.unconfirmed else device.kind.every_s
            await first_of(device.hotplugged.wait(), device.recheck.wait(), self._clock.sleep(seconds))
            if not device.hotplugged.is_set() and not device.recheck.is_set():
                return False
        for _ in range(MAX_SETTLE_WAITS):
            device.hotplugged.clear()
            await self._clock.sleep(SETTLE_S)
            if not device.hotplugged.is_set():
                break
        return True

    def on_hotplug(self, plug: HotplugEvent) -> None:
        """Poll the devices whose class the event concerns soon; all of them if events were lost."""
        for device in self._devices.values():
            if not plug.subsystem or plug.subsystem in device.kind.hotplug:
                device.hotplugged.set()

    def _device_message(self, device: WatchedDevice, debounced: Debounced) -> Draft:
        reading = debounced.confirmed
        message = Device(
            **sequenced(self._clock),
            device_class=device.kind.name,
            id=device.id,
            condition=reading.condition,
            reason=reading.reason.code,
            params=reading.reason.params,
            measures=reading.measures,
            evidence=reading.evidence,
            previous=debounced.previous,
            flaps=debounced.flaps,
        )
        return draft(self._clock, f"device/{device.key}", message, retained=True)

    def _standard_message(self, items: tuple[Item, ...]) -> Draft:
        message = Standard(**sequenced(self._clock), profile=self._profile, items=items)
        return draft(self._clock, "standard", message, retained=True)
