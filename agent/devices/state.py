"""The current state of every device. Written by the poller, read by all other parts.

Used in the event loop's thread only; a confirmed reading stands here only after its commit.
"""

from typing import Any, NamedTuple, TypeAlias

from agent.devices.debounce import Debounced
from common.clock import ClockQuality
from common.messages import Item
from drivers.catalogue import Lang, sentence
from drivers.reading import Condition, Reading, Reason

ConfirmedReadings: TypeAlias = dict[str, list[tuple[str, Reading]]]


class DeviceState(NamedTuple):
    """One device: its newest reading with time and clock quality, and its debounced state."""

    device_class: str
    id: str
    reading: Reading
    at: str  # RFC 3339
    clock: ClockQuality
    debounced: Debounced | None = None

    @property
    def key(self) -> str:
        """`printer/main`: the device's topic below `device/`."""
        return f"{self.device_class}/{self.id}"

    @property
    def confirmed(self) -> Reading:
        return self.debounced.confirmed if self.debounced else self.reading


class DeviceStates:
    """Devices by key, and the standard's items as last committed."""

    def __init__(self) -> None:
        self.devices: dict[str, DeviceState] = {}
        self.items: tuple[Item, ...] = ()

    def confirmed(self, newer: DeviceState | None = None) -> ConfirmedReadings:
        """Confirmed readings by class, with `newer` replacing its device: the input of the standard's rules."""
        by_class: ConfirmedReadings = {}
        devices = {**self.devices, newer.key: newer} if newer else self.devices
        for state in devices.values():
            by_class.setdefault(state.device_class, []).append((state.id, state.confirmed))
        return by_class

    def verdict_counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for item in self.items:
            counts[item.verdict] = counts.get(item.verdict, 0) + 1
        return counts


def not_polled_yet() -> Reading:
    """The reading of a device before its first poll."""
    return Reading(condition=Condition.UNKNOWN, reason=Reason("not_looked_at"))


def device_json(state: DeviceState, lang: Lang) -> dict[str, Any]:
    """One device in the documented form of `--json`, of the socket and of `inspect`."""
    reading = state.reading
    says, remedy, who = sentence(state.device_class, reading.reason, lang)
    return {
        "class": state.device_class,
        "id": state.id,
        "condition": reading.condition,
        "reason": reading.reason.code,
        "params": reading.reason.params,
        "says": says,
        "remedy": remedy,
        "who": who,
        "measures": reading.measures,
        "evidence": reading.evidence,
        "at": state.at,
        "clock": state.clock,
    }
