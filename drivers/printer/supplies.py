"""Paper and toner as the printer reports them: levels that are percentages, and levels that are not.

Sources: `marker-*` (PWG 5100.9 and CUPS), `printer-supply` and `printer-input-tray` (PWG 5100.13). A level of -1, -2 or -3
means other/unlimited, unknown, "some": never a percentage.
"""

import re
from typing import NamedTuple

from drivers.printer.ipp import Attributes, Value

_SOME_LEFT = -3
_CONSUMED = re.compile(r"toner|ink|wax|ribbon", re.IGNORECASE)
_NOT_CONSUMED = re.compile(r"waste|fuser|opc|drum|developer|transfer|clean", re.IGNORECASE)


class Toner(NamedTuple):
    """The state of toner and ink."""

    percent: int | None = None  # of the emptiest; None if no level is a percentage
    low: bool = False  # the emptiest has reached the printer's own threshold for "low"
    left: bool | None = None  # False: one is at 0; True: every known one has some left; None: not reported


class Paper(NamedTuple):
    """The state of the trays that feed automatically."""

    left: bool | None = None  # True: at least one has paper; False: each known one is at 0; None: not reported


def toner(printer: Attributes) -> Toner:
    """From `marker-levels`, or from `printer-supply` if those report nothing."""
    levels = _marker_levels(printer) or _supply_levels(printer)
    if not levels:
        return Toner()
    known = [level for level, _ in levels if level >= 0]
    left = False if 0 in known else True if known or all(level == _SOME_LEFT for level, _ in levels) else None
    return Toner(min(known, default=None), any(0 <= level <= mark for level, mark in levels), left)


def paper(printer: Attributes) -> Paper:
    """From `printer-input-tray`: `type=sheetFeedAuto…;…;level=100;…;name=main`."""
    levels: list[int] = []
    for tray in map(_pairs, printer.get("printer-input-tray", [])):
        if tray.get("type", "").startswith("sheetFeedAuto") and (level := _integer(tray.get("level", ""))) is not None:
            levels.append(level)
    if any(level > 0 or level == _SOME_LEFT for level in levels):
        return Paper(True)
    return Paper(False if 0 in levels else None)


def _marker_levels(printer: Attributes) -> list[tuple[int, int]]:
    """(level, threshold for low) of each marker that is consumed; not of waste boxes and drums."""
    types, marks = printer.get("marker-types", []), printer.get("marker-low-levels", [])
    found: list[tuple[int, int]] = []
    for index, level in enumerate(printer.get("marker-levels", [])):
        kind = types[index] if index < len(types) else "toner"
        mark = marks[index] if index < len(marks) else 0
        if isinstance(level, int) and _is_consumed(str(kind)) and _is_level(level):
            found.append((level, mark if isinstance(mark, int) and 0 <= mark <= 100 else 0))
    return found if any(level >= 0 or level == _SOME_LEFT for level, _ in found) else []


def _supply_levels(printer: Attributes) -> list[tuple[int, int]]:
    """(percent, 0) of each supply that is consumed; a level is relative to `maxcapacity`."""
    found: list[tuple[int, int]] = []
    for supply in map(_pairs, printer.get("printer-supply", [])):
        level, capacity = _integer(supply.get("level", "")), _integer(supply.get("maxcapacity", ""))
        if supply.get("class") != "supplyThatIsConsumed" or not _is_consumed(supply.get("type", "")) or level is None:
            continue
        if level > 0 and capacity is not None and capacity > 0:
            level = max(1, min(100, round(100 * level / capacity)))
        elif level > 0 and supply.get("unit") != "percent":
            level = _SOME_LEFT  # an amount of unknown capacity: some is left
        if _is_level(level):
            found.append((level, 0))
    return found


def _is_level(level: int) -> bool:
    return not isinstance(level, bool) and -3 <= level <= 100


def _is_consumed(kind: str) -> bool:
    return bool(_CONSUMED.search(kind)) and not _NOT_CONSUMED.search(kind)


def _pairs(value: Value) -> dict[str, str]:
    """`type=toner;level=75;` as a dictionary; an octetString or text, anything else is empty."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""
    return {name.strip(): content.strip() for name, _, content in (part.partition("=") for part in text.split(";"))}


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else None
