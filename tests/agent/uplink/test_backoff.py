"""Delays of the link: full jitter, never immediately after a rejection, growing for a terminal that has a clone."""

import random

from hypothesis import given
from hypothesis import strategies as st

from agent.uplink.backoff import Backoff
from common.mqtt.errors import LinkProblem

CUT, TAKEOVER, BANNED = LinkProblem("connection_cut"), LinkProblem("taken_over"), LinkProblem("banned")
HOUR_MS = 3_600_000


def backoff(seed: int = 1) -> Backoff:
    return Backoff(2, 120, random.Random(seed))


@given(st.integers(), st.integers(1, 40))
def test_after_a_rejection_the_delay_is_at_least_half_of_its_maximum(seed: int, tries: int) -> None:
    one = backoff(seed)
    delays = [one.next_delay_s(BANNED, lasted_ms=None, rejected=True) for _ in range(tries)]
    for n, delay_s in enumerate(delays, 1):
        max_s = min(120, 2 * 2**n)
        assert max_s / 2 <= delay_s <= max_s


@given(st.integers())
def test_a_lost_connection_is_retried_with_full_jitter(seed: int) -> None:
    one = backoff(seed)
    assert one.next_delay_s(CUT, lasted_ms=HOUR_MS) <= 4
    assert all(one.next_delay_s(CUT, lasted_ms=None) <= 120 for _ in range(20))


def test_a_connection_of_ten_minutes_resets_the_delays_and_one_of_a_minute_does_not() -> None:
    one = backoff()
    for _ in range(7):
        one.next_delay_s(CUT, lasted_ms=None)
    assert max(one.next_delay_s(CUT, lasted_ms=60_000) for _ in range(20)) > 60
    assert one.next_delay_s(CUT, lasted_ms=601_000) <= 4


def test_once_a_clone_was_seen_a_cut_connection_counts_as_a_takeover_and_a_dead_broker_does_not() -> None:
    one = backoff()
    one.clone_seen()
    assert one.next_delay_s(CUT, lasted_ms=1000) >= 30
    assert one.next_delay_s(CUT, lasted_ms=1000) >= 60
    assert one.next_delay_s(LinkProblem("server_not_running"), lasted_ms=None) <= 4


def test_the_delay_after_takeovers_by_a_clone_grows_to_an_hour_however_long_each_connection_lasts() -> None:
    one = backoff()
    delays = [one.next_delay_s(TAKEOVER, lasted_ms=n * 60_000) for n in range(12)]
    assert one.takeovers == 12
    for n, delay_s in enumerate(delays):
        assert min(3600, 30 * 2**n) / 2 <= delay_s <= min(3600, 30 * 2**n)


def test_a_cut_line_between_does_not_forget_the_clone_and_two_hours_connected_do() -> None:
    one = backoff()
    for _ in range(5):
        one.next_delay_s(TAKEOVER, lasted_ms=1000)
    one.next_delay_s(LinkProblem("keepalive_timeout"), lasted_ms=HOUR_MS)
    assert one.takeovers == 5
    one.next_delay_s(CUT, lasted_ms=2 * HOUR_MS + 1)
    assert one.takeovers == 0
    assert one.next_delay_s(TAKEOVER, lasted_ms=1000) <= 30


def test_two_terminals_of_one_identity_take_over_a_few_times_a_day_not_each_second() -> None:
    """Both on one clock; each connects after its delay and takes over the other's session."""
    clones, next_s, takeovers = [backoff(1), backoff(2)], [0.0, 1.0], 0
    holder, since_s = None, 0.0
    while (now_s := min(next_s)) < 86_400:
        who = next_s.index(now_s)
        if holder is not None:
            takeovers += 1
            lasted_ms = int((now_s - since_s) * 1000)
            next_s[holder] = now_s + clones[holder].next_delay_s(TAKEOVER, lasted_ms=lasted_ms)
        holder, since_s, next_s[who] = who, now_s, float("inf")
    assert 20 < takeovers < 100
