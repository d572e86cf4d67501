"""A line between a terminal and its broker that can be cut, black-holed and slowed: a TCP proxy on loopback.

async with LossyLine(broker.port) as line:      # line.host, line.port
    line.black_hole()                           # both ends stay connected, nothing gets through
    line.cut()                                  # connection reset on both sides; the next one works
"""

import asyncio
import contextlib
import socket
import struct
from typing import Any

from support.loopback import LoopbackServer


class LossyLine(LoopbackServer):
    """See the module. `drop_answers`: from now on packets of the broker are lost, those of the terminal arrive."""

    def __init__(self, broker_port: int) -> None:
        super().__init__()
        self._broker_port = broker_port
        self._through, self._answers = asyncio.Event(), asyncio.Event()
        self._through.set()
        self._answers.set()

    async def __aexit__(self, *error: Any) -> None:
        self.heal()  # or pumps waiting in a black hole would never end
        await super().__aexit__(*error)

    def black_hole(self) -> None:
        self._through.clear()

    def drop_answers(self) -> None:
        self._answers.clear()

    def heal(self) -> None:
        """Let everything through again; data buffered in a black hole is delivered too, as when a line recovers."""
        self._through.set()
        self._answers.set()

    def cut(self) -> None:
        """Both sides get an RST, as from a router that was switched off and on."""
        for writer in self._open:
            with contextlib.suppress(OSError):
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        super().cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects += 1
        self._open.add(writer)
        try:
            to_reader, to_writer = await asyncio.open_connection(self.host, self._broker_port)
        except OSError:
            writer.transport.abort()
            self._open.discard(writer)
            return
        self._open.add(to_writer)
        await asyncio.gather(self._pump(reader, to_writer, up=True), self._pump(to_reader, writer, up=False))
        self._open -= {writer, to_writer}

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._through.wait()
                if up or self._answers.is_set():
                    sink.write(data)
                    await sink.drain()
        sink.close()
