"""Stamps: when a message was made, by which clock, in which boot."""

from typing import TypedDict

from agent.outbox.outbox import Draft
from common.clock import Clock, ClockQuality, rfc3339
from common.messages import Journal, Receipted


class Stamped(TypedDict):
    """The fields that every message has."""

    boot: str
    at: str
    mono_ms: int
    clock: ClockQuality


class Sequenced(Stamped):
    """The fields of a receipted message: `outbox` and `seq` are placeholders until its commit."""

    outbox: str
    seq: int


def stamped(clock: Clock) -> Stamped:
    return {"boot": clock.boot, "at": rfc3339(clock.now()), "mono_ms": clock.mono_ms(), "clock": clock.quality()}


def sequenced(clock: Clock) -> Sequenced:
    return {**stamped(clock), "outbox": "0" * 12, "seq": 1}


def draft(clock: Clock, leaf: str, message: Receipted, *, retained: bool = False) -> Draft:
    """A draft of a message for the outbox; its wall time counts for the archive only if the clock is trusted."""
    at_s = int(clock.now().timestamp()) if clock.quality() == "synced" else None
    return Draft(leaf, message, retained, at_s)


def journal(clock: Clock, event: str, /, **details: object) -> Draft:
    """A draft of a journal entry: what happened to the terminal, with its evidence."""
    return draft(clock, "journal", Journal(**sequenced(clock), event=event, details=details))
