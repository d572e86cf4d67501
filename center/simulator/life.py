"""What happens to a simulated station, and when: drawn from its own chance, waited for on the loop's clock."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from math import inf
from typing import NamedTuple

from center.simulator.scenes import SCENES
from center.simulator.station import HEARTBEAT_S, TELEMETRY_S, SimulatedStation


class Pace(NamedTuple):
    """Events in an hour of a station's life, and how long a station is away (mean seconds)."""

    scans: float = 6  # bursts of them
    troubles: float = 2
    line_cuts: float = 0.8
    power_cuts: float = 0.2
    line_away_s: float = 25
    power_away_s: float = 60

    def times(self, factor: float) -> "Pace":
        return self._replace(
            scans=self.scans * factor, troubles=self.troubles * factor,
            line_cuts=self.line_cuts * factor, power_cuts=self.power_cuts * factor,
        )  # fmt: skip


class Life:
    """`live` until `end` is asked for. `power_cut` comes from outside too: a township's line hits all its stations."""

    def __init__(self, station: SimulatedStation, pace: Pace, chance: random.Random, counts: Counter[str]) -> None:
        self.station, self._pace, self._chance, self._counts = station, pace, chance, counts
        self._asked: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self._ending = False
        self._over = asyncio.Event()
        self._due: dict[str, float] = {}
        self._connection: asyncio.Task[None] | None = None
        self._went_s = 0.0

    async def live(self, first_s: float) -> None:
        """Begin after `first_s`; return when `end` was called and the farewell is said."""
        await asyncio.sleep(first_s)
        now_s = self._now_s()
        self._due = {
            "beat": now_s + self._chance.uniform(0, HEARTBEAT_S), "telemetry": now_s + self._chance.uniform(5, TELEMETRY_S),
            "patience": now_s + 10, "event": now_s + self._next_event_s(), "line": inf, "power": inf,
        }  # fmt: skip
        self.station.begin()
        async with asyncio.TaskGroup() as group:
            self._connect(group)
            while not self._over.is_set():
                await self._one(group)
            self.station.ends = True
            self.station.closing()
            await self._said()
            self._disconnect()

    def power_cut(self, away_s: float) -> None:
        """From outside, in the loop."""
        self._asked.put_nowait(lambda: self._power_cut(away_s))

    def settle(self) -> None:
        """No more events; whatever is away comes back: what waits can be receipted."""

        def do() -> None:
            self._ending = True
            for name, at in list(self._due.items()):
                if name == "event" or name.startswith("well:"):
                    self._due[name] = inf
                elif name in ("line", "power") and at < inf:
                    self._due[name] = self._now_s() + self._chance.uniform(0, 2)

        self._asked.put_nowait(do)

    def end(self) -> None:
        self._asked.put_nowait(self._over.set)

    async def _one(self, group: asyncio.TaskGroup) -> None:
        """Wait for the next that is due, or for what is asked from outside, and do it."""
        name = min(self._due, key=lambda key: self._due[key])
        try:
            async with asyncio.timeout(max(0.0, self._due[name] - self._now_s())):
                ask = await self._asked.get()
        except TimeoutError:
            self._do(name, group)
        else:
            ask()

    def _do(self, name: str, group: asyncio.TaskGroup) -> None:
        now_s, station = self._now_s(), self.station
        match name:
            case "beat":
                self._due[name] = now_s + HEARTBEAT_S
                station.heartbeat()
            case "telemetry":
                self._due[name] = now_s + TELEMETRY_S
                station.telemetry()
            case "patience":
                self._due[name] = now_s + 10
                station.look_for_receipts()
            case "line":
                self._due[name] = inf
                station.line_back(now_s - self._went_s)
                self._connect(group)
            case "power":
                self._due[name] = inf
                station.power_back()
                self._connect(group)
            case "event":
                self._due[name] = now_s + self._next_event_s()
                if station.powered:
                    self._event()
            case _:
                self._well(name.removeprefix("well:"))

    def _event(self) -> None:
        pace = self._pace
        what = self._chance.choices(
            (self._scan, self._trouble, self._line_cut, lambda: self._power_cut(None)),
            (pace.scans, pace.troubles, pace.line_cuts, pace.power_cuts),
        )[0]
        what()

    def _scan(self) -> None:
        for _ in range(self._chance.randint(1, 6)):
            self.station.scan()

    def _trouble(self) -> None:
        name = self._chance.choice([n for n in self.station.readings if f"well:{n}" not in self._due] or ["terminal"])
        _, minutes, reading = self._chance.choices(
            SCENES[name].troubles, [weight for weight, _, _ in SCENES[name].troubles]
        )[0]
        self.station.change(name, reading)
        self._due[f"well:{name}"] = self._now_s() + self._chance.expovariate(1 / (minutes * 60))

    def _well(self, name: str) -> None:
        if self.station.powered:
            del self._due[f"well:{name}"]
            self.station.change(name, SCENES[name].well)
        else:
            self._due[f"well:{name}"] = self._now_s() + 30

    def _line_cut(self) -> None:
        if self._due["line"] == inf and not self._ending:
            self._counts["line cuts"] += 1
            self.station.cut_line()
            self._away("line", self._chance.expovariate(1 / self._pace.line_away_s))

    def _power_cut(self, away_s: float | None) -> None:
        if self.station.powered and not self._ending:
            self._counts["power cuts"] += 1
            self.station.cut_power()
            self._due["line"] = inf  # the line comes back with the power
            self._away("power", away_s or self._chance.expovariate(1 / self._pace.power_away_s))

    def _away(self, name: str, away_s: float) -> None:
        self._went_s = self._now_s()
        self._due[name] = self._went_s + 1 + away_s
        self._disconnect()

    def _connect(self, group: asyncio.TaskGroup) -> None:
        self._connection = group.create_task(self.station.connection())

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.cancel()
            self._connection = None

    async def _said(self) -> None:
        until = self._now_s() + 2
        while self.station.under_way and self._now_s() < until:  # noqa: ASYNC110  # once in a life
            await asyncio.sleep(0.05)

    def _next_event_s(self) -> float:
        an_hour = self._pace.scans + self._pace.troubles + self._pace.line_cuts + self._pace.power_cuts
        return self._chance.expovariate(an_hour / 3600)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()
