"""What a look keeps for the next one: counters, events that must be remembered for a while, and answers that are rarely asked.

It travels in the reading's evidence, so the driver itself holds no state.
"""

import msgspec

from drivers.reading import Evidence, Reading

_METHOD = "kept for the next look"


class Units(msgspec.Struct, frozen=True):
    """systemd's answer."""

    state: str  # running, degraded, starting, maintenance, ...
    failed: tuple[str, ...] = ()


class CarriedState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Times are uptimes (`/proc/uptime`): the look's own axis, which no clock correction moves."""

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
    """What the previous look kept; nothing where there was none, or it was before this boot."""
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
