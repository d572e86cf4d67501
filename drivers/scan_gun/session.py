"""One gun from plug to unplug: its state while it is open, and the read loop."""

import asyncio
from collections.abc import Callable

import msgspec

from drivers.scan_gun.capture import RawCapture
from drivers.scan_gun.sources.decoder import Decoder
from drivers.scan_gun.sources.reader import Bytes, Gone, Quiet, Reader

_STEP_S = 0.05


class Session(msgspec.Struct):
    """What `listen` has counted since it started, for `look` to report."""

    open_node: str = ""
    identity: str = ""
    captures: int = 0
    damaged: int = 0
    openings: int = 0
    error: OSError | None = None  # of the last attempt to open
    settling: bool = True  # a failed open may be temporary: udev is still working, or a program probes each new port
    serial_fd: int | None = None  # descriptor of a serial gun's open port, non-blocking
    not_passed_on: str = ""  # why the gun's keys cannot be passed on (`grab = "pass_through"`)


class Listening(msgspec.Struct):
    """What a gun's `listen` shares with its `look` and `confirm`."""

    session: Session | None = None  # only while `listen` runs


async def wait_until_settled(session: Session, within_s: float) -> None:
    """Wait until the gun is open or no longer settling; at most `within_s`."""
    for _ in range(round(within_s / _STEP_S)):
        if session.open_node or not session.settling:
            return
        await asyncio.sleep(_STEP_S)


async def read_until_gone(
    fd: int, decoder: Decoder, deliver: Callable[[RawCapture], None], pass_on: Callable[[bytes], None] | None = None
) -> str:
    """Read an open device until it is gone and return why. Cancellation first delivers what was read.

    `pass_on` receives the bytes in the reader's thread, before anything else is done with them.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[str] = loop.create_future()

    def receive(what: Bytes | Quiet | Gone) -> None:
        if ended.done() and not ended.cancelled():
            return
        try:
            match what:
                case Bytes(data, at_ms):
                    captures = decoder.feed(data, at_ms)
                case Quiet(at_ms):
                    captures = decoder.quiet(at_ms)
                case Gone(_, at_ms):
                    captures = decoder.gone(at_ms)
            for capture in captures:
                deliver(capture)
            if isinstance(what, Gone) and not ended.done():
                ended.set_result(what.why)
        except Exception as error:
            if ended.done():
                raise
            ended.set_exception(error)

    reader = Reader(fd, loop, receive, pass_on)
    try:
        return await ended
    finally:
        last_ms = reader.close()
        if not ended.done() or ended.cancelled():
            for capture in decoder.gone(last_ms, "stopped"):
                deliver(capture)
