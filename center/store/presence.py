"""Is a terminal there: what its state message, its heartbeats and the silence say together. Pure.

The will is a hint: a broker that stops cleanly publishes every will, one that dies publishes none. Heartbeats are the truth.
"""

from enum import StrEnum

from common.messages import State

SILENT_AFTER_S = 150  # two heartbeats and a half


class Presence(StrEnum):
    ONLINE = "online"  # proved: heard from in the last two and a half heartbeats
    CLAIMED = "claimed"  # the broker keeps an `online`; nothing fresh has been heard yet
    SILENT = "silent"  # said `online`, and then nothing for two and a half heartbeats
    LOST = "lost"  # the broker lost the connection; only the journal will tell why
    CLOSED = "closed"  # stopped cleanly
    UNKNOWN = "unknown"  # never heard from


def is_newer(old: State | None, new: State) -> bool:
    """Does `new` stand for the present where `old` did so far?

    A will that comes late belongs to an earlier connection of the same run, or to an earlier run of the same boot: its
    `mono_ms` is that of its own connect.
    """
    if old is None or (new.state == "online" and (new.boot, new.run) != (old.boot, old.run)):
        return True
    if new.run == old.run:
        return new.connection >= old.connection
    if new.boot == old.boot:
        return new.mono_ms >= old.mono_ms
    return "unsynced" in (new.clock, old.clock) or new.at >= old.at


def presence(state: State | None, last_s_ago: float | None, listening_s: float) -> Presence:
    """`heard_s_ago`: since anything fresh came (None: not yet); `known_for_s`: for how long one could have heard it."""
    if last_s_ago is not None and last_s_ago <= SILENT_AFTER_S and (state is None or state.state == "online"):
        return Presence.ONLINE
    if state is None:
        return Presence.UNKNOWN
    if state.state != "online":
        return Presence.CLOSED if state.state == "closing" else Presence.LOST
    return Presence.SILENT if min(listening_s, last_s_ago or listening_s) > SILENT_AFTER_S else Presence.CLAIMED
