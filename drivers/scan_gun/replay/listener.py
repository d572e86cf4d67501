"""Overhears a device that may be a gun, without taking it from anybody: for `yinong-agent learn`."""

import asyncio

from drivers.scan_gun.capture import Capture
from drivers.scan_gun.decoding.framing import Framer, Framing
from drivers.scan_gun.driver import ScanGun, Speed
from drivers.scan_gun.identity import Candidate
from drivers.scan_gun.opening import open_gun
from drivers.scan_gun.recording import Entry
from drivers.scan_gun.session import read_until_gone


class Ear:
    """At one device; `heard` is set whenever something came. The lamps as they are stand in front of what `take` gives."""

    def __init__(self, device: Candidate, heard: asyncio.Event, baud: Speed = 9600) -> None:
        self.device, self._heard = device, heard
        self._table = ScanGun(id="learn", grab="shared", baud=baud)
        self._lamps: dict[str, Entry] = {}
        self._entries: list[Entry] = []
        self._fd: int | None = None

    async def listen(self) -> None:
        """Until it is unplugged or this is cancelled. Raises OSError where it cannot be opened."""
        framer = Framer("learn", self.device.identity, self.device.source, Framing())
        opened = open_gun(self._table, self.device, framer)
        opened.decoder.record(self._take_in)
        self._fd = opened.fd
        try:
            await read_until_gone(opened.fd, opened.decoder, _nowhere)
        finally:
            self._fd = None
            opened.close()

    def take(self) -> list[Entry]:
        """What came since the last time."""
        entries, self._entries = self._entries, []
        return entries

    def light_caps(self, lit: bool) -> None:
        """The CapsLock lamp of a keyboard gun, to see whether it turns its letters round by it."""
        if self._fd is not None and self.device.source == "evdev":
            from drivers.scan_gun.sources.evdev import light_caps

            light_caps(self._fd, lit)

    def _take_in(self, entry: Entry) -> None:
        if "mark" in entry:
            return
        if entry.get("type") == "EV_LED":
            self._lamps[str(entry["code"])] = entry
            if not self._entries:
                return
        elif not self._entries:
            self._entries += self._lamps.values()
        self._entries.append(entry)
        self._heard.set()


def _nowhere(capture: Capture) -> None:
    """Nothing is captured here."""
