"""One permanent thread for each open device, from plug to unplug, that only moves bytes out of the kernel.

The kernel's evdev ring buffer holds ten characters; its reader must never wait for a disk, a lock or the event loop. The
thread blocks only on the device and its wake-up pipe and passes what it read to the loop by call_soon_threadsafe. It also
reports silence: only the reader of the device can state that nothing had come until a certain moment.
"""

import asyncio
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from time import CLOCK_BOOTTIME, clock_gettime_ns
from typing import NamedTuple

# Waits after the last bytes, each reported as silence, then none until the next bytes: soon past the shortest limits of the
# framer (60 and 250 ms), then in small steps to its longest, because for a serial gun only these reports prove silence.
QUIET_STEPS_MS = (65, 65, 125, *(50,) * 26)
_READS_PER_TURN = 4  # reads, of at most 256 key events each


class Bytes(NamedTuple):
    """The result of one read."""

    data: bytes
    at_ms: int


class Quiet(NamedTuple):
    """Nothing had come until `at_ms`."""

    at_ms: int


class Gone(NamedTuple):
    """The device is gone; nothing follows."""

    why: str
    at_ms: int


def boottime_ms() -> int:
    """CLOCK_BOOTTIME: the clock of key event timestamps and of every interval in the daemon."""
    return clock_gettime_ns(CLOCK_BOOTTIME) // 1_000_000


class Reader:
    """Reads `fd` until it is gone or `close()`; `receive` is called with everything in order, in the loop's thread.

    `pass_on` is called with the bytes immediately, in this thread: it must neither block nor raise.

    Resource handling: the caller keeps the descriptor; `close()` stops and joins the thread, delivers what had been read,
    and may be called twice.
    """

    def __init__(
        self,
        fd: int,
        loop: asyncio.AbstractEventLoop,
        receive: Callable[[Bytes | Quiet | Gone], None],
        pass_on: Callable[[bytes], None] | None = None,
    ) -> None:
        self._fd, self._loop, self._receive, self._pass_on = fd, loop, receive, pass_on
        self._queue: deque[Bytes | Quiet | Gone] = deque()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"scan-gun-{fd}", daemon=True)
        self._closed = self._called = False
        self._thread.start()

    def close(self) -> int:
        """Stop reading; returns the time of the end."""
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
        """Deliver a few, then yield to the loop: a gun may type faster than a busy terminal processes it."""
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
        """Queue it for the loop; False if nothing more is to be read."""
        if item is None:
            return True
        self._queue.append(item)
        try:
            self._call()
        except RuntimeError:  # the loop is closed
            return False
        return not isinstance(item, Gone)
