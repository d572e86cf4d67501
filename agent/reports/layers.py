"""At which layer the link to the county is broken: from what the line's driver saw and what the link met with. Pure.

lan          no cable, no Wi-Fi, no interface
gateway      linked, but the router is silent or gives no address
access_line  the router answers, nothing behind it does; or the carrier answers with its own page (arrears)
internet     the access line carries, but the broker's name cannot be resolved
county       the line carries: the county's broker, or the way to it
"""

from collections.abc import Iterable
from itertools import pairwise

from common.events import Layer
from drivers.reading import Condition, Reading

_BY_REASON: dict[str, Layer] = {
    "no_interface": "lan",
    "interface_missing": "lan",
    "no_carrier": "lan",
    "lan_down": "gateway",
    "access_line_down": "access_line",
    "captive_page": "access_line",
}
_FROM_NEAR: tuple[Layer, ...] = ("unknown", "lan", "gateway", "access_line", "internet", "county")


def layer_of(reading: Reading, why: str) -> Layer:
    """The layer by one line; `why` is the code of the link's trouble (`common.mqtt.errors`).

    `unknown` where the line could not be looked at.
    """
    if known := _BY_REASON.get(reading.reason.code):
        return known
    if reading.condition is Condition.UNKNOWN:
        return "unknown"
    return "internet" if why == "no_such_server" else "county"


def farthest(readings: Iterable[Reading], why: str) -> tuple[Layer, Reading | None]:
    """With several lines: one that carries farther is enough. Without any, nobody knows."""
    found: list[tuple[Layer, Reading | None]] = [(layer_of(reading, why), reading) for reading in readings]
    return max(found, key=lambda one: _FROM_NEAR.index(one[0])) if found else ("unknown", None)


def longest(layers: Iterable[tuple[Layer, int]], end_ms: int) -> Layer | None:
    """The layer that held for most of the time up to `end_ms`; what was known before what was not."""
    held: dict[Layer, int] = {}
    given: list[tuple[Layer, int]] = [*layers, ("unknown", end_ms)]
    for (layer, from_ms), (_, to_ms) in pairwise(given):
        held[layer] = held.get(layer, 0) + to_ms - from_ms
    return max(held, key=lambda layer: (layer != "unknown", held[layer]), default=None)
