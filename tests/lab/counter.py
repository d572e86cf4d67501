"""A counter with several guns: one station whose service runs for a whole file of tests, because each case takes only seconds."""

import itertools
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from lab.agent import NAME, PASSWORD, Agent
from lab.county import County
from lab.guns import AnyGun, KeyboardGun
from lab.machine import Frozen
from lab.places import say
from lab.station import Station, clone, forget
from lab.usb import Identity

from common.messages import Capture


class Counter:
    """The service with a table for each gun. A gun's name in the lab is its id in agent.toml."""

    def __init__(self, station: Station, agent: Agent, county: County) -> None:
        self.station, self.agent, self.county = station, agent, county
        self._guns: dict[str, AnyGun] = {}
        self._tables: list[Mapping[str, Any]] = []
        self._read: dict[str, int] = {}  # number of each gun's last capture that a test has read
        self._closings = itertools.count(1)

    def expects(self, name: str, identity: Identity, **options: Any) -> None:
        """Before `opens`: a table with these options for a gun that is identified by make and serial number."""
        usb = f"{identity.vendor_product}:{identity.serialnumber}"
        self._tables.append({"class": "scan_gun", "id": name, "usb": usb, **options})

    def has(self, gun: AnyGun, **options: Any) -> None:
        """Before `opens`: a gun that is plugged in from beginning to end, and its table."""
        self.expects(gun.name, gun.identity, **options)
        self._guns[gun.name] = gun

    def opens(self) -> None:
        """Start the service and wait until it has opened every gun."""
        self.agent.configure(*self._tables)
        self.agent.start()
        for gun in self._guns.values():
            self.agent.opens(gun.device_file)
        say(f"the counter is open: {', '.join(self._guns)} of {len(self._tables)} guns")

    @contextmanager
    def brought(self, gun: KeyboardGun) -> Generator[KeyboardGun]:
        """A configured gun that is plugged in for a while only."""
        self._guns[gun.name] = gun
        try:
            self.agent.opens(gun.device_file)
            yield gun
        finally:
            del self._guns[gun.name]
            gun.remove()

    def gun(self, name: str) -> Any:
        """Of whatever kind it is."""
        return self._guns[name]

    def read(self, gun: str, scanning: Callable[[], object]) -> list[Capture]:
        """All that the county receives of that gun during this, until the capture of one plain scan after it."""
        scanning()
        closing = f"{next(self._closings):04}"  # a gun that inverts its letters leaves digits alone
        self._guns[gun].scan_plain(closing)
        self.county.waits_for(f"{closing} of {gun}", lambda: closing in [c.text for c in self._new(gun)])
        *found, last = self._taken(gun)
        assert last.text == closing, last
        return found

    def comes(self, gun: str, captures: int = 1) -> list[Capture]:
        """Wait for the next captures of that gun, if a plain scan after them would come too soon."""
        self.county.waits_for(f"{captures} of {gun}", lambda: len(self._new(gun)) >= captures)
        return self._taken(gun)

    def captures(self, gun: str) -> list[Capture]:
        """All of that gun, in order."""
        bodies = self.county.rows("select body from entry where kind = 'scan' order by outbox, seq")
        found = [msgspec.json.decode(body, type=Capture) for (body,) in bodies]
        return [capture for capture in found if capture.gun == gun]

    @contextmanager
    def stalled(self) -> Generator[None]:
        """The service is stopped (SIGSTOP), with all threads: no process reads the guns."""
        pid = self.agent.pid
        self.station.run(f"kill -STOP {pid}; until grep -q '^State:.T' /proc/{pid}/status; do :; done")
        try:
            yield
        finally:
            self.station.run(f"kill -CONT {pid}")

    def _new(self, gun: str) -> list[Capture]:
        return [capture for capture in self.captures(gun) if capture.number > self._read.get(gun, 0)]

    def _taken(self, gun: str) -> list[Capture]:
        found = self._new(gun)
        self._read[gun] = found[-1].number
        return found


@contextmanager
def counter_in(frozen: Frozen, folder: Path) -> Generator[Counter]:
    """A counter in its own clone, with its own county; no gun is plugged in yet."""
    with County(folder, {NAME: PASSWORD}) as county:
        station = clone(frozen, "counter")
        try:
            yield Counter(station, Agent(station, county), county)
        finally:
            forget(station)
