"""How long to wait before the next try to reach the broker. Pure, but for chance.

Full jitter: 618 stations come back after a county's power cut. A broker that says no is left alone for half of the wait at
least: too quick a retry keeps a ban alive. One that let another terminal in under our identity (a copied disk on boards that
cannot be told apart) is left alone for ever longer, up to an hour: two such terminals would kick each other for good. mosquitto
2.0.11 kicks without a word (measured: no DISCONNECT 0x8E, just the end), so once a twin has shown itself otherwise, a connection
that is cut counts as one that it took.
"""

import random

from common.mqtt.errors import Trouble

_FORGIVEN_MS = 60_000  # a connection of so long makes one failure good
_QUIET_MS = 2 * 3600 * 1000  # nobody took over for so long: the other terminal is gone


class Pauses:
    """`after` each try, how many seconds to wait."""

    def __init__(self, first_s: float, cap_s: float, chance: random.Random) -> None:
        self._first_s, self._cap_s, self._chance = first_s, cap_s, chance
        self._failures = 0
        self.taken_over = 0  # times in a row, without two hours of peace between them

    def twin_seen(self) -> None:
        """Another terminal was caught using our identity (a receipt for what we never sent)."""
        self.taken_over = max(1, self.taken_over)

    def after(self, why: Trouble, *, lasted_ms: int | None, refused: bool = False) -> float:
        """`lasted_ms`: of the connection that ended; None where none came about. `refused`: the broker said no to it."""
        if lasted_ms is not None and lasted_ms > _QUIET_MS:
            self.taken_over = 0
        if why.code == "taken_over" or (self.taken_over and why.code == "connection_cut" and lasted_ms is not None):
            self.taken_over += 1
            longest_s = min(30 * self._cap_s, 15 * self._first_s * 2 ** min(self.taken_over - 1, 16))
            return self._chance.uniform(longest_s / 2, longest_s)
        self._failures = max(0, self._failures - (lasted_ms or 0) // _FORGIVEN_MS) + 1
        longest_s = min(self._cap_s, self._first_s * 2 ** min(self._failures, 16))
        return self._chance.uniform(longest_s / 2 if refused else 0, longest_s)
