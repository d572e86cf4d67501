"""Records are corrected by the sync points of their boot; without one their time stays unknown."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.boot_time import MIN_GAP_MS, BootClocks
from common.clock import rfc3339

POWER_ON = datetime(2026, 12, 1, tzinfo=UTC)
DAY_MS = 86_400_000
PPM = 100  # a cheap oscillator


def truth(mono_ms: int) -> datetime:
    return POWER_ON + timedelta(milliseconds=mono_ms)


@given(
    drift_ppm=st.integers(-PPM, PPM),
    stamps=st.lists(st.tuples(st.integers(0, 90 * DAY_MS), st.booleans()), max_size=40),
    event_ms=st.integers(0, 90 * DAY_MS),
    order=st.randoms(use_true_random=False),
)
def test_a_corrected_time_is_off_by_no_more_than_the_drift_to_the_nearest_sync_point(
    drift_ppm: int, stamps: list[tuple[int, bool]], event_ms: int, order: object
) -> None:
    """In any order of the records, whatever the wrong times of the unsynced ones of the same boot are."""
    moments = BootClocks()
    order.shuffle(stamps)  # type: ignore[attr-defined]
    for mono_ms, good in stamps:
        at = truth(round(mono_ms * (1 + drift_ppm / 1e6))) if good else datetime(1970, 1, 1, tzinfo=UTC)
        moments.learn("b0070001", mono_ms, rfc3339(at), "synced" if good else "unsynced")
    good_ms = sorted(mono_ms for mono_ms, good in stamps if good)
    corrected = moments.wall_time("b0070001", event_ms)
    if not good_ms:
        assert corrected is None
        return
    assert corrected is not None
    after = [ms for ms in good_ms if ms >= event_ms]
    nearest_ms = (after[0] if after else good_ms[-1]) - event_ms
    # from the sync point's own time, and from the one that was dropped next to it
    drifted_ms = (abs(nearest_ms) + 3 * MIN_GAP_MS) * PPM / 1e6
    expected = truth(round(event_ms * (1 + drift_ppm / 1e6)))
    assert abs((corrected - expected) / timedelta(milliseconds=1)) <= drifted_ms + 2


@given(st.lists(st.integers(0, DAY_MS), max_size=300))
def test_what_is_kept_of_a_boot_grows_with_hours_and_not_with_records(monos: list[int]) -> None:
    moments = BootClocks()
    for mono_ms in monos:
        moments.learn("b0070001", mono_ms, rfc3339(truth(mono_ms)), "synced")
    kept = [moment.mono_ms for moment in moments._boots.get("b0070001", [])]
    assert all(later - earlier >= MIN_GAP_MS for earlier, later in pairwise(kept))


def test_another_boot_gives_no_time() -> None:
    moments = BootClocks()
    moments.learn("b0070001", 1000, rfc3339(truth(1000)), "synced")
    assert moments.wall_time("b0070002", 1000) is None


@pytest.mark.parametrize("at", ["nonsense", "", "2026-12-01T00:00:00", None, 5])
def test_a_time_that_cannot_be_parsed_or_has_no_offset_is_ignored(at: str) -> None:
    moments = BootClocks()
    moments.learn("b0070001", 1000, at, "synced")
    moments.learn_entry("b0070001", 2000, at, "unsynced", "clock_synced", {"at": at, "mono_ms": 2000})
    assert not moments.knows("b0070001")


def test_an_impossible_monotonic_time_is_unknown() -> None:
    moments = BootClocks()
    moments.learn("b0070001", 1000, rfc3339(truth(1000)), "synced")
    assert moments.wall_time("b0070001", 1 << 62) is None
