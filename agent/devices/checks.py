"""The documented form of `check --json`: the same from the daemon's socket and from one poll without a daemon."""

from collections.abc import Sequence
from typing import Any

from agent.configuration.settings import Settings
from agent.devices.state import DeviceState, device_json
from common.clock import Clock
from common.messages import Item
from common.standard.opening_hours import always_open, is_open
from common.standard.rules import Rules
from common.standard.texts import item_sentence
from common.standard.verdicts import Readings, verdicts
from common.station import StationType, Terminal
from drivers.catalogue import Lang


def verdicts_now(settings: Settings | None, readings: Readings, clock: Clock) -> tuple[Item, ...]:
    """The items at this moment; by the profile of a standard station if no station is configured.

    With an untrusted clock it is not known whether the station is open, unless it always is.
    """
    if settings is None:
        return verdicts(StationType.STANDARD, readings, (), (), Rules(), opening=True)
    trusted, moment = clock.quality() == "synced", clock.now()
    known = trusted or always_open(settings.opening_hours)
    return verdicts(
        settings.profile, readings, settings.attested, settings.waiver, settings.standard,
        is_open(settings.opening_hours, moment) if known else None,
    )  # fmt: skip


def check_report(
    terminal: Terminal | None, seen: Sequence[DeviceState], items: Sequence[Item], lang: Lang
) -> dict[str, Any]:
    """`{"station": …, "devices": […], "standard": […]}`; the station is null if none is configured."""
    return {
        "station": station_json(terminal),
        "devices": [device_json(one, lang) for one in seen],
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
    """One item of the standard; `because` is its code, `says` and `remedy` are its texts."""
    says, remedy = item_sentence(item, lang)
    return {
        "item": item.item,
        "verdict": item.verdict,
        "because": item.because,
        "params": item.params,
        "says": says,
        "remedy": remedy,
    }
