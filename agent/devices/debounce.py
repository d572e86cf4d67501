"""Debounce: when a changed reading of a device is confirmed (hysteresis). Pure.

    reading → equal often enough? → confirmed → (on change) message and verdict

A change is confirmed after 3 equal readings, after 2 if it is a recovery, after 1 if a hotplug event caused the poll; the
very first reading at once. Equal means the same condition with the same reason code, so 'paper out' turning into 'toner
empty' is a change as well. After a hotplug event another device in the same condition is a change too (the reason's
parameters name it): a gun that is switched to another mode is back before a poll finds it absent. Measures are not
compared: an equal reading replaces the confirmed one with its newest measures. The state is a struct that serialises; it
is stored in the transaction of the message.
"""

import msgspec

from drivers.reading import Condition, Reading

STATE_PREFIX = "judged:"  # state key: judged:<class>/<id>
READINGS_TO_CONFIRM = 3
READINGS_TO_RECOVER = 2  # from UNHEALTHY to HEALTHY
FLAP_WINDOW_MS = 3_600_000
MAX_FLAPS = 120  # a device polled every 10 s that alternates makes 180 an hour; a higher number adds no information

HEALTHY = frozenset({Condition.WORKING, Condition.IN_USE})
UNHEALTHY = frozenset(
    {Condition.ATTENTION, Condition.FAULTY, Condition.UNREACHABLE, Condition.ABSENT, Condition.UNKNOWN}
)
NEVER_POLLED = frozenset({"not_looked_at", "table_wrong"})  # reasons of a reading that is not the result of a poll
TABLE_WRONG = "table_wrong"  # from the configuration: it cannot flicker


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """The last reading, not confirmed yet."""

    condition: Condition
    code: str
    readings: int  # number of equal ones in a row


class Debounced(msgspec.Struct, frozen=True, kw_only=True, rename={"confirmed": "believed", "pending": "candidate"}):
    """The debounce state of one device; `debounce` returns the next one. Stored in the outbox under its older field names."""

    confirmed: Reading
    previous: Condition | None = None  # confirmed before the last change; None before the first change
    since_mono_ms: int  # of the reading that confirmed it, in `since_boot`
    since_boot: str
    boot: str  # that `flap_mono_ms` and `pending` belong to
    pending: Pending | None = None
    flap_mono_ms: tuple[int, ...] = ()  # when a pending condition went away unconfirmed; last hour only

    @property
    def flaps(self) -> int:
        """Changes of condition in the last hour that were not confirmed (at most MAX_FLAPS)."""
        return len(self.flap_mono_ms)


def debounce(
    state: Debounced | None, reading: Reading, mono_ms: int, boot: str, event: bool = False
) -> tuple[Debounced, bool]:
    """The next state, and whether the confirmed reading changed: condition or reason code, after an event also the device.

    `mono_ms` and `boot` are of the reading; `event` is True if a hotplug event of the device, or a measurement of the
    line, caused the poll: it is confirmed at once. A pending reading from before a reboot is discarded: monotonic times of
    two boots cannot be compared.
    """
    if state is None or (state.confirmed.reason.code in NEVER_POLLED and not _agrees(state.confirmed, reading)):
        return _confirm(state, reading, mono_ms, boot, ()), True
    state = _in_this_boot(state, mono_ms, boot)
    if _agrees(state.confirmed, reading):
        flaps = _count_flap(state, None, mono_ms)
        another = event and state.confirmed.reason.params != reading.reason.params
        return msgspec.structs.replace(state, confirmed=reading, pending=None, flap_mono_ms=flaps), another
    pending = _count(state.pending, reading)
    flaps = _count_flap(state, pending, mono_ms)
    certain = event or reading.reason.code == TABLE_WRONG
    if certain or pending.readings >= readings_needed(state.confirmed.condition, reading.condition):
        return _confirm(state, reading, mono_ms, boot, flaps), True
    return msgspec.structs.replace(state, pending=pending, flap_mono_ms=flaps), False


def readings_needed(confirmed: Condition, read: Condition) -> int:
    """Number of equal readings in a row that confirm a change."""
    return READINGS_TO_RECOVER if confirmed in UNHEALTHY and read in HEALTHY else READINGS_TO_CONFIRM


def _agrees(confirmed: Reading, reading: Reading) -> bool:
    return confirmed.condition is reading.condition and confirmed.reason.code == reading.reason.code


def _confirm(state: Debounced | None, reading: Reading, mono_ms: int, boot: str, flaps: tuple[int, ...]) -> Debounced:
    return Debounced(
        confirmed=reading,
        previous=state.confirmed.condition if state else None,
        since_mono_ms=mono_ms,
        since_boot=boot,
        boot=boot,
        flap_mono_ms=flaps,
    )


def _in_this_boot(state: Debounced, mono_ms: int, boot: str) -> Debounced:
    if state.boot != boot:
        return msgspec.structs.replace(state, boot=boot, pending=None, flap_mono_ms=())
    recent = tuple(at for at in state.flap_mono_ms if at > mono_ms - FLAP_WINDOW_MS)
    return msgspec.structs.replace(state, flap_mono_ms=recent)


def _count(pending: Pending | None, reading: Reading) -> Pending:
    before = 0
    if pending and pending.condition is reading.condition and pending.code == reading.reason.code:
        before = pending.readings
    return Pending(condition=reading.condition, code=reading.reason.code, readings=before + 1)


def _count_flap(state: Debounced, now: Pending | None, mono_ms: int) -> tuple[int, ...]:
    """The flaps, with one more if a condition other than the confirmed one was pending and is gone."""
    was = state.pending
    if was is None or was.condition is state.confirmed.condition or (now and now.condition is was.condition):
        return state.flap_mono_ms
    return (*state.flap_mono_ms, mono_ms)[-MAX_FLAPS:]
