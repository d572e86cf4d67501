"""A check of the devices for a person who waits for it, and its documented form (`check --json`), with and without a daemon."""

from collections.abc import Sequence
from typing import Any

from agent.configuration.settings import Settings
from agent.devices.poller import Poller
from agent.devices.state import DeviceState, DeviceStates, device_json
from common.clock import Clock
from common.messages import Item
from common.standard.opening_hours import always_open, is_open
from common.standard.rules import Rules
from common.standard.texts import item_sentence
from common.standard.verdicts import Readings, verdicts
from common.station import StationType, Terminal
from drivers.catalogue import Lang
from drivers.reading import Reading, YinongError


class Checks:
    """Checks and measurements by the running daemon: for the command line, the county's commands and the control cards."""

    def __init__(self, settings: Settings, clock: Clock, states: DeviceStates, poller: Poller) -> None:
        self._settings, self._clock, self._states, self._poller = settings, clock, states, poller

    async def check(self, device: object, lang: Lang) -> dict[str, Any]:
        """Poll the devices of this class or id (None: all) now; return the report. Raises YinongError if there is none."""
        keys = [key for key in self._states.devices if device is None or device in (key, *key.split("/"))]
        if not keys:
            raise YinongError(f"没有名为 {device} 的设备 / there is no device {device}")
        polled = await self._poller.poll_now(keys)
        readings: dict[str, list[tuple[str, Reading]]] = {}
        for one in self._states.devices.values():  # as polled now, not as confirmed: a person waits for the answer
            readings.setdefault(one.device_class, []).append((one.id, one.reading))
        items = verdicts_now(self._settings, readings, self._clock)
        if device is not None:
            items = tuple(item for item in items if item.item in {one.device_class for one in polled})
        return check_report(self._settings.terminal, polled, items, lang)

    async def measure(self) -> DeviceState:
        """Measure the line now; takes some seconds and some megabytes. Raises YinongError if nothing can measure it."""
        key, measured = await self._poller.measure_now("broadband")
        return self._states.devices[key]._replace(reading=measured)


def verdicts_now(settings: Settings | None, readings: Readings, clock: Clock) -> tuple[Item, ...]:
    """The items at this moment; by the profile of a standard station if no station is configured.

    With an untrusted clock it is not known whether the station is open, unless it always is.
    """
    if settings is None:
        return verdicts(StationType.STANDARD, readings, (), (), Rules(), opening=True)
    trusted, moment = clock.quality() == "synced", clock.now()
    known = trusted or always_open(settings.opening_hours)
    return verdicts(
        settings.profile,
        readings,
        settings.attested,
        settings.waiver,
        settings.standard,
        is_open(settings.opening_hours, moment) if known else None,
    )


def check_report(
    terminal: Terminal | None, states: Sequence[DeviceState], items: Sequence[Item], lang: Lang
) -> dict[str, Any]:
    """`{"station": …, "devices": […], "standard": […]}`; the station is null if none is configured."""
    return {
        "station": station_json(terminal),
        "devices": [device_json(one, lang) for one in states],
        "standard": [item_json(item, lang) for item in items],
    }


def station_json(terminal: Terminal | None) -> dict[str, Any] | None:
    if terminal is None:
        return None
    return {
        "division": terminal.division,
        "number": str(terminal.number),
        "terminal": terminal.terminal,
        "type": terminal.number.type.value,
        "name": terminal.name,
    }


def item_json(item: Item, lang: Lang) -> dict[str, Any]:
    """One item of the standard; `because` is its code, `says` and `remedy` are its texts, `who` does it."""
    says, remedy, who = item_sentence(item, lang)
    return {
        "item": item.item,
        "verdict": item.verdict,
        "because": item.because,
        "params": item.params,
        "says": says,
        "remedy": remedy,
        "who": who,
    }
