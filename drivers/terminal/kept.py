"""State that one look leaves for the next: counters, events to be remembered for a while, and results of rare checks.

It is part of the reading's evidence, so the driver itself has no state.
"""

import msgspec

from drivers.reading import Evidence, Reading

_METHOD = "kept for the next look"


class Units(msgspec.Struct, frozen=True):
    """Result of systemctl."""

    state: str  # running, degraded, starting, maintenance, ...
    failed: tuple[str, ...] = ()


class CarriedState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Times are uptimes (`/proc/uptime`), which no clock correction changes."""

    uptime_s: float
    cpu_total: int | None = None  # ticks
    cpu_idle: int | None = None
    throttles: int | None = None
    throttled_at_s: float | None = None
    oom_kills: int | None = None
    oom_at_s: float | None = None
    units: Units | None = None
    units_at_s: float | None = None
    write: str | None = None  # "ok" or the name of the error (EROFS)
    write_at_s: float | None = None


def carried_state(previous: Reading | None, uptime_s: float) -> CarriedState:
    """The state of the previous look; empty if there was none or it was before this boot."""
    for evidence in previous.evidence if previous else ():
        if evidence.method != _METHOD:
            continue
        try:
            kept = msgspec.convert(evidence.raw, CarriedState)
        except msgspec.ValidationError:  # of another version
            break
        if kept.uptime_s <= uptime_s:
            return kept
    return CarriedState(uptime_s=uptime_s)


def as_evidence(kept: CarriedState) -> Evidence:
    return Evidence(_METHOD, "/proc/uptime", msgspec.to_builtins(kept))
