"""Outages of the link with their layer: what failed, as far as the probes of the line's driver show it.

link lost -> link_down -> one poll of the line at once, then at the poller's interval -> link_layer on every confirmed
change -> link up -> link_up with the duration and the layer that lasted longest

The layer of an outage, from the line's reading and the link's reason code:

lan          no cable, no Wi-Fi, no interface
gateway      linked, but the router is silent or assigns no address
access_line  the router answers, nothing beyond it does; or the carrier answers with its own page (arrears)
internet     the access line works, but the broker's name cannot be resolved
county       the line works: the county's broker, or the way to it

A rate limit, so that a flapping link cannot fill the disk: OUTAGES_PER_HOUR are recorded as they happen
(BUDGET_SPENT_PER_HOUR once the day's flash budget is spent), any other only if it lasts, one minute after it began: the
journal never shows 'up' for longer than that while the link is down. The short ones are counted and reported with the next.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from agent.devices.state import DeviceState
from agent.journal.rate_limit import RateLimit
from agent.observable import Observed
from agent.uplink.link import LinkState
from common.clock import Clock
from common.events import Event, Layer, LinkDown, LinkLayer, LinkUp
from drivers.reading import Condition, Reading

log = logging.getLogger(__name__)

CHECK_S = 5  # of the line's state: the poller polls a pending change again after this time
OUTAGES_PER_HOUR = 20
BUDGET_SPENT_PER_HOUR = 1  # once the day's flash budget is spent
SHORT_OUTAGE_MS = 60_000  # an outage that is over by then may be suppressed
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
    """Follows the link's state; `run` belongs in the daemon's task group.

    `line_states` returns the states of the line's devices; None if the broker is on this machine, so that no line is
    involved. `poll_line` polls them once. `budget_spent`: whether the day's flash budget is spent.
    """

    def __init__(
        self,
        clock: Clock,
        link_state: Observed[LinkState],
        record: Callable[[Event], Awaitable[None]],
        poll_line: Callable[[], Awaitable[object]],
        line_states: Callable[[], Sequence[DeviceState]] | None,
        budget_spent: Callable[[], bool] = lambda: False,
    ) -> None:
        self._link_changes, self._known = link_state.changes(), _up_and_why(link_state.value)
        self._clock, self._record, self._poll_line = clock, record, poll_line
        self._line_states, self._budget_spent = line_states, budget_spent
        self._rate_limit = RateLimit(OUTAGES_PER_HOUR)
        self._is_down = asyncio.Event()
        self._was_up = False
        self._recorded = True  # of the current outage
        self._suppressed_ms = 0  # total duration of the suppressed outages
        self._connection = 0  # that was lost
        self._why = ""
        self._down_ms = clock.mono_ms()
        self._layers: list[tuple[Layer, int]] = []

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_link())
            group.create_task(self._follow_outages())

    async def _follow_link(self) -> None:
        """Only ups and downs are entries; a new reason while the link is down goes into the next entry."""
        async for state in self._link_changes:
            before, self._known = self._known, _up_and_why(state)
            if self._known == before:  # a connection that is not up yet, a warning, a takeover
                continue
            self._why = state.why
            if state.up:
                await self._up(state)
            elif self._was_up:
                await self._down(state)
            else:
                self._is_down.set()

    async def _follow_outages(self) -> None:
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
        short = self._rate_limit.take_suppressed() - 1  # this outage was counted too
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
        up_ms = state.since_mono_ms  # not now: a slow disk may have delayed the entry before this one
        if not self._recorded:
            self._suppressed_ms += up_ms - self._down_ms
            return
        up = LinkUp(
            connection=state.connections,
            down_ms=up_ms - self._down_ms,
            cause=longest_layer(self._layers, up_ms),
            layers=tuple(self._layers),
        )
        await self._record(up)

    async def _record_layer(self) -> None:
        """Record the layer of a recorded outage if it has changed; a pending change of a reading is waited for."""
        if not self._recorded:
            return
        states: Sequence[DeviceState] = [] if self._line_states is None else self._line_states()
        if any(one.debounced is not None and one.debounced.pending is not None for one in states):
            return
        if self._line_states is None:
            layer, reading = "county", None
        else:
            layer, reading = farthest_layer((one.confirmed for one in states), self._why)
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


def _up_and_why(state: LinkState) -> tuple[bool, str]:
    return state.up, state.why


def outage_layer(reading: Reading, why: str) -> Layer:
    """The layer by the reading of one line; `why` is the link's reason code (`common.mqtt.errors`). Pure.

    `unknown` if the line could not be polled.
    """
    if known := _BY_REASON.get(reading.reason.code):
        return known
    if reading.condition is Condition.UNKNOWN:
        return "unknown"
    return "internet" if why == "no_such_server" else "county"


def farthest_layer(readings: Iterable[Reading], why: str) -> tuple[Layer, Reading | None]:
    """The layer by several lines: the one that works farthest decides. `unknown` without a line."""
    found: list[tuple[Layer, Reading | None]] = [(outage_layer(reading, why), reading) for reading in readings]
    return max(found, key=lambda one: _FROM_NEAR.index(one[0])) if found else ("unknown", None)


def longest_layer(layers: Iterable[tuple[Layer, int]], end_ms: int) -> Layer | None:
    """The layer that lasted longest up to `end_ms`; a known layer is preferred to `unknown`."""
    total_ms: dict[Layer, int] = {}
    starts: list[tuple[Layer, int]] = [*layers, ("unknown", end_ms)]
    for (layer, from_ms), (_, to_ms) in pairwise(starts):
        total_ms[layer] = total_ms.get(layer, 0) + to_ms - from_ms
    return max(total_ms, key=lambda layer: (layer != "unknown", total_ms[layer]), default=None)
