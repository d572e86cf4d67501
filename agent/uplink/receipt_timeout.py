"""How long rows that the broker took may wait for a receipt before they are handed over again."""

import asyncio

from common.clock import Clock, first_of

PATIENCE_S = (60.0, 3600.0)  # without a receipt: first, at most (doubling)
NOBODY_S = 10.0  # first patience where the broker says that nobody subscribes: the recorder is on its way


class Patience:
    """Begins with the first row that waits, begins anew with each receipt that advances, doubles when it runs out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_mono_ms, self._s = clock.mono_ms(), PATIENCE_S[0]
        self._shorter = asyncio.Event()

    def begin(self) -> None:
        self._since_mono_ms, self._s = self._clock.mono_ms(), PATIENCE_S[0]

    def hurry(self) -> None:
        """The recorder may be back: not a minute more."""
        if self._s > NOBODY_S:
            self._s = NOBODY_S
            self._shorter.set()

    def wait_longer(self) -> None:
        """It ran out, and what waits was handed over again."""
        self._since_mono_ms, self._s = self._clock.mono_ms(), min(PATIENCE_S[1], self._s * 2)

    def wait_on(self) -> None:
        """It ran out while there was still something to hand over: it begins only now."""
        self._since_mono_ms = self._clock.mono_ms()

    async def run_out(self) -> None:
        """Returns when it has; it may have become longer or shorter meanwhile."""
        while (left_s := self._s - (self._clock.mono_ms() - self._since_mono_ms) / 1000) > 0:
            self._shorter.clear()
            await first_of(self._shorter.wait(), self._clock.sleep(left_s))
