"""What happens to a simulated station, and when: drawn from its own random generator, timed by the loop's clock."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from math import inf
from typing import NamedTuple

from center.simulator.scenes import SCENES
from center.simulator.station import HEARTBEAT_S, TELEMETRY_S, SimulatedStation


class Pace(NamedTuple):
    """Events per hour of a station's life, and for how long a station is offline (mean seconds)."""

    scans: float = 6  # bursts of them
    troubles: float = 2
    line_cuts: float = 0.8
    power_cuts: float = 0.2
    line_away_s: float = 25
    power_away_s: float = 60

    def times(self, factor: float) -> "Pace":
        return self._replace(
            scans=self.scans * factor,
            troubles=self.troubles * factor,
            line_cuts=self.line_cuts * factor,
            power_cuts=self.power_cuts * factor,
        )


class StationLife:
    """`run` until `stop`. `power_cut` is also called by the fleet: a township's power cut affects its stations together."""

    def __init__(self, station: SimulatedStation, pace: Pace, rng: random.Random, counts: Counter[str]) -> None:
        self.station, self._pace, self._rng, self._counts = station, pace, rng, counts
        self._requests: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self._draining = False
        self._stopped = asyncio.Event()
        self._due: dict[str, float] = {}
        self._connection: asyncio.Task[None] | None = None
        self._offline_since_s = 0.0

    async def run(self, first_s: float) -> None:
        """Start after `first_s`; return when `stop` was called and `closing` was published."""
        await asyncio.sleep(first_s)
        now_s = self._now_s()
        self._due = {
            "heartbeat": now_s + self._rng.uniform(0, HEARTBEAT_S), "telemetry": now_s + self._rng.uniform(5, TELEMETRY_S),
            "receipt timeout": now_s + 10, "event": now_s + self._next_event_s(), "line": inf, "power": inf,
        }  # fmt: skip
        self.station.start()
        async with asyncio.TaskGroup() as group:
            self._connect(group)
            while not self._stopped.is_set():
                await self._next(group)
            self.station.stopping = True
            self.station.publish_closing()
            await self._wait_for_acks()
            self._disconnect()

    def power_cut(self, away_s: float) -> None:
        """Called by the fleet, in the loop."""
        self._requests.put_nowait(lambda: self._power_cut(away_s))

    def drain(self) -> None:
        """No more events; line and power come back, so that what waits can be receipted."""

        def drain() -> None:
            self._draining = True
            for name, at in list(self._due.items()):
                if name == "event" or name.startswith("recovery:"):
                    self._due[name] = inf
                elif name in ("line", "power") and at < inf:
                    self._due[name] = self._now_s() + self._rng.uniform(0, 2)

        self._requests.put_nowait(drain)

    def stop(self) -> None:
        self._requests.put_nowait(self._stopped.set)

    async def _next(self, group: asyncio.TaskGroup) -> None:
        """Wait for what is due next, or for a request of the fleet, and do it."""
        name = min(self._due, key=lambda key: self._due[key])
        try:
            async with asyncio.timeout(max(0.0, self._due[name] - self._now_s())):
                request = await self._requests.get()
        except TimeoutError:
            self._do(name, group)
        else:
            request()

    def _do(self, name: str, group: asyncio.TaskGroup) -> None:
        now_s, station = self._now_s(), self.station
        match name:
            case "heartbeat":
                self._due[name] = now_s + HEARTBEAT_S
                station.heartbeat()
            case "telemetry":
                self._due[name] = now_s + TELEMETRY_S
                station.telemetry()
            case "receipt timeout":
                self._due[name] = now_s + 10
                station.check_receipt_timeout()
            case "line":
                self._due[name] = inf
                station.line_back(now_s - self._offline_since_s)
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
                self._recover(name.removeprefix("recovery:"))

    def _event(self) -> None:
        pace = self._pace
        event = self._rng.choices(
            (self._scan, self._trouble, self._line_cut, lambda: self._power_cut(None)),
            (pace.scans, pace.troubles, pace.line_cuts, pace.power_cuts),
        )[0]
        event()

    def _scan(self) -> None:
        for _ in range(self._rng.randint(1, 6)):
            self.station.scan()

    def _trouble(self) -> None:
        name = self._rng.choice([n for n in self.station.readings if f"recovery:{n}" not in self._due] or ["terminal"])
        _, minutes, reading = self._rng.choices(
            SCENES[name].troubles, [weight for weight, _, _ in SCENES[name].troubles]
        )[0]
        self.station.change_device(name, reading)
        self._due[f"recovery:{name}"] = self._now_s() + self._rng.expovariate(1 / (minutes * 60))

    def _recover(self, name: str) -> None:
        if self.station.powered:
            del self._due[f"recovery:{name}"]
            self.station.change_device(name, SCENES[name].normal)
        else:
            self._due[f"recovery:{name}"] = self._now_s() + 30

    def _line_cut(self) -> None:
        if self._due["line"] == inf and not self._draining:
            self._counts["line cuts"] += 1
            self.station.cut_line()
            self._go_offline("line", self._rng.expovariate(1 / self._pace.line_away_s))

    def _power_cut(self, away_s: float | None) -> None:
        if self.station.powered and not self._draining:
            self._counts["power cuts"] += 1
            self.station.cut_power()
            self._due["line"] = inf  # the line comes back with the power
            self._go_offline("power", away_s or self._rng.expovariate(1 / self._pace.power_away_s))

    def _go_offline(self, name: str, away_s: float) -> None:
        self._offline_since_s = self._now_s()
        self._due[name] = self._offline_since_s + 1 + away_s
        self._disconnect()

    def _connect(self, group: asyncio.TaskGroup) -> None:
        self._connection = group.create_task(self.station.run_connection())

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.cancel()
            self._connection = None

    async def _wait_for_acks(self) -> None:
        until = self._now_s() + 2
        while self.station.in_flight and self._now_s() < until:  # noqa: ASYNC110  # once in a life
            await asyncio.sleep(0.05)

    def _next_event_s(self) -> float:
        an_hour = self._pace.scans + self._pace.troubles + self._pace.line_cuts + self._pace.power_cuts
        return self._rng.expovariate(an_hour / 3600)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()
