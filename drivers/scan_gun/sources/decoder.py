"""What every source gives the listener: bytes as they were read, to captures."""

from typing import Protocol

from drivers.scan_gun.capture import Damage, RawCapture
from drivers.scan_gun.recording import OnEntry


class Decoder(Protocol):
    """Pure: told what was read and when, gives captures. Times are CLOCK_BOOTTIME in ms."""

    def record(self, on_entry: OnEntry) -> None:
        """From now on tell of everything that comes, before anything is made of it."""
        ...

    def feed(self, data: bytes, at_ms: int) -> list[RawCapture]: ...

    def quiet(self, at_ms: int) -> list[RawCapture]: ...

    def gone(self, at_ms: int, cause: Damage = "unplugged") -> list[RawCapture]: ...
