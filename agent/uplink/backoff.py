"""How long to wait before the next try to reach the broker. Pure, but for chance.

Full jitter: 618 stations come back after a county's power cut. A broker that says no is left alone for half of the wait at
least: too quick a retry keeps a ban alive. One that let another terminal in under our identity (a copied disk on boards that
cannot be told apart) is left alone for ever longer, up to an hour: two such terminals would kick each other for good. mosquitto
2.0.11 kicks without a word (measured: no DISCONNECT 0x8E, just the end), so once a twin has shown itself otherwise, a connection
that is cut counts as one that it took.
"""

import random

from common.mqtt.errors import LinkProblem

_STABLE_MS = 60_000  # a connection of so long makes one failure good
_NO_TAKEOVER_MS = 2 * 3600 * 1000  # nobody took over for so long: the other terminal is gone


class Backoff:
    """`after` each try, how many seconds to wait."""

    def __init__(self, first_s: float, cap_s: float, rng: random.Random) -> None:
        self._first_s, self._cap_s, self._rng = first_s, cap_s, rng
        self._failures = 0
        self.takeovers = 0  # times in a row, without two hours of peace between them

    def clone_seen(self) -> None:
        """Another terminal was caught using our identity (a receipt for what we never sent)."""
        self.takeovers = max(1, self.takeovers)

    def next_delay_s(self, problem: LinkProblem, *, lasted_ms: int | None, rejected: bool = False) -> float:
        """`lasted_ms`: of the connection that ended; None where none came about. `refused`: the broker said no to it."""
        if lasted_ms is not None and lasted_ms > _NO_TAKEOVER_MS:
            self.takeovers = 0
        if problem.code == "taken_over" or (
            self.takeovers and problem.code == "connection_cut" and lasted_ms is not None
        ):
            self.takeovers += 1
            longest_s = min(30 * self._cap_s, 15 * self._first_s * 2 ** min(self.takeovers - 1, 16))
            return self._rng.uniform(longest_s / 2, longest_s)
        self._failures = max(0, self._failures - (lasted_ms or 0) // _STABLE_MS) + 1
        longest_s = min(self._cap_s, self._first_s * 2 ** min(self._failures, 16))
        return self._rng.uniform(longest_s / 2 if rejected else 0, longest_s)
