"""Reads a device that may be a gun without grabbing it: for `yinong-agent learn`."""

import asyncio

from drivers.scan_gun.capture import RawCapture
from drivers.scan_gun.decoding.framing import Framer, Framing
from drivers.scan_gun.identity import Candidate
from drivers.scan_gun.opening import open_gun
from drivers.scan_gun.options import ScanGunOptions, Speed
from drivers.scan_gun.recording import Entry
from drivers.scan_gun.session import read_until_gone


class GunListener:
    """Listens to one device; sets `received` at each input. The state of the LEDs comes first in what `take_entries` returns."""

    def __init__(self, device: Candidate, received: asyncio.Event, baud: Speed = 9600) -> None:
        self.device, self._received = device, received
        self._options = ScanGunOptions(id="learn", grab="shared", baud=baud)
        self._leds: dict[str, Entry] = {}
        self._entries: list[Entry] = []
        self._fd: int | None = None

    async def listen(self) -> None:
        """Until the device is unplugged or this is cancelled. Raises OSError if it cannot be opened."""
        framer = Framer("learn", self.device.identity, self.device.source, Framing())
        opened = open_gun(self._options, self.device, framer)
        opened.decoder.record(self._on_entry)
        self._fd = opened.fd
        try:
            await read_until_gone(opened.fd, opened.decoder, _discard)
        finally:
            self._fd = None
            opened.close()

    def take_entries(self) -> list[Entry]:
        """The entries since the last call."""
        entries, self._entries = self._entries, []
        return entries

    def set_caps_led(self, lit: bool) -> None:
        """Set the CapsLock LED of a keyboard gun, to test whether the gun inverts upper and lower case by it."""
        if self._fd is not None and self.device.source == "evdev":
            from drivers.scan_gun.sources.evdev import set_caps_led

            set_caps_led(self._fd, lit)

    def _on_entry(self, entry: Entry) -> None:
        if "mark" in entry:
            return
        if entry.get("type") == "EV_LED":
            self._leds[str(entry["code"])] = entry
            if not self._entries:
                return
        elif not self._entries:
            self._entries += self._leds.values()
        self._entries.append(entry)
        self._received.set()


def _discard(capture: RawCapture) -> None:
    """Captures are not used here."""
