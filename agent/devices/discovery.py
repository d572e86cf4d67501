"""What is on this machine: every class's finder asked once. Opens no device that somebody may be using."""

from pathlib import Path

import msgspec

from drivers.reading import DriverError, Found
from drivers.table import CLASSES


class Findings(msgspec.Struct, frozen=True):
    """The devices found, and the classes that could not be looked for, with why."""

    found: tuple[Found, ...]
    could_not_look: dict[str, str]


def find_devices(root: Path = Path("/")) -> Findings:
    """Blocking, a second or two at most (a print server is asked for its queues)."""
    found: list[Found] = []
    failed: dict[str, str] = {}
    for kind in CLASSES.values():
        try:
            found += kind.find(root)
        except (DriverError, OSError) as error:
            failed[kind.name] = str(error)
    return Findings(tuple(found), failed)
