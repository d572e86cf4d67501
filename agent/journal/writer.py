"""The writer of the event journal: start with the end of the previous run, stop, configuration, and events of other parts.

A state in the outbox holds `running` and its boot id; it and other evidence of how the previous run ended go into the
`start` entry (`agent.journal.previous_run`).
"""

import logging
import sqlite3
from collections.abc import Mapping
from hashlib import blake2s
from pathlib import Path

import msgspec

from agent.configuration.settings import Loaded
from agent.journal.previous_run import Run, exit_of, invocation, previous_end, stop_of
from agent.outbox.outbox import Opening, OutboxFull, decode_state
from agent.outbox.stamps import journal
from agent.outbox.writer import Writer
from common.clock import Clock
from common.events import ConfigurationChanged, Event, LastAlive, Start, Stop

log = logging.getLogger(__name__)
RUN_STATE = "life"
CONFIGURATION_STATE = "configuration"  # its value: section -> short hash
WHOLE = ""  # the key of the hash over all sections


class JournalWriter:
    """Writes the entries. A failed write (full disk) is logged and never stops or delays the daemon."""

    def __init__(self, writer: Writer, clock: Clock, run_id: str, version: str, root: Path = Path("/")) -> None:
        self._writer, self._clock, self._root = writer, clock, root
        self._run = Run(run_id, clock.boot, False, version, invocation())

    async def begin(self, opening: Opening, mistakes: int, last_alive: LastAlive | None = None) -> None:
        """Record the start, with the end of the previous run and the state in which the outbox was found."""
        stored = await self._writer.run_in_thread(lambda box: box.state(RUN_STATE))
        before = decode_state(stored, Run, RUN_STATE)
        observed_exit = exit_of(before)
        start = Start(
            run=self._run.run,
            version=self._run.version,
            outbox=opening.kind,
            previous_end="first" if stored is None else previous_end(before, self._clock.boot, observed_exit),
            previous_exit=observed_exit,
            last_alive=last_alive,
            outbox_details=opening.details,
            configuration_mistakes=mistakes,
        )
        if before:
            start = msgspec.structs.replace(
                start,
                new_boot=before.boot != self._clock.boot,
                previous_run=before.run,
                previous_boot=before.boot,
                previous_version=before.version,
                previous_stop=before.stop_of,
            )
        await self._write(start, run=self._run)

    async def end(self) -> None:
        of = stop_of(self._root)
        ended = msgspec.structs.replace(self._run, stopped=True, stop_of=of)
        await self._write(Stop(run=self._run.run, of=of), run=ended)

    async def record_configuration(self, hashes: Mapping[str, str]) -> None:
        """Record which sections of the configuration (`section_hashes`) differ from those of the previous run."""
        stored = await self._writer.run_in_thread(lambda box: box.state(CONFIGURATION_STATE))
        before = None if stored is None else _decode_hashes(stored)
        if before == hashes:
            return
        state = {CONFIGURATION_STATE: msgspec.json.encode(dict(hashes))}
        if before is None:
            await self._commit([], state)
            return
        changed = sorted(name for name in {*before, *hashes} - {WHOLE} if before.get(name) != hashes.get(name))
        event = ConfigurationChanged(sections=tuple(changed), before=before.get(WHOLE, ""), now=hashes[WHOLE])
        await self._commit([event], state)

    async def record(self, event: Event) -> None:
        await self._write(event)

    async def record_other(self, event: str, **details: object) -> None:
        """An entry whose event is not defined in `common.events`."""
        try:
            await self._writer.commit([journal(self._clock, event, **details)])
        except (OutboxFull, sqlite3.Error) as error:
            log.error("journal %s: %s", event, error)

    async def _write(self, event: Event, *, run: Run | None = None) -> None:
        await self._commit([event], {RUN_STATE: msgspec.json.encode(run)} if run else {})

    async def _commit(self, events: list[Event], state: Mapping[str, bytes]) -> None:
        try:
            await self._writer.commit([journal(self._clock, one.name, **one.details()) for one in events], state)
        except (OutboxFull, sqlite3.Error) as error:
            log.error("journal %s: %s", [one.name for one in events], error)


def section_hashes(loaded: Loaded) -> dict[str, str]:
    """`broker`, `outbox`, …, `device:printer/main` -> 12 hex digits; WHOLE -> the hash over all.

    They show that a section changed, never its content. Taken from the loaded configuration, so comments do not count, and
    no secret is in it (secrets are in files of their own).
    """
    sections = dict(msgspec.to_builtins(loaded.settings)) if loaded.settings else {}
    for kind, driver in loaded.devices:
        sections[f"device:{kind.name}/{driver.id}"] = msgspec.to_builtins(driver)
    for kind, id, reason in loaded.disabled:
        sections[f"device:{kind.name}/{id}"] = msgspec.to_builtins(reason)
    hashes = {name: _hash(msgspec.json.encode(section, order="deterministic")) for name, section in sections.items()}
    return hashes | {WHOLE: _hash(msgspec.json.encode(hashes, order="deterministic"))}


def _decode_hashes(stored: bytes) -> dict[str, str] | None:
    try:
        return msgspec.json.decode(stored, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _hash(data: bytes) -> str:
    return blake2s(data, digest_size=6).hexdigest()
