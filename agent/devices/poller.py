"""The rounds: every device is looked at in its turn, judged, and a change is committed with the message that tells of it.

    driver.look -> judge (hysteresis) -> standard -> one transaction (device, standard, state marks) -> board

Every look is bounded in time and cancelled when it is over; a driver that fails is `unknown`, never the end of the daemon.
"""

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from agent.devices.debounce import Judged, judge
from agent.devices.state import Believed, Board, Seen, not_looked_at
from agent.devices.watched import Measured, Measurer, Sparing, Watch, bounded_look, bounded_measurement
from agent.outbox.marks import read_state
from agent.outbox.outbox import Draft, OutboxFull
from agent.outbox.stamps import draft, placed
from agent.outbox.writer import Writer
from common.clock import Clock, first_of, rfc3339
from common.messages import Device, Item, Standard
from common.standard.verdicts import standing
from drivers.hotplug import Plug, watch_hotplug
from drivers.reading import CannotLook, Driver, Reading, YinongError

log = logging.getLogger(__name__)

CONFIRM_S = 5  # a change that is seen but not believed yet is looked at again soon
REPORT_AGAIN_MS = 24 * 3_600_000
SPARING_MS = 3_600_000  # between two reports of one device, while the flash is spared
SETTLE_S = 0.2  # a plug makes several events; the last one counts
SETTLE_AT_MOST = 25  # a loose plug makes them without end: it is looked at all the same


