"""Where a gun's captures go in a test."""

import asyncio
import threading

from drivers.scan_gun.capture import RawCapture


class Captures(list[RawCapture]):
    """What was delivered, and waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()
        self.threads: set[int] = set()

    def deliver(self, capture: RawCapture) -> None:
        self.append(capture)
        self.threads.add(threading.get_ident())
        self._more.set()

    async def number(self, number: int) -> list[RawCapture]:
        async with asyncio.timeout(20):
            while len(self) < number:
                self._more.clear()
                await self._more.wait()
        return self
