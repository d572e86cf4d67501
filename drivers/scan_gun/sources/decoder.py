"""The interface of every source's decoder: bytes as they were read, to captures."""

from typing import Protocol

from drivers.scan_gun.capture import Damage, RawCapture
from drivers.scan_gun.recording import OnEntry


class Decoder(Protocol):
    """Pure: receives what was read and when, returns captures. Times are CLOCK_BOOTTIME in ms."""

    def record(self, on_entry: OnEntry) -> None:
        """From now on report every input before it is decoded."""
        ...

    def feed(self, data: bytes, at_ms: int) -> list[RawCapture]: ...

    def quiet(self, at_ms: int) -> list[RawCapture]: ...

    def gone(self, at_ms: int, cause: Damage = "unplugged") -> list[RawCapture]: ...
