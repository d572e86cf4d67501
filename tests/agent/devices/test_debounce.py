"""Debounce: which readings are confirmed."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agent.devices.debounce import FLAP_WINDOW_MS, HEALTHY, MAX_FLAPS, Debounced, debounce, readings_needed
from drivers.reading import Condition, Reading, Reason

BOOT = "0a1b2c3d"
STEP_MS = 60_000


def seen(condition, code="x", **measures):
    return Reading(condition=Condition(condition), reason=Reason(code), measures=measures)


def run(readings, state=None, start_ms=0, boot=BOOT):
    """Debounce one reading a minute; return the last state and the numbers of the readings that changed it."""
    changes = []
    for n, reading in enumerate(readings):
        state, changed = debounce(state, reading, start_ms + n * STEP_MS, boot)
        if changed:
            changes.append(n)
    return state, changes


def test_the_very_first_reading_is_confirmed_at_once():
    state, changes = run([seen("faulty", "paper_out")])
    assert state.confirmed == seen("faulty", "paper_out")
    assert (changes, state.previous) == ([0], None)


def test_a_change_is_confirmed_at_the_third_equal_reading():
    state, changes = run([seen("working"), *[seen("faulty")] * 3])
    assert changes == [0, 3]
    assert (state.confirmed.condition, state.previous, state.since_mono_ms) == ("faulty", "working", 3 * STEP_MS)


def test_a_recovery_is_confirmed_at_the_second_reading():
    for trouble in ("faulty", "unreachable", "absent", "attention", "unknown"):
        for good in ("working", "in_use"):
            assert run([seen(trouble), seen(good), seen(good)])[1] == [0, 2]


def test_a_camera_that_goes_into_a_conference_is_no_recovery():
    assert run([seen("working"), *[seen("in_use")] * 3])[1] == [0, 3]


def test_a_hotplug_event_is_confirmed_at_once():
    state, _ = run([seen("working")])
    state, changed = debounce(state, seen("absent", "unplugged"), 5, BOOT, event=True)
    assert changed and state.confirmed.condition == "absent" and state.flaps == 0


def test_an_event_that_shows_nothing_new_changes_nothing():
    state, _ = run([seen("working")])
    assert debounce(state, seen("working"), 5, BOOT, event=True)[1] is False


def test_a_plug_that_shows_another_device_in_the_same_condition_is_a_change():
    one, other = (msgspec.structs.replace(seen("working"), reason=Reason("x", {"name": name})) for name in "AB")
    state, _ = run([one])
    state, changed = debounce(state, other, 5, BOOT, event=True)
    assert (changed, state.confirmed, state.since_mono_ms) == (True, other, 0)
    assert debounce(state, one, 6, BOOT)[1] is False  # without a plug event the numbers in a reason may change


def test_another_reason_within_the_same_condition_is_a_change_after_three():
    state, changes = run([seen("faulty", "paper_out"), *[seen("faulty", "toner_empty")] * 3])
    assert changes == [0, 3]
    assert state.confirmed.reason.code == "toner_empty"


def test_readings_must_be_equal_in_a_row_and_in_reason():
    mixed = [seen("faulty", "paper_out"), seen("faulty", "cover_open")] * 3
    assert run([seen("working"), *mixed])[1] == [0]


def test_an_agreeing_reading_brings_its_newest_measures_and_is_no_change():
    state, changes = run([seen("working", toner_pct=40), seen("working", toner_pct=39)])
    assert state.confirmed.measures == {"toner_pct": 39}
    assert changes == [0]


def test_an_unconfirmed_reading_leaves_the_confirmed_one_whole():
    state, _ = run([seen("working", toner_pct=40), seen("faulty", toner_pct=0)])
    assert state.confirmed == seen("working", toner_pct=40)


def test_flaps_of_the_last_hour_are_counted():
    state, changes = run([seen("working"), seen("faulty")] * 3 + [seen("working")])
    assert (state.flaps, changes) == (3, [0])
    state, _ = debounce(state, seen("working"), 6 * STEP_MS + FLAP_WINDOW_MS, BOOT)
    assert state.flaps == 0


def test_a_confirmed_change_is_no_flap():
    assert run([seen("working"), *[seen("faulty")] * 3, *[seen("working")] * 2])[0].flaps == 0


def test_a_reason_that_flickers_is_no_flap_of_the_condition():
    assert run([seen("faulty", "a"), seen("faulty", "b")] * 4)[0].flaps == 0


def test_flaps_are_bounded():
    state, _ = run([seen("working")])
    for n in range(1000):
        state, _ = debounce(state, seen("faulty" if n % 2 else "working"), n, BOOT)
    assert state.flaps == MAX_FLAPS


def test_a_reboot_discards_the_pending_reading_and_keeps_the_confirmed_one():
    state, _ = run([seen("working"), seen("faulty"), seen("working"), seen("faulty"), seen("faulty")])
    state, changed = debounce(state, seen("faulty"), 10, "ffffffff")
    assert not changed and state.confirmed.condition == "working"
    assert (state.flaps, state.pending.readings, state.since_boot) == (0, 1, BOOT)


def test_a_device_that_was_never_polled_is_confirmed_at_its_first_poll():
    state, _ = run([seen("unknown", "not_looked_at")])
    assert debounce(state, seen("faulty"), 5, BOOT)[1] is True


def test_a_table_that_became_invalid_is_confirmed_at_once():
    state, _ = run([seen("working")])
    state, changed = debounce(state, seen("unknown", "table_wrong"), 5, BOOT)
    assert changed and state.confirmed.reason.code == "table_wrong"


readings = st.builds(seen, st.sampled_from(list(Condition)), st.sampled_from(["a", "b"]))
steps = st.lists(st.tuples(readings, st.booleans(), st.sampled_from([BOOT, "ffffffff"])), min_size=1, max_size=60)


@given(steps)
def test_only_what_was_read_is_confirmed_and_only_after_enough_equal_readings(steps):
    state, row = None, 0
    for n, (reading, event, boot) in enumerate(steps):
        before = state
        row = row + 1 if n and kind(steps[n - 1][0]) == kind(reading) else 1
        state, changed = debounce(state, reading, n * STEP_MS, boot, event)
        if changed:
            assert state.confirmed == reading
            if before and not event:
                assert row >= readings_needed(before.confirmed.condition, reading.condition)
                assert state.previous is before.confirmed.condition
        else:
            assert kind(state.confirmed) == kind(before.confirmed)
        assert state.confirmed in [r for r, _, _ in steps[: n + 1]]


@given(steps)
def test_the_state_survives_its_own_serialisation(steps):
    state = None
    for n, (reading, event, boot) in enumerate(steps):
        state, _ = debounce(state, reading, n * STEP_MS, boot, event)
        assert msgspec.json.decode(msgspec.json.encode(state), type=Debounced) == state


def test_a_state_that_the_version_before_stored_is_read_and_stored_under_the_same_names():
    stored = (
        b'{"believed":{"condition":"working","reason":{"code":"ok"}},"since_mono_ms":5,"since_boot":"0a1b2c3d",'
        b'"boot":"0a1b2c3d","candidate":{"condition":"faulty","code":"paper_out","readings":2},"flap_mono_ms":[3]}'
    )
    state = msgspec.json.decode(stored, type=Debounced)
    assert (state.confirmed, state.pending.readings, state.flaps) == (seen("working", "ok"), 2, 1)
    assert msgspec.json.decode(msgspec.json.encode(state)).keys() >= {"believed", "candidate", "flap_mono_ms"}


@given(readings, readings)
def test_three_equal_readings_are_always_enough(first, second):
    state, _ = run([first, second, second, second])
    assert kind(state.confirmed) == kind(second)


@given(st.lists(st.builds(seen, st.just("unknown"), st.sampled_from(["a", "b"])), min_size=3, max_size=9))
def test_unknown_is_never_turned_into_good_or_bad(unknowns):
    for before in Condition:
        state, _ = run([seen(before, "z"), *unknowns])
        assert state.confirmed.condition in (before, Condition.UNKNOWN)
        assert before in HEALTHY or state.confirmed.condition not in HEALTHY


def kind(reading):
    return reading.condition, reading.reason.code
