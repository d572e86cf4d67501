"""How long to wait before the next attempt to connect to the broker. Pure, except for the random numbers.

Full jitter: 618 stations reconnect after a power cut of the county. After a rejection the delay is at least half of its
maximum, because an early retry can extend a ban. After a session takeover by a clone (a copied disk on boards that cannot be
told apart) the delay doubles up to an hour, because two such terminals would disconnect each other for ever. mosquitto 2.0.11
takes a session over without a DISCONNECT 0x8E (measured: the connection just ends), so once a clone is known, a connection
that is cut counts as a takeover.
"""

import random

from common.mqtt.errors import LinkProblem

_STABLE_MS = 60_000  # a connection of this duration cancels one failure
_NO_TAKEOVER_MS = 2 * 3600 * 1000  # a connection longer than this: the clone is gone


class Backoff:
    """`next_delay_s` after each attempt."""

    def __init__(self, first_s: float, cap_s: float, rng: random.Random) -> None:
        self._first_s, self._cap_s, self._rng = first_s, cap_s, rng
        self._failures = 0
        self.takeovers = 0  # in a row, without a connection of two hours between them

    def clone_seen(self) -> None:
        """A clone is known: a receipt came for rows that this terminal never sent."""
        self.takeovers = max(1, self.takeovers)

    def next_delay_s(self, problem: LinkProblem, *, lasted_ms: int | None, rejected: bool = False) -> float:
        """`lasted_ms`: duration of the connection that ended; None if there was none. `rejected`: the broker rejected it."""
        if lasted_ms is not None and lasted_ms > _NO_TAKEOVER_MS:
            self.takeovers = 0
        if problem.code == "taken_over" or (
            self.takeovers and problem.code == "connection_cut" and lasted_ms is not None
        ):
            self.takeovers += 1
            max_s = min(30 * self._cap_s, 15 * self._first_s * 2 ** min(self.takeovers - 1, 16))
            return self._rng.uniform(max_s / 2, max_s)
        self._failures = max(0, self._failures - (lasted_ms or 0) // _STABLE_MS) + 1
        max_s = min(self._cap_s, self._first_s * 2 ** min(self._failures, 16))
        return self._rng.uniform(max_s / 2 if rejected else 0, max_s)
