"""The journal of the station's life: starts with how the last run ended, stops, and what the others of this room saw.

A mark in the outbox says `running` with the boot it belongs to; what it and others tell of the last run's end goes into the
entry of the start (`agent.journal.previous_run`).
"""

import logging
import sqlite3
from collections.abc import Mapping
from hashlib import blake2s
from pathlib import Path

import msgspec

from agent.configuration.settings import Loaded
from agent.journal.previous_run import Run, exit_of, invocation, previous_end, stop_of
from agent.outbox.marks import decoded
from agent.outbox.outbox import Opening, Outbox, OutboxFull
from agent.outbox.stamps import journal
from agent.outbox.writer import Writer
from common.clock import Clock
from common.events import ConfigurationChanged, Event, LastAlive, Start, Stop

log = logging.getLogger(__name__)
RUN_STATE = "life"
CONFIGURATION_STATE = "configuration"  # mark: section -> short hash
WHOLE = ""  # among those: of the whole


class JournalWriter:
    """Writes the entries; none of them may hold up the daemon, so a full disk is logged and lived with."""

    def __init__(self, writer: Writer, clock: Clock, run_id: str, version: str, root: Path = Path("/")) -> None:
        self._writer, self._clock, self._root = writer, clock, root
        self._run = Run(run_id, clock.boot, False, version, invocation())

    async def begin(self, opening: Opening, mistakes: int, last_alive: LastAlive | None = None) -> None:
        """The start, with how the last run ended and in what state the outbox was found."""
        mark = await self._writer.ask(lambda box: box.mark(RUN_STATE))
        before = decoded(mark, Run, RUN_STATE)
        seen = exit_of(before)
        start = Start(
            run=self._run.run, version=self._run.version, outbox=opening.kind,
            previous_end="first" if mark is None else previous_end(before, self._clock.boot, seen),
            previous_exit=seen, last_alive=last_alive, outbox_details=opening.details, configuration_mistakes=mistakes,
        )  # fmt: skip
        if before:
            start = msgspec.structs.replace(
                start, new_boot=before.boot != self._clock.boot, previous_run=before.run, previous_boot=before.boot,
                previous_version=before.version, previous_stop=before.stop_of,
            )  # fmt: skip
        await self._write(start, run=self._run)

    async def end(self) -> None:
        of = stop_of(self._root)
        ended = msgspec.structs.replace(self._run, stopped=True, stop_of=of)
        await self._write(Stop(run=self._run.run, of=of), run=ended)

    async def record_configuration(self, hashes: Mapping[str, str]) -> None:
        """Tell which sections of the configuration (`section_hashes`) are others than in the run before."""
        mark = await self._writer.ask(lambda box: box.mark(CONFIGURATION_STATE))
        before = None if mark is None else _decode_hashes(mark)
        if before == hashes:
            return
        marks = {CONFIGURATION_STATE: msgspec.json.encode(dict(hashes))}
        if before is None:
            await self._commit([], marks)
            return
        changed = sorted(name for name in {*before, *hashes} - {WHOLE} if before.get(name) != hashes.get(name))
        event = ConfigurationChanged(sections=tuple(changed), before=before.get(WHOLE, ""), now=hashes[WHOLE])
        await self._commit([event], marks)

    async def record(self, event: Event) -> None:
        await self._write(event)

    async def record_other(self, event: str, **details: object) -> None:
        """An entry that says nothing about the station's life."""
        try:
            await self._writer.commit([journal(self._clock, event, **details)])
        except (OutboxFull, sqlite3.Error) as error:
            log.error("journal %s: %s", event, error)

    async def _write(self, event: Event, *, run: Run | None = None) -> None:
        await self._commit([event], {RUN_STATE: msgspec.json.encode(run)} if run else {})

    async def _commit(self, events: list[Event], marks: Mapping[str, bytes]) -> None:
        try:
            await self._writer.commit([journal(self._clock, one.name, **one.details()) for one in events], marks)
        except (OutboxFull, sqlite3.Error) as error:
            log.error("journal %s: %s", [one.name for one in events], error)


def forget_device_states(box: Outbox) -> None:
    """A new outbox id (another machine, a damaged file): everything is reported anew."""
    for (key,) in box.db.execute("SELECT key FROM mark WHERE key LIKE 'judged:%'").fetchall():
        box.append([], {str(key): None})


def _decode_hashes(mark: bytes) -> dict[str, str] | None:
    try:
        return msgspec.json.decode(mark, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def section_hashes(loaded: Loaded) -> dict[str, str]:
    """`broker`, `outbox`, …, `device:printer/main` -> 12 hex digits; WHOLE -> of all."""
    sections = dict(msgspec.to_builtins(loaded.settings)) if loaded.settings else {}
    for kind, driver in loaded.devices:
        sections[f"device:{kind.name}/{driver.id}"] = msgspec.to_builtins(driver)
    for kind, id, reason in loaded.disabled:
        sections[f"device:{kind.name}/{id}"] = msgspec.to_builtins(reason)
    hashes = {name: _hash(msgspec.json.encode(made, order="deterministic")) for name, made in sections.items()}
    return hashes | {WHOLE: _hash(msgspec.json.encode(hashes, order="deterministic"))}


def _hash(data: bytes) -> str:
    return blake2s(data, digest_size=6).hexdigest()
