"""A scan that has begun and not yet ended."""

from drivers.scan_gun.capture import Damage
from drivers.scan_gun.decoding.alt_codes import Item
from drivers.scan_gun.decoding.merged import LongestPauses


class OpenScan:
    """What one scan has received so far."""

    def __init__(self, at_ms: int) -> None:
        self.start_ms = self.last_ms = at_ms
        self.item_ms: int | None = None
        self.items: list[Item] = []
        self.raw: list[str] = []
        self.raw_ms = at_ms
        self.damage: Damage | None = None
        self.lost = False  # damage that is reported even if nothing was read
        self.ended = False  # by a terminator; more lines may follow (multi_line)
        self.entering = False  # a character's number is being typed
        self.pauses = LongestPauses()
