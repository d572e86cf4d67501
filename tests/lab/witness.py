"""The measurements of a witness in the station (guest/witness.py): the time from the kernel's event to the agent's outbox."""

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.guns import FtdiGun
from lab.usb import Gadget

if TYPE_CHECKING:
    from lab.station import Station

_WITHIN_S = 30.0  # an emulated machine is slow; a change that comes later counts as missed


class Turn(NamedTuple):
    """A device was unplugged or plugged in."""

    absent: bool
    seen: bool  # the outbox has a row for it
    took_ms: float | None  # from the kernel's first event to the committed row
    readings: tuple[tuple[str, str], ...]  # condition and reason of every row since then


class Witness:
    """Watches from its creation."""

    def __init__(self, station: "Station") -> None:
        self._station = station
        station.hand("witness.begin")

    def replugs(self, device: Gadget | FtdiGun, leaf: str, times: int) -> list[Turn]:
        """Unplug and plug the device N times, each time until the outbox reports it at `device/<leaf>`."""
        leaf = f"device/{leaf}"
        if isinstance(device, Gadget):
            turns = self._station.hand(
                "witness.replugged",
                within_s=times * 2 * (_WITHIN_S + 10),
                name=device.name,
                leaf=leaf,
                times=times,
                timeout_s=_WITHIN_S,
            )
            return [_turn(absent, measured) for absent, measured in zip((True, False) * times, turns, strict=True)]
        return [self._turned(device, leaf, absent) for _ in range(times) for absent in (True, False)]

    def _turned(self, device: FtdiGun, leaf: str, absent: bool) -> Turn:
        since_ms = self._station.hand("witness.now_ms")
        device.unplug() if absent else device.plug()
        measured = self._station.hand(
            "witness.turned", leaf=leaf, absent=absent, since_ms=since_ms, timeout_s=_WITHIN_S
        )
        return _turn(absent, measured)


def summary(turns: Sequence[Turn]) -> str:
    """One line of figures."""
    parts: list[str] = []
    for absent, word in ((True, "out"), (False, "in")):
        took = [turn.took_ms for turn in turns if turn.absent is absent and turn.took_ms is not None]
        if took:
            parts.append(f"{word}: n {len(took)}, p50 {median(took):.0f} ms, max {max(took):.0f} ms")
    return "; ".join(parts)


def _turn(absent: bool, measured: dict[str, Any]) -> Turn:
    kernel_ms, seen_ms = measured["kernel_ms"], measured["outbox_ms"]
    took_ms = seen_ms - kernel_ms if kernel_ms is not None and seen_ms is not None else None
    return Turn(absent, seen_ms is not None, took_ms, tuple((c, r) for c, r in measured["rows"]))
