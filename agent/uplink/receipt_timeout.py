"""How long rows that the broker took may wait for a receipt before they are handed over again."""

import asyncio

from common.clock import Clock, first_of

TIMEOUT_S = (60.0, 3600.0)  # without a receipt: first, at most (doubling)
NO_SUBSCRIBER_S = 10.0  # first patience where the broker says that nobody subscribes: the recorder is on its way


class ReceiptTimeout:
    """Begins with the first row that waits, begins anew with each receipt that advances, doubles when it runs out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_mono_ms, self._timeout_s = clock.mono_ms(), TIMEOUT_S[0]
        self._shortened = asyncio.Event()

    def restart(self) -> None:
        self._since_mono_ms, self._timeout_s = self._clock.mono_ms(), TIMEOUT_S[0]

    def shorten(self) -> None:
        """The recorder may be back: not a minute more."""
        if self._timeout_s > NO_SUBSCRIBER_S:
            self._timeout_s = NO_SUBSCRIBER_S
            self._shortened.set()

    def back_off(self) -> None:
        """It ran out, and what waits was handed over again."""
        self._since_mono_ms, self._timeout_s = self._clock.mono_ms(), min(TIMEOUT_S[1], self._timeout_s * 2)

    def postpone(self) -> None:
        """It ran out while there was still something to hand over: it begins only now."""
        self._since_mono_ms = self._clock.mono_ms()

    async def expired(self) -> None:
        """Returns when it has; it may have become longer or shorter meanwhile."""
        while (left_s := self._timeout_s - (self._clock.mono_ms() - self._since_mono_ms) / 1000) > 0:
            self._shortened.clear()
            await first_of(self._shortened.wait(), self._clock.sleep(left_s))
