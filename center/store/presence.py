"""Is a terminal online? Derived from its state message, its heartbeats and how long it has been silent. Pure.

The will is a hint: a broker that stops cleanly publishes every will, one that dies publishes none. Heartbeats decide.
"""

from enum import StrEnum

from common.messages import State

SILENT_AFTER_S = 150  # two heartbeats and a half


class Presence(StrEnum):
    ONLINE = "online"  # proved: a message within the last two and a half heartbeats
    CLAIMED = "claimed"  # the broker retains an `online`; nothing fresh has been received yet
    SILENT = "silent"  # sent `online`, and then nothing for two and a half heartbeats
    LOST = "lost"  # the broker lost the connection; only the journal will state why
    CLOSED = "closed"  # stopped cleanly
    UNKNOWN = "unknown"  # nothing was ever received


def is_newer(old: State | None, new: State) -> bool:
    """Does `new` replace `old` as the terminal's state?

    A will that arrives late belongs to an earlier connection of the same run, or to an earlier run of the same boot: its
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
    """`last_s_ago`: since the last fresh message (None: none yet); `listening_s`: for how long one could be received."""
    if last_s_ago is not None and last_s_ago <= SILENT_AFTER_S and (state is None or state.state == "online"):
        return Presence.ONLINE
    if state is None:
        return Presence.UNKNOWN
    if state.state != "online":
        return Presence.CLOSED if state.state == "closing" else Presence.LOST
    return Presence.SILENT if min(listening_s, last_s_ago or listening_s) > SILENT_AFTER_S else Presence.CLAIMED
