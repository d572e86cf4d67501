"""How long the link waits: full jitter, never at once after a no, ever longer for a terminal that is not alone."""

import random

from hypothesis import given
from hypothesis import strategies as st

from agent.uplink.backoff import Backoff
from common.mqtt.errors import LinkProblem

CUT, TAKEN_OVER, BANNED = LinkProblem("connection_cut"), LinkProblem("taken_over"), LinkProblem("banned")
HOUR_MS = 3_600_000


def pauses(seed: int = 1) -> Backoff:
    return Backoff(2, 120, random.Random(seed))


@given(st.integers(), st.integers(1, 40))
def test_a_broker_that_says_no_is_left_alone_for_half_of_the_wait_at_least(seed: int, tries: int) -> None:
    one = pauses(seed)
    waits = [one.next_delay_s(BANNED, lasted_ms=None, rejected=True) for _ in range(tries)]
    for n, wait_s in enumerate(waits, 1):
        longest_s = min(120, 2 * 2**n)
        assert longest_s / 2 <= wait_s <= longest_s


@given(st.integers())
def test_a_lost_connection_is_tried_again_with_full_jitter(seed: int) -> None:
    one = pauses(seed)
    assert one.next_delay_s(CUT, lasted_ms=HOUR_MS) <= 4
    assert all(one.next_delay_s(CUT, lasted_ms=None) <= 120 for _ in range(20))


def test_a_connection_of_ten_minutes_begins_the_waits_anew_and_one_of_a_minute_does_not() -> None:
    one = pauses()
    for _ in range(7):
        one.next_delay_s(CUT, lasted_ms=None)
    assert max(one.next_delay_s(CUT, lasted_ms=60_000) for _ in range(20)) > 60
    assert one.next_delay_s(CUT, lasted_ms=601_000) <= 4


def test_once_a_twin_was_seen_a_cut_connection_counts_as_taken_and_a_dead_broker_does_not() -> None:
    one = pauses()
    one.clone_seen()
    assert one.next_delay_s(CUT, lasted_ms=1000) >= 30
    assert one.next_delay_s(CUT, lasted_ms=1000) >= 60
    assert one.next_delay_s(LinkProblem("server_not_running"), lasted_ms=None) <= 4


def test_who_is_kicked_by_his_twin_waits_ever_longer_up_to_an_hour_however_long_each_connection_lasts() -> None:
    one = pauses()
    waits = [one.next_delay_s(TAKEN_OVER, lasted_ms=n * 60_000) for n in range(12)]
    assert one.takeovers == 12
    for n, wait_s in enumerate(waits):
        assert min(3600, 30 * 2**n) / 2 <= wait_s <= min(3600, 30 * 2**n)


def test_a_cut_line_between_does_not_forget_the_twin_and_two_hours_of_peace_do() -> None:
    one = pauses()
    for _ in range(5):
        one.next_delay_s(TAKEN_OVER, lasted_ms=1000)
    one.next_delay_s(LinkProblem("keepalive_timeout"), lasted_ms=HOUR_MS)
    assert one.takeovers == 5
    one.next_delay_s(CUT, lasted_ms=2 * HOUR_MS + 1)
    assert one.takeovers == 0
    assert one.next_delay_s(TAKEN_OVER, lasted_ms=1000) <= 30


def test_two_terminals_of_one_identity_meet_a_few_times_a_day_not_each_second() -> None:
    """Both on one clock, each connects when its wait is over and kicks the other."""
    twins, next_s, kicks = [pauses(1), pauses(2)], [0.0, 1.0], 0
    holder, since_s = None, 0.0
    while (now_s := min(next_s)) < 86_400:
        who = next_s.index(now_s)
        if holder is not None:
            kicks += 1
            lasted_ms = int((now_s - since_s) * 1000)
            next_s[holder] = now_s + twins[holder].next_delay_s(TAKEN_OVER, lasted_ms=lasted_ms)
        holder, since_s, next_s[who] = who, now_s, float("inf")
    assert 20 < kicks < 100
