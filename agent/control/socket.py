"""The daemon's unix socket: the command line sends requests here instead of competing for the devices.

A request is one JSON line `{"ask": "check", …}`; the answer is JSON lines, the last one `{"answer": …}` or `{"error": …}`,
before it any number of `{"progress": …}` or `{"capture": …}`. The socket's mode (0660, the service's group) is the permission.
"""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import msgspec

from drivers.reading import YinongError

log = logging.getLogger(__name__)

Line: TypeAlias = dict[str, Any]
RequestHandler: TypeAlias = Callable[[Line], AsyncIterator[Line]]
MAX_REQUEST_BYTES = 64 * 1024


class NoDaemon(YinongError):  # noqa: N818
    """Nobody listens on the socket: no daemon runs here."""


async def serve(path: Path, handlers: Mapping[str, RequestHandler]) -> None:
    """Serve until cancelled. A malformed request gets an error line; a client that disconnects ends its answer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    async with asyncio.TaskGroup() as group:

        def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if server.is_serving():
                group.create_task(_serve_client(reader, writer, handlers))
            else:  # it connected during shutdown
                writer.transport.abort()

        server = await asyncio.start_unix_server(answer, path, limit=MAX_REQUEST_BYTES)
        path.chmod(0o660)
        try:
            await asyncio.Event().wait()  # not serve_forever: from Python 3.12 its end waits for connected clients
        finally:
            server.close()


async def _serve_client(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handlers: Mapping[str, RequestHandler]
) -> None:
    try:
        async with contextlib.aclosing(_responses(await reader.readline(), handlers)) as lines:
            async for line in lines:
                writer.write(msgspec.json.encode(line) + b"\n")
                await writer.drain()
    except (ConnectionError, ValueError):  # disconnected, or a line longer than the limit
        pass
    except asyncio.CancelledError:
        writer.transport.abort()  # a client that does not read must not delay the shutdown
        raise
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _responses(request: bytes, handlers: Mapping[str, RequestHandler]) -> AsyncGenerator[Line, None]:
    try:
        asked: object = json.loads(request)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        yield {"error": "a request is one JSON object in one line"}
        return
    line = cast(Line, asked)
    handler = handlers.get(str(line.get("ask")))
    if handler is None:
        yield {"error": f"unknown ask {line.get('ask')!r}; known: {', '.join(handlers)}"}
        return
    try:
        async for part in handler(line):
            yield part
    except YinongError as error:
        yield {"error": str(error)}
    except Exception as error:
        log.exception("ask %s failed", line.get("ask"))
        yield {"error": f"监测程序出错 / the daemon failed: {type(error).__name__}: {error}"[:300]}


def send_request(path: Path, request: Line, timeout_s: float | None = None) -> Iterator[Line]:
    """Send a request to the daemon; yield the lines of its answer. Raises NoDaemon, and YinongError if it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        try:
            sock.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise NoDaemon(str(path)) from error
        except PermissionError as error:
            raise YinongError(
                f"没有权限访问 {path}：请用 sudo，或加入 yinong 组 / no permission for {path}: use sudo, or join the group yinong"
            ) from error
        except OSError as error:
            raise YinongError(f"{path}: {error}") from error
        try:
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as lines:
                for line in lines:
                    yield cast(Line, json.loads(line))
        except TimeoutError as error:
            raise YinongError("监测程序没有回应 / the running daemon does not answer") from error
        except (OSError, ValueError) as error:  # it ended within its answer
            raise YinongError(f"监测程序中断了回应 / the running daemon broke off its answer: {error}") from error
