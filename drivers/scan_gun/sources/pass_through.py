"""`grab = "pass_through"`: a virtual keyboard repeats what a grabbed gun typed, so that the shop's program receives it too.

Only key events are passed on, in order, by the thread that reads the gun: a busy event loop, a slow disk or a damaged scan
does not delay them. If the agent dies, the kernel closes both nodes: that releases the grab, removes the virtual keyboard and
releases its keys (Documentation/input/uinput.rst; evdev_release in drivers/input/evdev.c).
"""

import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import Any, cast

from evdev import ecodes as e

from drivers.scan_gun.identity import PASS_THROUGH_NAME
from drivers.scan_gun.sources.evdev import EVENT

_NAME_BYTES = 79  # UINPUT_MAX_NAME_SIZE, with its end
_EVIOCGBIT_KEY = 0x80604521  # 96 bytes of key bits
_REPORT = EVENT.pack(0, 0, e.EV_SYN, e.SYN_REPORT, 0)


class PassThrough:
    """Called with struct input_events as they were read; passes the key events to `write`."""

    def __init__(self, write: Callable[[bytes], object], close: Callable[[], None] = lambda: None) -> None:
        self._write, self.close = write, close
        self._down: set[int] = set()

    def __call__(self, data: bytes) -> None:
        events: list[bytes] = []
        for at in range(0, len(data) - len(data) % EVENT.size, EVENT.size):
            _, _, kind, code, value = EVENT.unpack_from(data, at)
            if kind == e.EV_KEY:
                events.append(EVENT.pack(0, 0, kind, code, value))
                (self._down.add if value else self._down.discard)(code)
            elif (kind, code) == (e.EV_SYN, e.SYN_REPORT):
                events.append(_REPORT)
            elif (kind, code) == (e.EV_SYN, e.SYN_DROPPED):
                events += self._release_keys()
        if events:
            with contextlib.suppress(OSError):  # a missing virtual keyboard must not stop the reader
                self._write(b"".join(events))

    def _release_keys(self) -> list[bytes]:
        """Events were lost: a key whose release was among them would stay pressed."""
        down, self._down = sorted(self._down), set()
        return [*(EVENT.pack(0, 0, e.EV_KEY, code, 0) for code in down), _REPORT] if down else []


def open_pass_through(fd: int, name: str) -> PassThrough:
    """A virtual keyboard with the keys of the gun behind `fd`. Errors: OSError (no /dev/uinput, no permission)."""
    from evdev.uinput import UInput, UInputError  # imports ctypes: only if it is used

    class Keyboard(UInput):
        def _find_device(self, fd: int) -> None:  # type: ignore[override]
            """python-evdev waits up to two seconds for the node, which is not read here."""

    bits = bytearray(96)
    fcntl.ioctl(fd, _EVIOCGBIT_KEY, bits)
    keys = [code for code in range(len(bits) * 8) if bits[code // 8] >> code % 8 & 1]
    label = f"{PASS_THROUGH_NAME}: {name}".encode()[:_NAME_BYTES].decode("utf-8", "ignore")
    try:
        keyboard = Keyboard({e.EV_KEY: keys}, label, 0, 0, 1, e.BUS_VIRTUAL, phys=PASS_THROUGH_NAME)
    except UInputError as error:
        raise OSError(str(error)) from error
    node = cast(int, cast(Any, keyboard).fd)
    return PassThrough(lambda data: os.write(node, data), keyboard.close)