class Rounds:
    """`run` belongs into the daemon's task group. `verdicts` turns believed readings into items; `plugged` hears
    of every plug event too; `spare` says whether the flash is to be spared today (docs/decisions/0022)."""

    def __init__(
        self, watches: Iterable[Watch], root: Path, clock: Clock, writer: Writer, board: Board,
        verdicts: Callable[[Believed], tuple[Item, ...]], profile: str,
        plugged: Callable[[Plug], None], chance: random.Random | None = None,
        spare: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._watches = {watch.key: watch for watch in watches}
        self._root, self._clock, self._writer, self._board = root, clock, writer, board
        self._verdicts, self._profile = verdicts, profile
        self._plugged, self._chance, self._spare = plugged, chance or random.Random(), spare
        self._items_reported_mono_ms: int | None = None
        self._telling = asyncio.Lock()  # items are computed from the board: one change after the other
        for watch in self._watches.values():
            board.devices[watch.key] = Seen(
                watch.kind.name, watch.id, not_looked_at(), rfc3339(clock.now()), clock.quality(), watch.judged
            )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hotplug())
            for watch in self._watches.values():
                if watch.instead is not None:
                    group.create_task(self._keep_telling(watch, watch.instead))
                if watch.driver is not None:
                    group.create_task(self._keep_looking(watch))
                if isinstance(watch.driver, Measurer) and watch.driver.mini_url:
                    group.create_task(self._keep_measuring(watch, watch.driver))

    async def look_now(self, keys: Iterable[str] | None = None) -> list[Seen]:
        """Look at these devices (or all) at once, for a person who waits; gives them as seen just now."""
        wanted = [w for k, w in self._watches.items() if keys is None or k in set(keys)]
        await asyncio.gather(*(self.look(watch) for watch in wanted if watch.driver is not None))
        for watch in wanted:
            if watch.in_doubt:  # its own turn may be a minute away
                watch.doubted.set()
        return [self._board.devices[watch.key] for watch in wanted]

    async def look(self, watch: Watch, event: bool = False) -> None:
        """Look, judge, commit what changed, show it on the board."""
        if watch.driver is None:
            return
        async with watch.busy:
            reading = await bounded_look(watch.kind, self._driver(watch.driver), self._root, watch.previous)
            watch.heard(reading)
            await self.take(watch, reading, event)

    async def measure_now(self, device_class: str) -> tuple[str, Reading]:
        """Have the class's first device measure (the line: some seconds, some megabytes); its key, and what came of it.

        Raises YinongError where nothing of the class measures.
        """
        for watch in self._watches.values():
            if watch.kind.name == device_class and isinstance(watch.driver, Measurer):
                return watch.key, await self._measure(watch, watch.driver)
        raise YinongError(f"没有可测量的 {device_class} / no {device_class} to measure")

    async def resume_measurements(self) -> None:
        """What was measured before a restart counts on, where its age is known: in the same boot, or by a trusted clock."""
        for watch in self._watches.values():
            if isinstance(watch.driver, Measurer):
                kept = await self._writer.ask(lambda box, key=watch.key: read_state(box, f"measured:{key}", Measured))
                age_s = kept.age_s(self._clock) if kept else None
                if kept is not None and age_s is not None:
                    watch.previous = watch.driver.resumed(
                        kept.reading, age_s, self._clock.mono_ms() / 1000, watch.previous
                    )

    async def _keep_telling(self, watch: Watch, reading: Reading) -> None:
        """Of a device whose table is wrong: told once a day like the others, and again where the outbox took nothing."""
        while True:
            await self.take(watch, reading)
            await self._clock.sleep(watch.kind.every_s)

    async def _measure(self, watch: Watch, driver: Measurer) -> Reading:
        """Measure and keep what came of it. The device's condition is what the look after it says, believed at once."""
        async with watch.busy:
            measured = await bounded_measurement(watch.kind, driver, self._root, watch.previous)
            watch.heard(measured)
            seen = await bounded_look(watch.kind, driver, self._root, watch.previous)
            watch.heard(seen)
            kept = Measured.now(measured, self._clock)
            await self.take(watch, seen, event=True, marks={f"measured:{watch.key}": msgspec.json.encode(kept)})
        return measured

    async def _keep_measuring(self, watch: Watch, driver: Measurer) -> None:
        """Never at the start, and each terminal at its own time: 618 must not measure together after a power cut."""
        period_s = driver.measure_every_h * 3600
        await self._clock.sleep(self._chance.uniform(600, max(600, period_s)))
        while True:
            await self._measure(watch, driver)
            await self._clock.sleep(period_s)

    async def take(
        self, watch: Watch, reading: Reading, event: bool = False, marks: Mapping[str, bytes] | None = None
    ) -> None:
        """Take a reading in: from a look, or one that the configuration gives; `marks` are committed with it."""
        clock, now = self._clock, self._clock.mono_ms()
        judged, changed = judge(watch.judged, reading, now, clock.boot, event)
        if changed and watch.judged is not None and self._too_soon(watch.reported_mono_ms, now):
            judged, changed = watch.judged, False  # not true until committed: a later look tries again
        seen = Seen(watch.kind.name, watch.id, reading, rfc3339(clock.now()), clock.quality(), judged)
        async with self._telling:
            drafts = [self._device(watch, judged)] if changed or self._due(watch.reported_mono_ms, now) else []
            items = self._verdicts(self._board.believed(seen))
            changed_items = standing(items) != standing(self._board.items)
            due_items = bool(drafts) and self._due(self._items_reported_mono_ms, now)
            tell_items = self._all_looked_at(watch) and (changed_items or due_items)
            if tell_items:
                drafts.append(self._standard(items))
            if drafts or marks:
                try:
                    await self._writer.commit(
                        drafts, {f"judged:{watch.key}": msgspec.json.encode(judged), **(marks or {})}
                    )
                except (OutboxFull, sqlite3.Error) as error:  # not true until committed: the next look tries again
                    log.error("%s: the outbox takes nothing: %s", watch.key, error)
                    self._board.devices[watch.key] = seen._replace(judged=watch.judged)
                    return
            if drafts and drafts[0].leaf != "standard":
                watch.reported_mono_ms = now
            if tell_items:
                self._items_reported_mono_ms, self._board.items = now, items
            watch.judged = judged
            self._board.devices[watch.key] = seen

    def _all_looked_at(self, now: Watch) -> bool:
        """Verdicts are told when every device was looked at once in this run: half a picture is no news."""
        return all(
            key == now.key or seen.reading.reason.code != "not_looked_at" for key, seen in self._board.devices.items()
        )

    def _due(self, reported_mono_ms: int | None, now: int) -> bool:
        """Whether it is time to tell again what has not changed."""
        return not self._spare() and (reported_mono_ms is None or now - reported_mono_ms >= REPORT_AGAIN_MS)

    def _too_soon(self, reported_mono_ms: int | None, now: int) -> bool:
        """While the flash is spared a device that changes all the time is told of once an hour."""
        return self._spare() and reported_mono_ms is not None and now - reported_mono_ms < SPARING_MS

    def _driver(self, driver: Driver) -> Driver:
        return driver.sparing() if self._spare() and isinstance(driver, Sparing) else driver

    async def _keep_looking(self, watch: Watch) -> None:
        event = False
        while True:
            await self.look(watch, event)
            event = await self._wait(watch)

    async def _wait(self, watch: Watch) -> bool:
        """Until the next look is due (False) or a plug event of the class has settled (True)."""
        while not watch.plugged.is_set():
            watch.doubted.clear()
            seconds = min(CONFIRM_S, watch.kind.every_s) if watch.in_doubt else watch.kind.every_s
            await first_of(watch.plugged.wait(), watch.doubted.wait(), self._clock.sleep(seconds))
            if not watch.plugged.is_set() and not watch.doubted.is_set():
                return False
        for _ in range(SETTLE_AT_MOST):
            watch.plugged.clear()
            await self._clock.sleep(SETTLE_S)
            if not watch.plugged.is_set():
                break
        return True

    async def _hotplug(self) -> None:
        wanted = {subsystem for watch in self._watches.values() for subsystem in watch.kind.hotplug}
        try:
            await watch_hotplug(wanted, self.on_plug)
        except CannotLook as error:
            log.info("no hotplug events here: %s", error)

    def on_plug(self, plug: Plug) -> None:
        """Devices whose class the event concerns are looked at soon; all of them where events were lost."""
        self._plugged(plug)
        for watch in self._watches.values():
            if not plug.subsystem or plug.subsystem in watch.kind.hotplug:
                watch.plugged.set()

    def _device(self, watch: Watch, judged: Judged) -> Draft:
        reading = judged.believed
        message = Device(
            **placed(self._clock), device_class=watch.kind.name, id=watch.id, condition=reading.condition,
            reason=reading.reason.code, params=reading.reason.params, measures=reading.measures,
            evidence=reading.evidence, previous=judged.previous, flaps=judged.flaps,
        )  # fmt: skip
        return draft(self._clock, f"device/{watch.key}", message, retained=True)

    def _standard(self, items: tuple[Item, ...]) -> Draft:
        message = Standard(**placed(self._clock), profile=self._profile, items=items)
        return draft(self._clock, "standard", message, retained=True)
