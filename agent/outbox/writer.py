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


class _Wish(NamedTuple):
    drafts: tuple[Draft, ...]
    marks: Mapping[str, bytes | None]
    done: asyncio.Future[list[Row]]


class Writer:
    """Async face of the outbox. `run` belongs into the daemon's task group; `close` after it has ended."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")
        self._wishes: asyncio.Queue[_Wish] = asyncio.Queue()
        self.committed: Callable[[list[Row]], object] = len  # set by the delivery
        # marks that go along with any commit; set by the daemon
        self.beside: Callable[[], Mapping[str, bytes | None]] = dict

    async def run(self) -> None:
        """Commit what is wished, until cancelled. An error is raised to those who wished, never swallowed.

        A file that turns out damaged ends it with sqlite3.DatabaseError, and the daemon with it: the next start puts the
        file aside and goes on, while a daemon that stayed would keep nothing any more.
        """
        while True:
            wishes = [await self._wishes.get()]
            while not self._wishes.empty():
                wishes.append(self._wishes.get_nowait())
            await self._commit_all(wishes)

    async def commit(self, drafts: Iterable[Draft], marks: Mapping[str, bytes | None] | None = None) -> list[Row]:
        """Messages and marks, on the disk when this returns. Raises OutboxFull and sqlite3.Error."""
        done: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
        self._wishes.put_nowait(_Wish(tuple(drafts), marks or {}, done))
        return await done

    async def ask(self, question: Callable[[Outbox], T]) -> T:
        """Run a question (or a small change) on the outbox in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, question, self._outbox)

    async def flush(self) -> None:
        """Commit what is still wished: for a clean stop, after `run` was cancelled."""
        wishes: list[_Wish] = []
        while not self._wishes.empty():
            wishes.append(self._wishes.get_nowait())
        if wishes:
            await self._commit_all(wishes)

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._outbox.close()

    async def _commit_all(self, wishes: list[_Wish]) -> None:
        drafts = [draft for wish in wishes for draft in wish.drafts]
        marks = {**self.beside(), **{key: value for wish in wishes for key, value in wish.marks.items()}}
        commit = asyncio.get_running_loop().run_in_executor(self._thread, self._outbox.append, drafts, marks)
        try:
            rows = await asyncio.shield(commit)
        except asyncio.CancelledError:  # under way already: its wishers are told the truth
            try:
                _settle(wishes, await commit)
            except Exception:  # nothing of it is on the disk: `flush` tries again, and tells
                self._wish_again(wishes)
            raise
        except Exception as error:
            if len(wishes) > 1:  # one bad row must not take the others with it
                for at, wish in enumerate(wishes):
                    try:
                        await self._commit_all([wish])
                    except asyncio.CancelledError:
                        self._wish_again(wishes[at + 1 :])
                        raise
            elif not wishes[0].done.done():
                wishes[0].done.set_exception(error)
            if isinstance(error, sqlite3.DatabaseError) and is_damage(error):
                raise
            return
        _settle(wishes, rows)
        if rows:
            self.committed(rows)

    def _wish_again(self, wishes: list[_Wish]) -> None:
        for wish in wishes:
            self._wishes.put_nowait(wish)


def _settle(wishes: list[_Wish], rows: list[Row]) -> None:
    at = 0
    for wish in wishes:
        if not wish.done.done():
            wish.done.set_result(rows[at : at + len(wish.drafts)])
        at += len(wish.drafts)
