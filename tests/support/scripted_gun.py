"""A scan gun that delivers the scans of a test."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.scan_gun.capture import RawCapture
from drivers.scan_gun.driver import ScanGun


class ScriptedGun(ScanGun, frozen=True, kw_only=True):
    """A gun that delivers these reads, and `on_stop` when it is stopped."""

    reads: list[RawCapture | Exception] = []  # noqa: RUF012  msgspec copies it
    on_stop: list[RawCapture] = []  # noqa: RUF012

    async def listen(self, root: Path, deliver: Callable[[RawCapture], None], changed: asyncio.Event) -> None:
        try:
            while True:
                while self.reads:
                    one = self.reads.pop(0)
                    if isinstance(one, Exception):
                        raise one
                    deliver(one)
                await asyncio.sleep(0.005)
        finally:
            for one in self.on_stop:
                deliver(one)


def read(text: str, gun: str = "main", damage: Any = None, raw: str = "00") -> RawCapture:
    return RawCapture(
        gun=gun,
        identity="usb:1eab:1",
        source="serial",
        text="" if damage else text,
        raw=raw,
        charset="ascii",
        charset_because="ascii",
        symbology=None,
        start_mono_ms=1,
        end_mono_ms=2,
        seen=text if damage else "",
        damage=damage,
        flags=("damaged",) if damage else (),
    )
