"""The one owner of the outbox: a thread of its own, and commits that gather what arrives while one is under way.

A slow flash (500 ms for one fsync) must hold neither a scan gun's reader nor the heartbeat: everybody waits for his own
commit only, and all that waits goes into the next transaction together.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from agent.outbox.database import is_damage
from agent.outbox.outbox import Outbox
from agent.outbox.rows import Draft, Row

T = TypeVar("T")


class _Request(NamedTuple):
    drafts: tuple[Draft, ...]
    states: Mapping[str, bytes | None]
    done: asyncio.Future[list[Row]]


class Writer:
    """Async face of the outbox. `run` belongs into the daemon's task group; `close` after it has ended."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")
        self._requests: asyncio.Queue[_Request] = asyncio.Queue()
        self.on_commit: Callable[[list[Row]], object] = len  # set by the delivery
        # marks that go along with any commit; set by the daemon
        self.extra_state: Callable[[], Mapping[str, bytes | None]] = dict

    async def run(self) -> None:
        """Commit what is wished, until cancelled. An error is raised to those who wished, never swallowed.

        A file that turns out damaged ends it with sqlite3.DatabaseError, and the daemon with it: the next start puts the
        file aside and goes on, while a daemon that stayed would keep nothing any more.
        """
        while True:
            requests = [await self._requests.get()]
            while not self._requests.empty():
                requests.append(self._requests.get_nowait())
            await self._commit_all(requests)

    async def commit(self, drafts: Iterable[Draft], states: Mapping[str, bytes | None] | None = None) -> list[Row]:
        """Messages and marks, on the disk when this returns. Raises OutboxFull and sqlite3.Error."""
        done: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
        self._requests.put_nowait(_Request(tuple(drafts), states or {}, done))
        return await done

    async def run_in_thread(self, work: Callable[[Outbox], T]) -> T:
        """Run a question (or a small change) on the outbox in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._outbox)

    async def flush(self) -> None:
        """Commit what is still wished: for a clean stop, after `run` was cancelled."""
        requests: list[_Request] = []
        while not self._requests.empty():
            requests.append(self._requests.get_nowait())
        if requests:
            await self._commit_all(requests)

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._outbox.close()

    async def _commit_all(self, requests: list[_Request]) -> None:
        drafts = [draft for wish in requests for draft in wish.drafts]
        states = {**self.extra_state(), **{key: value for wish in requests for key, value in wish.states.items()}}
        commit = asyncio.get_running_loop().run_in_executor(self._thread, self._outbox.append, drafts, states)
        try:
            rows = await asyncio.shield(commit)
        except asyncio.CancelledError:  # under way already: its wishers are told the truth
            try:
                _settle(requests, await commit)
            except Exception:  # nothing of it is on the disk: `flush` tries again, and tells
                self._requeue(requests)
            raise
        except Exception as error:
            if len(requests) > 1:  # one bad row must not take the others with it
                for at, wish in enumerate(requests):
                    try:
                        await self._commit_all([wish])
                    except asyncio.CancelledError:
                        self._requeue(requests[at + 1 :])
                        raise
            elif not requests[0].done.done():
                requests[0].done.set_exception(error)
            if isinstance(error, sqlite3.DatabaseError) and is_damage(error):
                raise
            return
        _settle(requests, rows)
        if rows:
            self.on_commit(rows)

    def _requeue(self, requests: list[_Request]) -> None:
        for wish in requests:
            self._requests.put_nowait(wish)


def _settle(requests: list[_Request], rows: list[Row]) -> None:
    at = 0
    for wish in requests:
        if not wish.done.done():
            wish.done.set_result(rows[at : at + len(wish.drafts)])
        at += len(wish.drafts)
