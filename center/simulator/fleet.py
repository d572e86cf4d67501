"""`yinong-center simulate`: a county of simulated stations in one process, each with a connection of its own.

They are marked as simulated in births and in a user property of every message; their terminal is called `sim`, so that none
is mistaken for a real one. Every row is kept until its receipt: at the end nothing may wait.
"""

import asyncio
import random
import resource
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

from center.simulator.life import Pace, StationLife
from center.simulator.station import SimulatedStation
from common.clock import Clock
from common.mqtt.session import BrokerAddress
from common.standard.register import County
from common.station import StationType, Terminal

TERMINAL = "sim"
TOWNSHIP_CUTS = 1.5  # power cuts of a whole township, per hour of the county


class Plan(NamedTuple):
    stations: int
    seconds: float
    seed: int = 1
    pace: float = 1.0  # factor on the frequency of events (`life.Pace`)
    drain_s: float = 60.0  # at the end, wait at most this long for the last receipts


class Total(NamedTuple):
    """The state of the fleet."""

    stations: int
    connects: int
    cuts: int  # of line and power, as simulated
    reconnects: int  # connections lost or failed that were not simulated
    sent: int  # rows published, repeats included
    receipted: int
    waiting: int  # rows without a receipt

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self._asdict().items())


def terminals(county: County, stations: int) -> list[tuple[Terminal, int]]:
    """The first stations of the county's numbers, B, Z, J in turn, each with its township's index in the register."""
    ends = {kind: list(accumulate(place.stations(kind) for place in county.township)) for kind in StationType}
    found: list[tuple[Terminal, int]] = []
    for at in range(stations):
        kind, serial = tuple(StationType)[at % len(StationType)], at // len(StationType) + 1
        number = f"{county.province}{county.plate}{county.initials}{serial:04d}{kind.value}"
        township = next((i for i, end in enumerate(ends[kind]) if serial <= end), serial % len(county.township))
        found.append((Terminal.of(county.division, number, TERMINAL), township))
    return found


class Fleet:
    """`run` simulates the plan and calls `report` with its progress."""

    def __init__(
        self, county: County, broker: BrokerAddress, clock: Clock, plan: Plan, report: Callable[[str], None]
    ) -> None:
        self._county, self._plan, self._report = county, plan, report
        self._rng = random.Random(plan.seed)
        self.counts: Counter[str] = Counter()
        pace = Pace().times(plan.pace)
        self._lives: list[tuple[StationLife, int]] = []
        for terminal, township in terminals(county, plan.stations):
            chance = random.Random(self._rng.getrandbits(64))
            station = SimulatedStation(terminal, broker, clock, chance, self.counts)
            self._lives.append((StationLife(station, pace, chance, self.counts), township))

    async def run(self) -> bool:
        """True if every row of every station is receipted at the end."""
        _raise_limit(self._plan.stations + 100)
        ramp_s = min(self._plan.seconds / 4, max(1.0, self._plan.stations / 100))
        async with asyncio.TaskGroup() as group:
            for life, _ in self._lives:
                group.create_task(life.run(self._rng.uniform(0, ramp_s)))
            progress = group.create_task(self._progress())
            power_cuts = group.create_task(self._township_power_cuts())
            await asyncio.sleep(self._plan.seconds)
            power_cuts.cancel()
            await self._drain()
            progress.cancel()
            total = self.total()  # before the stations disconnect
            for life, _ in self._lives:
                life.stop()
        problems = {name: count for name, count in self.counts.items() if ":" in name or name.startswith("invalid")}
        self._report(f"{total}{f' {problems}' if problems else ''}")
        return total.waiting == 0

    def total(self) -> Total:
        counts = self.counts
        return Total(
            len(self._lives),
            counts["connects"],
            counts["line cuts"] + counts["power cuts"],
            counts["reconnects"],
            counts["sent"],
            counts["receipted"],
            sum(life.station.outbox.waiting for life, _ in self._lives),
        )

    async def _drain(self) -> None:
        for life, _ in self._lives:
            life.drain()
        until = asyncio.get_running_loop().time() + self._plan.drain_s
        await asyncio.sleep(min(1.0, self._plan.drain_s))
        while self.total().waiting and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110  # of 618 outboxes
            await asyncio.sleep(0.2)

    async def _progress(self) -> None:
        while True:
            await asyncio.sleep(10)
            self._report(str(self.total()))

    async def _township_power_cuts(self) -> None:
        """The power of a township fails: most of its stations lose power together."""
        while True:
            await asyncio.sleep(self._rng.expovariate(TOWNSHIP_CUTS * self._plan.pace / 3600))
            township = self._rng.randrange(len(self._county.township))
            away_s = self._rng.uniform(30, 120)
            affected = [life for life, place in self._lives if place == township and self._rng.random() < 0.8]
            for life in affected:
                life.power_cut(away_s * self._rng.uniform(0.9, 1.1))
            self._report(
                f"{self._county.township[township].name}: power cut, {len(affected)} stations for {away_s:.0f} s (simulated)"
            )


def _raise_limit(sockets: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < sockets:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(sockets, hard) if hard > 0 else sockets, hard))
