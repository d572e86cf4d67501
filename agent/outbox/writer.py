"""The one owner of the outbox: a thread of its own, and group commit: requests that arrive during a commit share the next one.

A slow flash (500 ms for one fsync) must not block the reader of a scan gun or the heartbeat; each caller waits only for its own
commit.
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
    """Async interface of the outbox. `run` belongs in the daemon's task group; `close` after it has ended."""

    def __init__(self, outbox: Outbox, extra_state: Callable[[], Mapping[str, bytes | None]] = dict) -> None:
        """`extra_state` goes along with any commit."""
        self._outbox = outbox
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")
        self._requests: asyncio.Queue[_Request] = asyncio.Queue()
        self._extra_state = extra_state
        self._subscribers: list[Callable[[list[Row]], object]] = []

    def subscribe(self, on_commit: Callable[[list[Row]], object]) -> None:
        """Call it with the rows of every commit, once they are on the disk."""
        self._subscribers.append(on_commit)

    async def run(self) -> None:
        """Commit what is requested, until cancelled. An error is raised to the callers, never swallowed.

        A damaged file ends the loop with sqlite3.DatabaseError, and the daemon with it: the next start moves the file aside and
        continues, while this daemon could not store anything any more.
        """
        while True:
            requests = [await self._requests.get()]
            while not self._requests.empty():
                requests.append(self._requests.get_nowait())
            await self._commit_all(requests)

    async def commit(self, drafts: Iterable[Draft], states: Mapping[str, bytes | None] | None = None) -> list[Row]:
        """Commit messages and states; they are on the disk when this returns. Raises OutboxFull and sqlite3.Error."""
        done: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
        self._requests.put_nowait(_Request(tuple(drafts), states or {}, done))
        return await done

    async def run_in_thread(self, work: Callable[[Outbox], T]) -> T:
        """Run a query (or a small change) on the outbox in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._outbox)

    async def flush(self) -> None:
        """Commit what is still requested: for a clean stop, after `run` was cancelled."""
        requests: list[_Request] = []
        while not self._requests.empty():
            requests.append(self._requests.get_nowait())
        if requests:
            await self._commit_all(requests)

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._outbox.close()

    async def _commit_all(self, requests: list[_Request]) -> None:
        drafts = [draft for request in requests for draft in request.drafts]
        states = {
            **self._extra_state(),
            **{key: value for request in requests for key, value in request.states.items()},
        }
        commit = asyncio.get_running_loop().run_in_executor(self._thread, self._outbox.append, drafts, states)
        try:
            rows = await asyncio.shield(commit)
        except asyncio.CancelledError:  # already running: report its real result to the callers
            try:
                _settle(requests, await commit)
            except Exception:  # nothing of it is on the disk: `flush` tries again, and reports
                self._requeue(requests)
            raise
        except Exception as error:
            if len(requests) > 1:  # one bad row must not fail the others
                for at, request in enumerate(requests):
                    try:
                        await self._commit_all([request])
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
            for subscriber in self._subscribers:
                subscriber(rows)

    def _requeue(self, requests: list[_Request]) -> None:
        for request in requests:
            self._requests.put_nowait(request)


def _settle(requests: list[_Request], rows: list[Row]) -> None:
    at = 0
    for request in requests:
        if not request.done.done():
            request.done.set_result(rows[at : at + len(request.drafts)])
        at += len(request.drafts)
