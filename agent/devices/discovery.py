"""Discovery: which devices are on this machine, by one call of each class's finder. Opens no device that may be in use."""

from pathlib import Path

import msgspec

from drivers.reading import DriverError, Found
from drivers.table import CLASSES


class Findings(msgspec.Struct, frozen=True):
    """The devices found, and the classes that could not be searched, with the reason. The field names are those of `--json`."""

    found: tuple[Found, ...]
    could_not_look: dict[str, str]


def find_devices(root: Path = Path("/")) -> Findings:
    """Blocking: a second or two at most (a print server is queried for its queues)."""
    found: list[Found] = []
    failed: dict[str, str] = {}
    for kind in CLASSES.values():
        try:
            found += kind.find(root)
        except (DriverError, OSError) as error:
            failed[kind.name] = str(error)
    return Findings(tuple(found), failed)
