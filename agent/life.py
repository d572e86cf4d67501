"""The journal of the daemon's own life: how the last run ended, starts, stops, the clock, the link.

A mark in the outbox says `running` with the boot it belongs to. Found at a start, it tells how the last run ended: the same
boot means the agent crashed, another boot means that the machine went down without saying so (a power cut, a held button).
"""

import logging
import sqlite3

import msgspec

from agent.clock import Clock, rfc3339
from agent.county.link import LinkState
from agent.stamp import journal
from agent.store.marks import decoded
from agent.store.outbox import Opening, Outbox, OutboxFull
from agent.store.writer import Writer

log = logging.getLogger(__name__)
MARK = "life"
CLOCK_LOOK_S = 30


class _Life(msgspec.Struct):
    run: str
    boot: str
    stopped: bool
    version: str


def previous_end(mark: bytes | None, boot: str) -> str:
    """How the run before this one ended: `first`, `clean`, `crashed` (same boot) or `cut` (another boot).

    `unknown` where its mark cannot be read (another version wrote it).
    """
    if mark is None:
        return "first"
    life = decoded(mark, _Life, MARK)
    if life is None:
        return "unknown"
    if life.stopped:
        return "clean"
    return "crashed" if life.boot == boot else "cut"


class Life:
    """Writes the entries; none of them may hold up the daemon, so a full disk is logged and lived with."""

    def __init__(self, writer: Writer, clock: Clock, run_id: str, version: str) -> None:
        self._writer, self._clock, self._run_id, self._version = writer, clock, run_id, version
        self._link_was_up = False

    async def begin(self, opening: Opening, mistakes: int) -> None:
        """The start, with how the last run ended and in what state the outbox was found."""
        before = await self._writer.ask(lambda box: box.mark(MARK))
        end = previous_end(before, self._clock.boot)
        old = decoded(before, _Life, MARK)
        details: dict[str, object] = {
            "run": self._run_id,
            "version": self._version,
            "previous_end": end,
            "outbox": opening.kind,
        }
        if old:
            details |= {"previous_run": old.run, "previous_boot": old.boot, "previous_version": old.version}
        if opening.details:
            details["outbox_details"] = opening.details
        if mistakes:
            details["configuration_mistakes"] = mistakes
        await self._write("start", details, stopped=False)

    async def end(self) -> None:
        await self._write("stop", {"run": self._run_id}, stopped=True)

    async def link_changed(self, state: LinkState) -> None:
        """Only ups and downs; another reason for being down is in the status."""
        if state.up == self._link_was_up:
            return
        self._link_was_up = state.up
        event = "link_up" if state.up else "link_down"
        log.info("%s %s", event, state.why)
        await self._write(event, {"connection": state.connections, **({"why": state.why} if state.why else {})})

    async def note(self, event: str, **details: object) -> None:
        await self._write(event, details)

    async def watch_clock(self) -> None:
        """Tell the moment at which the clock became good: records of before are put right by it, in the same boot."""
        if self._clock.quality() == "synced":
            return
        while self._clock.quality() != "synced":
            await self._clock.sleep(CLOCK_LOOK_S)
        await self._write("clock_synced", {"at": rfc3339(self._clock.now()), "mono_ms": self._clock.mono_ms()})

    async def _write(self, event: str, details: dict[str, object], *, stopped: bool | None = None) -> None:
        marks: dict[str, bytes | None] = {}
        if stopped is not None:
            marks[MARK] = msgspec.json.encode(_Life(self._run_id, self._clock.boot, stopped, self._version))
        try:
            await self._writer.commit([journal(self._clock, event, **details)], marks)
        except (OutboxFull, sqlite3.Error) as error:
            log.error("journal %s: %s", event, error)


def forget_what_was_believed(box: Outbox) -> None:
    """A new outbox id (another machine, a damaged file): everything is reported anew."""
    for (key,) in box.db.execute("SELECT key FROM mark WHERE key LIKE 'judged:%'").fetchall():
        box.append([], {str(key): None})
