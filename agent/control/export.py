"""Parcels for the command line while a daemon runs: the waiting rows of the daemon's own outbox, packed and sealed.

    packing (in the outbox's thread) -> lines over the socket -> `yinong-agent export` writes them to the stick

The service's sandbox has no access to the stick, and the command line none to outbox and key: so each does its part.
"""

import base64
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

from agent.control.socket import Line, RequestHandler
from agent.host.keys import Signed
from agent.observable import Observable
from agent.outbox import sent
from agent.outbox.rows import OutboxFull
from agent.outbox.writer import Writer
from common.clock import Clock
from common.station import Terminal
from drivers.child import run_child
from drivers.reading import CannotLook, YinongError

log = logging.getLogger(__name__)

TERMINAL = "terminal"  # state key: the terminal's name, so that the disk of a broken terminal can be identified
SIGN_BUDGET_S = 30


class ExportRequests:
    """`export_key`: the public half of the terminal's export key, None until it exists; set here."""

    def __init__(
        self, outbox: Path, terminal: Terminal, clock: Clock, writer: Writer, export_key: Observable[str | None]
    ) -> None:
        self._outbox, self._terminal, self._clock, self._writer = outbox, terminal, clock, writer
        self._export_key = export_key

    async def begin(self) -> None:
        """Store the terminal's name in the file, create the key if missing. An error is logged: the next start tries again."""
        try:
            await self._begin()
        except (YinongError, OutboxFull, sqlite3.Error) as error:
            log.error("the export key: %s", error)

    async def _begin(self) -> None:
        name = self._terminal.name.encode()
        if await self._writer.run_in_thread(lambda box: box.state(TERMINAL)) != name:
            await self._writer.commit([], {TERMINAL: name})
        if self._export_key.value is None:
            await self._signed(None)

    def handlers(self) -> dict[str, RequestHandler]:
        return {"export": self._export}

    async def _export(self, _request: Line) -> AsyncIterator[Line]:
        from agent.outbox.packing import ParcelHeader, SealPoint, pieces  # 0.3 MB that few terminals need
        from common.parcel import Seal

        key = (await self._signed(None)).key
        yield {"key": key}
        parcel_pieces = await self._writer.run_in_thread(lambda box: pieces(box, self._terminal, key, self._clock))
        parcels = 0
        while (piece := await self._writer.run_in_thread(lambda _box: next(parcel_pieces, None))) is not None:
            if isinstance(piece, ParcelHeader):
                parcels += 1
                yield {"parcel": piece._asdict()}
            elif isinstance(piece, SealPoint):
                signed = await self._signed(piece.digest)
                spans = tuple((span.outbox, span.first, span.last) for span in piece.spans)
                await self._writer.run_in_thread(
                    lambda box, at=piece.digest, spans=spans: sent.note_parcel(box, at, spans)
                )
                yield _bytes_line(Seal(signed.key, piece.digest, signed.signature).encoded())
            elif piece:
                yield _bytes_line(piece)
        yield {"answer": {"key": key, "parcels": parcels}}

    async def _signed(self, digest: str | None) -> Signed:
        """Sign in a child process: the library takes 20 MB that the daemon never loads."""
        try:
            answer = await run_child("agent.host.keys", {"outbox": str(self._outbox), "digest": digest}, SIGN_BUDGET_S)
        except CannotLook as failed:
            reason = failed.reading.reason
            why = reason.params.get("error", reason.code)
            raise YinongError(f"数据包不能签名 / a parcel cannot be signed: {why}") from failed
        signed = Signed(str(answer["key"]), str(answer["signature"]))
        self._export_key.set(signed.key)
        return signed


def _bytes_line(data: bytes) -> Line:
    return {"bytes": base64.b64encode(data).decode("ascii")}
