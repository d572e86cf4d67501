"""How long rows that the broker accepted may wait for a receipt before they are published again."""

import asyncio

from common.clock import Clock, first_of

TIMEOUT_S = (60.0, 3600.0)  # first and maximum; doubles on expiry
NO_SUBSCRIBER_S = 10.0  # if the broker reports that nobody subscribes: the recorder is about to connect


class ReceiptTimeout:
    """Starts with the first unreceipted row, restarts on progress, doubles on expiry."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_mono_ms, self._timeout_s = clock.mono_ms(), TIMEOUT_S[0]
        self._shortened = asyncio.Event()

    def restart(self) -> None:
        self._since_mono_ms, self._timeout_s = self._clock.mono_ms(), TIMEOUT_S[0]

    def shorten(self) -> None:
        """The recorder may be back: wait `NO_SUBSCRIBER_S` at most."""
        if self._timeout_s > NO_SUBSCRIBER_S:
            self._timeout_s = NO_SUBSCRIBER_S
            self._shortened.set()

    def back_off(self) -> None:
        """After expiry: start again with twice the time."""
        self._since_mono_ms, self._timeout_s = self._clock.mono_ms(), min(TIMEOUT_S[1], self._timeout_s * 2)

    def postpone(self) -> None:
        """It expired while rows were still being published: start again now, with the same time."""
        self._since_mono_ms = self._clock.mono_ms()

    async def expired(self) -> None:
        """Wait until it has expired; it may be restarted or shortened meanwhile."""
        while (left_s := self._timeout_s - (self._clock.mono_ms() - self._since_mono_ms) / 1000) > 0:
            self._shortened.clear()
            await first_of(self._shortened.wait(), self._clock.sleep(left_s))
