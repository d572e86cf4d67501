"""The link's losses with their layer: what broke, as far as the probes of the line's driver show it.

link lost -> link_down -> one look at the line at once, then as often as the rounds look -> link_layer on every change of
belief -> link up -> link_up with the time it took and the layer that held for most of it

A link that comes and goes every few seconds fills no disk: so many losses an hour are told as they happen (fewer on a day whose
flash budget is met), of the others only those that last, a minute after they began: the journal never says 'up' for longer while
the line is down. The short ones are counted and told together with the next.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from agent.devices.state import Seen
from agent.journal.rate_limit import Ration
from agent.reports.layers import farthest, longest
from agent.uplink.link import LinkState
from common.clock import Clock
from common.events import Event, Layer, LinkDown, LinkLayer, LinkUp

log = logging.getLogger(__name__)

LOOK_S = 5  # at what the board says: the rounds look again after so long where something is not believed yet
LOSSES_AN_HOUR = 20
SPARED_AN_HOUR = 1  # where the flash is to be spared
SHORT_MS = 60_000  # a loss that ended by then may stay untold
MOST_LAYERS = 50


class LinkStory:
    """`changed` is called by the link; `run` belongs into the daemon's task group.

    `line` gives the line's devices as they stand on the board; None where the broker is on this very machine, which no line
    leads to. `look` has them looked at once. `spare`: whether the day's flash budget is met.
    """

    def __init__(
        self, clock: Clock, tell: Callable[[Event], Awaitable[None]], look: Callable[[], Awaitable[object]],
        line: Callable[[], Sequence[Seen]] | None, spare: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._clock, self._tell, self._look, self._line, self._spare = clock, tell, look, line, spare
        self._ration = Ration(LOSSES_AN_HOUR)
        self._is_down = asyncio.Event()
        self._was_up = False
        self._told = True  # of the present loss
        self._untold_ms = 0  # how long losses were that nobody was told of
        self._connection = 0  # that was lost
        self._why = ""
        self._down_ms = clock.mono_ms()
        self._layers: list[tuple[Layer, int]] = []

    async def changed(self, state: LinkState) -> None:
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
            if self._line is not None:
                await self._look()
            while self._is_down.is_set():
                if not self._told and self._clock.mono_ms() - self._down_ms >= SHORT_MS:
                    await self._tell_that_it_lasts()
                await self._judge()
                await self._clock.sleep(LOOK_S)

    async def _down(self, state: LinkState) -> None:
        self._was_up, self._connection = False, state.connections
        self._down_ms, self._layers = state.since_mono_ms, []
        log.info("link_down %s", state.why)
        an_hour = SPARED_AN_HOUR if self._spare() else LOSSES_AN_HOUR
        self._told = self._ration.allows(self._clock.mono_ms(), an_hour)
        if self._told:
            await self._tell_down(self._ration.take_untold())
        self._is_down.set()

    async def _tell_that_it_lasts(self) -> None:
        self._told = True
        short = self._ration.take_untold() - 1  # this one was counted too
        await self._tell_down(short, self._clock.mono_ms() - self._down_ms)

    async def _tell_down(self, untold: int, down_ms: int = 0) -> None:
        untold_ms, self._untold_ms = self._untold_ms, 0
        down = LinkDown(connection=self._connection, why=self._why, down_ms=down_ms, untold=untold, untold_ms=untold_ms)
        await self._tell(down)

    async def _up(self, state: LinkState) -> None:
        if self._was_up:
            return
        self._was_up = True
        self._is_down.clear()
        log.info("link_up")
        now_ms = self._clock.mono_ms()
        if not self._told:
            self._untold_ms += now_ms - self._down_ms
            return
        up = LinkUp(
            connection=state.connections, down_ms=now_ms - self._down_ms, cause=longest(self._layers, now_ms),
            layers=tuple(self._layers),
        )  # fmt: skip
        await self._tell(up)

    async def _judge(self) -> None:
        """Tell the layer of a loss that is told, where it is another than before; what is seen but not believed yet is
        waited for."""
        if not self._told:
            return
        seen: Sequence[Seen] = [] if self._line is None else self._line()
        if any(one.judged is not None and one.judged.candidate is not None for one in seen):
            return
        if self._line is None:
            layer, reading = "county", None
        else:
            layer, reading = farthest((one.believed for one in seen), self._why)
        before = self._layers[-1][0] if self._layers else None
        if layer == before or (layer == "unknown" and before is None) or len(self._layers) >= MOST_LAYERS:
            return
        self._layers.append((layer, self._clock.mono_ms()))
        event = LinkLayer(layer=layer, before=before, why=self._why)
        if reading is not None:
            probes: tuple[dict[str, Any], ...] = tuple(msgspec.to_builtins(one) for one in reading.evidence)
            event = msgspec.structs.replace(
                event, condition=reading.condition.value, reason=reading.reason.code, probes=probes
            )
        await self._tell(event)
