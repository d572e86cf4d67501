"""What is believed of a device, from what was seen of it: hysteresis, pure.

    reading → seen the same often enough? → believed → (on change) message and verdict

A change is believed after 3 equal readings, after 2 where it is a recovery, after 1 where a hotplug event caused the
look; the very first reading at once. Equal means the same condition for the same reason code, so 'paper out' turning
into 'toner empty' is a change as well. After a hotplug event another device in the same condition is one too (the reason's
parameters name it): a gun that is switched to another mode comes back sooner than a look finds none. Measures are no part
of that: a reading that agrees replaces the believed one and brings its newest measures. The state is a struct that
serialises; it is stored in the transaction of the message.
"""

import msgspec

from drivers.reading import Condition, Reading

READINGS_TO_CONFIRM = 3
READINGS_TO_RECOVER = 2  # from TROUBLE to HEALTHY
FLAP_WINDOW_MS = 3_600_000
MAX_FLAPS = 120  # a look every 10 s that alternates gives 180 an hour; beyond this the number says nothing more

HEALTHY = frozenset({Condition.WORKING, Condition.IN_USE})
TROUBLE = frozenset({Condition.ATTENTION, Condition.FAULTY, Condition.UNREACHABLE, Condition.ABSENT, Condition.UNKNOWN})
NEVER_POLLED = frozenset({"not_looked_at", "table_wrong"})  # reasons of a reading that stands for no look at all
TABLE_WRONG = "table_wrong"  # read from the configuration: nothing in it can flicker


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen last and is not believed yet."""

    condition: Condition
    code: str
    readings: int  # equal ones in a row


class Debounced(msgspec.Struct, frozen=True, kw_only=True, rename={"confirmed": "believed", "pending": "candidate"}):
    """The state of one device's judgement; `judge` makes the next one."""

    confirmed: Reading
    previous: Condition | None = None  # believed before the last change; None until there was one
    since_mono_ms: int  # of the reading with which it was believed, in `since_boot`
    since_boot: str
    boot: str  # that `flap_mono_ms` and `candidate` belong to
    pending: Pending | None = None
    flap_mono_ms: tuple[int, ...] = ()  # when a condition that had been seen was given up unbelieved; last hour only

    @property
    def flaps(self) -> int:
        """Changes of condition seen in the last hour that were not believed (at most FLAPS_KEPT)."""
        return len(self.flap_mono_ms)


def debounce(
    state: Debounced | None, reading: Reading, mono_ms: int, boot: str, event: bool = False
) -> tuple[Debounced, bool]:
    """The next state, and whether what is believed changed: condition or reason code, after an event also which device it is.

    `mono_ms` and `boot` are of the reading; `event` is True where a hotplug event of the device, or a measurement of the
    line, caused the look: it is believed at once. What was seen before a reboot but not believed is forgotten: monotonic
    times of two boots do not compare.
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


def readings_needed(confirmed: Condition, seen: Condition) -> int:
    """Equal readings in a row until a change is believed."""
    return READINGS_TO_RECOVER if confirmed in TROUBLE and seen in HEALTHY else READINGS_TO_CONFIRM


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
    """The flaps with one more where a condition other than the believed one had been seen and is not seen any more."""
    was = state.pending
    if was is None or was.condition is state.confirmed.condition or (now and now.condition is was.condition):
        return state.flap_mono_ms
    return (*state.flap_mono_ms, mono_ms)[-MAX_FLAPS:]
