"""One permanent thread for each open device, from plug to unplug, that only moves bytes out of the kernel.

The kernel's evdev ring holds ten characters; whoever reads it must never wait for a disk, a lock or the event loop. The thread
blocks on the device and on its wake-up pipe and on nothing else; what it read it hands to the loop by call_soon_threadsafe.
It also tells of silence: only who reads the device can say that nothing more had come until a certain moment.
"""

import asyncio
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from time import CLOCK_BOOTTIME, clock_gettime_ns
from typing import NamedTuple

# Waits after the last bytes, each told, then none until the next bytes: past the shortest patience of the framer (60 and 250 ms)
# soon, and then finely to its longest, as silence of a serial gun is known from here alone.
QUIET_STEPS_MS = (65, 65, 125, *(50,) * 26)
_READS_PER_TURN = 4  # reads, of at most 256 key events each


class Bytes(NamedTuple):
    """What one read gave."""

    data: bytes
    at_ms: int


class Quiet(NamedTuple):
    """Nothing more had come until then."""

    at_ms: int


class Gone(NamedTuple):
    """The device is away; nothing follows."""

    why: str
    at_ms: int


def boottime_ms() -> int:
    """CLOCK_BOOTTIME: what the kernel stamps key events with, and the daemon's base of every interval."""
    return clock_gettime_ns(CLOCK_BOOTTIME) // 1_000_000


class Reader:
    """Reads `fd` until it is gone or `close()`; `take` gets everything in order, in the loop's thread.

    `pass_on` gets the bytes too, at once and in this thread: it must neither block nor raise.

    Resource handling: the descriptor stays the caller's; `close()` ends and joins the thread, hands over what had been read,
    and may be called twice.
    """

    def __init__(
        self, fd: int, loop: asyncio.AbstractEventLoop, receive: Callable[[Bytes | Quiet | Gone], None],
        pass_on: Callable[[bytes], None] | None = None,
    ) -> None:  # fmt: skip
        self._fd, self._loop, self._receive, self._pass_on = fd, loop, receive, pass_on
        self._queue: deque[Bytes | Quiet | Gone] = deque()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"scan-gun-{fd}", daemon=True)
        self._closed = self._called = False
        self._thread.start()

    def close(self) -> int:
        """Ends the reading and gives when."""
        if self._closed:
            return boottime_ms()
        self._closed = True
        os.close(self._wake_write)  # the other end becomes readable
        self._thread.join()
        os.close(self._wake_read)
        self._drain()
        return boottime_ms()

    def _drain(self) -> None:
        while self._queue:
            self._receive(self._queue.popleft())

    def _deliver_some(self) -> None:
        """A few, then others have their turn: a gun may type faster than a busy terminal takes it."""
        self._called = False
        for _ in range(_READS_PER_TURN):
            if not self._queue:
                return
            self._receive(self._queue.popleft())
        if self._queue:
            self._call()

    def _call(self) -> None:
        """Raises RuntimeError: the loop is closed."""
        if not self._called:
            self._called = True
            self._loop.call_soon_threadsafe(self._deliver_some)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        step = len(QUIET_STEPS_MS)
        while True:
            wait_ms = QUIET_STEPS_MS[step] if step < len(QUIET_STEPS_MS) else None
            before_ms = boottime_ms()
            ready = dict(poll.poll(wait_ms))
            if self._wake_read in ready:
                if self._fd in ready:
                    self._enqueue(self._read(ready[self._fd]))
                return
            if not ready:
                step += 1
                goes_on = self._enqueue(Quiet(before_ms + (wait_ms or 0)))
            else:
                step = 0
                goes_on = self._enqueue(self._read(ready[self._fd]))
            if not goes_on:
                return

    def _read(self, events: int) -> Bytes | Gone | None:
        try:
            data = b"" if events & select.POLLNVAL else os.read(self._fd, 24 * 64 * 4)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:  # ENODEV of evdev and hidraw, EIO of a tty
            return Gone(error.strerror or str(error), boottime_ms())
        if self._pass_on and data:
            self._pass_on(data)
        return Bytes(data, boottime_ms()) if data else Gone("end of file", boottime_ms())

    def _enqueue(self, item: Bytes | Quiet | Gone | None) -> bool:
        """Hand it over; False when nothing more is to be read."""
        if item is None:
            return True
        self._queue.append(item)
        try:
            self._call()
        except RuntimeError:  # the loop is closed
            return False
        return not isinstance(item, Gone)
