"""A TCP server for a test: on loopback, with its own port; it ends with all its connections when the test leaves it."""

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class LoopbackServer(ABC):
    """Use with `async with`; it then has `host` and `port`. `_serve` adds its connection to `_open` and removes it at the end."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.connects = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        while self._open:  # noqa: ASYNC110  what is waited for has no event of its own
            await asyncio.sleep(0.01)

    def cut(self) -> None:
        """Abort every connection, without a DISCONNECT."""
        for writer in self._open.copy():
            writer.transport.abort()

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None: ...
