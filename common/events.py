"""The journal's events about the station's operation: their names and details. Pure; the center derives causes from them.

An entry on the wire is `Journal` with `event` and free `details`; this module defines the details of these events. When
something happened (boot and monotonic time) is in the entry's own stamp.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import msgspec

from common.clock import ClockQuality

Layer: TypeAlias = Literal["lan", "gateway", "access_line", "internet", "county", "unknown"]
PreviousEnd: TypeAlias = Literal["first", "clean", "crashed", "cut", "unknown"]
StopOf: TypeAlias = Literal["machine", "service", "unknown"]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry's details; `name` is the entry's `event`."""

    name: ClassVar[str]

    def details(self) -> dict[str, Any]:
        return msgspec.to_builtins(self)


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended according to systemd: $SERVICE_RESULT, $EXIT_CODE, $EXIT_STATUS (systemd.exec(5))."""

    result: str  # success, exit-code, signal, core-dump, watchdog, oom-kill, timeout, …
    code: str  # exited, killed, dumped
    status: str  # an exit status, or the name of a signal


class LastAlive(msgspec.Struct, frozen=True, kw_only=True):
    """The newest record of an earlier run in the keepalive file: the station was powered and the agent ran then."""

    boot: str
    mono_ms: int
    at: str
    clock: ClockQuality
    run: str
    link: bool  # the link was up: then the county has the better record


class Start(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The agent started."""

    name = "start"

    run: str
    version: str
    previous_end: PreviousEnd
    outbox: str  # how the file was found: new, kept, migrated, corrupt, other_hardware, …
    new_boot: bool = False  # the machine was booted since the previous run
    previous_run: str = ""
    previous_boot: str = ""
    previous_version: str = ""
    previous_stop: StopOf = "unknown"  # of a clean end
    previous_exit: Exit | None = None
    last_alive: LastAlive | None = None
    outbox_details: dict[str, Any] = {}
    configuration_mistakes: int = 0


class Stop(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The agent was stopped cleanly: with the machine, or the service alone."""

    name = "stop"

    run: str
    of: StopOf = "unknown"


class LinkDown(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The link to the county was up and is down."""

    name = "link_down"

    connection: int
    why: str
    down_ms: int = 0  # how long the link is down already; set if it is reported because it lasts
    untold: int = (
        0  # short losses since the last reported one: rate limit, so that a flapping link cannot fill the disk
    )
    untold_ms: int = 0  # their total length


class LinkLayer(Event, frozen=True, kw_only=True, omit_defaults=True):
    """While the link is down: the layer that has failed as far as is known now, with the probes that show it."""

    name = "link_layer"

    layer: Layer
    before: Layer | None = None
    why: str  # the error of the link itself
    condition: str = ""  # of the line, as its driver reported it
    reason: str = ""
    probes: tuple[dict[str, Any], ...] = ()


class LinkUp(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The link is up again. `cause` is the layer that had failed for most of the time."""

    name = "link_up"

    connection: int
    down_ms: int = 0
    cause: Layer | None = None
    layers: tuple[tuple[Layer, int], ...] = ()  # (layer, start in mono_ms), in order


class Resumed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The machine was suspended and runs again."""

    name = "resumed"

    suspended_ms: int
    awake_mono_ms: int  # when it was last known to be awake


class ClockSynced(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The clock became synchronised: records of this boot are corrected by it (`common.boot_time`)."""

    name = "clock_synced"

    at: str
    mono_ms: int


class ClockStepped(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The wall clock was set."""

    name = "clock_stepped"

    before: str  # what it would show without the step
    now: str
    step_ms: int
    quality_before: ClockQuality
    quality: ClockQuality
    untold: int = 0  # steps of the last hour that were not reported


class ConfigurationChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The configuration differs from that of the previous run: names of sections of agent.toml, never their content."""

    name = "configuration_changed"

    sections: tuple[str, ...]
    before: str  # short hashes of the whole file
    now: str


EVENTS: dict[str, type[Event]] = {event.name: event for event in Event.__subclasses__()}


def read_event(name: str, details: Mapping[str, Any]) -> Event | None:
    """An entry's details as a typed event; None for an unknown event, or for details that another version wrote differently."""
    kind = EVENTS.get(name)
    try:
        return msgspec.convert(dict(details), kind) if kind else None
    except msgspec.ValidationError:
        return None
