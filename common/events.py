"""The journal's entries about the station's life: their names and what each tells. Pure; the center reads causes from them.

An entry on the wire is `Journal` with `event` and free `details`; here stands what the details of these events mean. What
happened at which monotonic time of which boot is in the entry's own stamp.
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
    """What systemd said of a run's end: $SERVICE_RESULT, $EXIT_CODE, $EXIT_STATUS (systemd.exec(5))."""

    result: str  # success, exit-code, signal, core-dump, watchdog, oom-kill, timeout, …
    code: str  # exited, killed, dumped
    status: str  # an exit status, or the name of a signal


class LastAlive(msgspec.Struct, frozen=True, kw_only=True):
    """The newest mark that an earlier run left on the disk: the station was powered and the agent ran then."""

    boot: str
    mono_ms: int
    at: str
    clock: ClockQuality
    run: str
    link: bool  # the county heard us: then it knows better until when


class Start(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The agent started."""

    name = "start"

    run: str
    version: str
    previous_end: PreviousEnd
    outbox: str  # how its file was found: new, kept, migrated, corrupt, other_hardware, …
    new_boot: bool = False  # the machine was started since the run before
    previous_run: str = ""
    previous_boot: str = ""
    previous_version: str = ""
    previous_stop: StopOf = "unknown"  # of a clean one
    previous_exit: Exit | None = None
    last_alive: LastAlive | None = None
    outbox_details: dict[str, Any] = {}
    configuration_mistakes: int = 0


class Stop(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The agent was stopped cleanly: with the machine, or alone."""

    name = "stop"

    run: str
    of: StopOf = "unknown"


class LinkDown(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The link to the county was up and is down."""

    name = "link_down"

    connection: int
    why: str
    down_ms: int = 0  # for so long already: it is told because it lasts
    untold: int = 0  # short losses since the last that was told, so that a flapping link fills no disk
    untold_ms: int = 0  # how long they were together


class LinkLayer(Event, frozen=True, kw_only=True, omit_defaults=True):
    """While the link is down: at which layer, as believed now, with the probes that show it."""

    name = "link_layer"

    layer: Layer
    before: Layer | None = None
    why: str  # what the link itself met with
    condition: str = ""  # of the line, as its driver saw it
    reason: str = ""
    probes: tuple[dict[str, Any], ...] = ()


class LinkUp(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The link is up. `cause` is the layer at which it was down for most of the time."""

    name = "link_up"

    connection: int
    down_ms: int = 0
    cause: Layer | None = None
    layers: tuple[tuple[Layer, int], ...] = ()  # (layer, from mono_ms on), in order


class Resumed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The machine was suspended, and runs again."""

    name = "resumed"

    suspended_ms: int
    awake_mono_ms: int  # when it was last seen awake


class ClockSynced(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The clock became good: records of this boot are put right by it (`common.boot_time`)."""

    name = "clock_synced"

    at: str
    mono_ms: int


class ClockStepped(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The wall clock was set."""

    name = "clock_stepped"

    before: str  # what it would have shown
    now: str
    step_ms: int
    quality_before: ClockQuality
    quality: ClockQuality
    untold: int = 0  # steps of the last hour that were not told


class ConfigurationChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The agent runs with another configuration than the run before: sections of agent.toml by name, never their content."""

    name = "configuration_changed"

    sections: tuple[str, ...]
    before: str  # short hashes of the whole
    now: str


EVENTS: dict[str, type[Event]] = {
    event.name: event
    for event in (
        Start, Stop, LinkDown, LinkLayer, LinkUp, Resumed, ClockSynced, ClockStepped, ConfigurationChanged,
    )
}  # fmt: skip


def read_event(name: str, details: Mapping[str, Any]) -> Event | None:
    """An entry's details as they were meant; None for another event, or for what another version wrote differently."""
    kind = EVENTS.get(name)
    try:
        return msgspec.convert(dict(details), kind) if kind else None
    except msgspec.ValidationError:
        return None
