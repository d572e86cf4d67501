"""The link's losses with their layer: what broke, as far as the probes of the line's driver show it.

link lost -> link_down -> one look at the line at once, then as often as the rounds look -> link_layer on every change of
belief -> link up -> link_up with the time it took and the layer that held for most of it

A link that comes and goes every few seconds fills no disk: so many losses an hour are told as they happen (fewer on a day whose
flash budget is met), of the others only those that last, a minute after they began: the journal never says 'up' for longer while
the line is down. The short ones are counted and told together with the next.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from agent.devices.state import DeviceState
from agent.journal.rate_limit import RateLimit
from agent.uplink.link import LinkState
from common.clock import Clock
from common.events import Event, Layer, LinkDown, LinkLayer, LinkUp
from drivers.reading import Condition, Reading

log = logging.getLogger(__name__)

CHECK_S = 5  # at what the board says: the rounds look again after so long where something is not believed yet
OUTAGES_PER_HOUR = 20
BUDGET_SPENT_PER_HOUR = 1  # where the flash is to be spared
SHORT_OUTAGE_MS = 60_000  # a loss that ended by then may stay untold
MAX_LAYERS = 50
_BY_REASON: dict[str, Layer] = {
    "no_interface": "lan",
    "interface_missing": "lan",
    "no_carrier": "lan",
    "lan_down": "gateway",
    "access_line_down": "access_line",
    "captive_page": "access_line",
}
_FROM_NEAR: tuple[Layer, ...] = ("unknown", "lan", "gateway", "access_line", "internet", "county")


class OutageLog:
    """`changed` is called by the link; `run` belongs into the daemon's task group.

    `line` gives the line's devices as they stand on the board; None where the broker is on this very machine, which no line
    leads to. `look` has them looked at once. `spare`: whether the day's flash budget is met.
    """

    def __init__(
        self, clock: Clock, record: Callable[[Event], Awaitable[None]], poll_line: Callable[[], Awaitable[object]],
        line_states: Callable[[], Sequence[DeviceState]] | None, budget_spent: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._clock, self._record, self._poll_line = clock, record, poll_line
        self._line_states, self._budget_spent = line_states, budget_spent
        self._rate_limit = RateLimit(OUTAGES_PER_HOUR)
        self._is_down = asyncio.Event()
        self._was_up = False
        self._recorded = True  # of the present loss
        self._suppressed_ms = 0  # how long losses were that nobody was told of
        self._connection = 0  # that was lost
        self._why = ""
        self._down_ms = clock.mono_ms()
        self._layers: list[tuple[Layer, int]] = []

    async def link_changed(self, state: LinkState) -> None:
        """Only ups and downs are entries; another reason for being down goes with the next one."""
        self._why = state.why
        if state.up:
            await self._up(state)
        elif self._was_up:
            await self._down(state)
        else:
            self._is_down.set()

    async def run(self) -> None:
        while True:
            await self._is_down.wait()
            if self._line_states is not None:
                await self._poll_line()
            while self._is_down.is_set():
                if not self._recorded and self._clock.mono_ms() - self._down_ms >= SHORT_OUTAGE_MS:
                    await self._record_long_outage()
                await self._record_layer()
                await self._clock.sleep(CHECK_S)

    async def _down(self, state: LinkState) -> None:
        self._was_up, self._connection = False, state.connections
        self._down_ms, self._layers = state.since_mono_ms, []
        log.info("link_down %s", state.why)
        per_hour = BUDGET_SPENT_PER_HOUR if self._budget_spent() else OUTAGES_PER_HOUR
        self._recorded = self._rate_limit.allows(self._clock.mono_ms(), per_hour)
        if self._recorded:
            await self._record_down(self._rate_limit.take_suppressed())
        self._is_down.set()

    async def _record_long_outage(self) -> None:
        self._recorded = True
        short = self._rate_limit.take_suppressed() - 1  # this one was counted too
        await self._record_down(short, self._clock.mono_ms() - self._down_ms)

    async def _record_down(self, suppressed: int, down_ms: int = 0) -> None:
        untold_ms, self._suppressed_ms = self._suppressed_ms, 0
        down = LinkDown(
            connection=self._connection, why=self._why, down_ms=down_ms, untold=suppressed, untold_ms=untold_ms
        )
        await self._record(down)

    async def _up(self, state: LinkState) -> None:
        if self._was_up:
            return
        self._was_up = True
        self._is_down.clear()
        log.info("link_up")
        now_ms = self._clock.mono_ms()
        if not self._recorded:
            self._suppressed_ms += now_ms - self._down_ms
            return
        up = LinkUp(
            connection=state.connections, down_ms=now_ms - self._down_ms, cause=longest_layer(self._layers, now_ms),
            layers=tuple(self._layers),
        )  # fmt: skip
        await self._record(up)

    async def _record_layer(self) -> None:
        """Tell the layer of a loss that is told, where it is another than before; what is seen but not believed yet is
        waited for."""
        if not self._recorded:
            return
        seen: Sequence[DeviceState] = [] if self._line_states is None else self._line_states()
        if any(one.debounced is not None and one.debounced.pending is not None for one in seen):
            return
        if self._line_states is None:
            layer, reading = "county", None
        else:
            layer, reading = farthest_layer((one.confirmed for one in seen), self._why)
        before = self._layers[-1][0] if self._layers else None
        if layer == before or (layer == "unknown" and before is None) or len(self._layers) >= MAX_LAYERS:
            return
        self._layers.append((layer, self._clock.mono_ms()))
        event = LinkLayer(layer=layer, before=before, why=self._why)
        if reading is not None:
            probes: tuple[dict[str, Any], ...] = tuple(msgspec.to_builtins(one) for one in reading.evidence)
            event = msgspec.structs.replace(
                event, condition=reading.condition.value, reason=reading.reason.code, probes=probes
            )
        await self._record(event)


def outage_layer(reading: Reading, why: str) -> Layer:
    """The layer by one line; `why` is the code of the link's trouble (`common.mqtt.errors`).

    `unknown` where the line could not be looked at.
    """
    if known := _BY_REASON.get(reading.reason.code):
        return known
    if reading.condition is Condition.UNKNOWN:
        return "unknown"
    return "internet" if why == "no_such_server" else "county"


def farthest_layer(readings: Iterable[Reading], why: str) -> tuple[Layer, Reading | None]:
    """With several lines: one that carries farther is enough. Without any, nobody knows."""
    found: list[tuple[Layer, Reading | None]] = [(outage_layer(reading, why), reading) for reading in readings]
    return max(found, key=lambda one: _FROM_NEAR.index(one[0])) if found else ("unknown", None)


def longest_layer(layers: Iterable[tuple[Layer, int]], end_ms: int) -> Layer | None:
    """The layer that held for most of the time up to `end_ms`; what was known before what was not."""
    total_ms: dict[Layer, int] = {}
    starts: list[tuple[Layer, int]] = [*layers, ("unknown", end_ms)]
    for (layer, from_ms), (_, to_ms) in pairwise(starts):
        total_ms[layer] = total_ms.get(layer, 0) + to_ms - from_ms
    return max(total_ms, key=lambda layer: (layer != "unknown", total_ms[layer]), default=None)
