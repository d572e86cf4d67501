"""The daemon's unix socket, over real connections."""

import asyncio
import contextlib
import json
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.control.socket import MAX_REQUEST_BYTES, Line, NoDaemon, send_request, serve
from drivers.reading import YinongError

BAD_REQUEST = {"error": "a request is one JSON object in one line"}


async def _greet(asked: Line) -> AsyncIterator[Line]:
    yield {"progress": "…"}
    yield {"answer": {"hello": asked.get("name", "nobody")}}


async def _cannot(_asked: Line) -> AsyncIterator[Line]:
    raise YinongError("没有 / none")
    yield {}


async def _broken(_asked: Line) -> AsyncIterator[Line]:
    raise KeyError("a bug")
    yield {}


class Endless:
    """Answers for ever; counts the listening clients."""

    listening = 0

    async def __call__(self, _asked: Line) -> AsyncIterator[Line]:
        self.listening += 1
        try:
            while True:
                yield {"capture": {}}
                await asyncio.sleep(0.01)
        finally:
            self.listening -= 1


@asynccontextmanager
async def serving(path: Path, endless: Endless | None = None) -> AsyncIterator[None]:
    answerers = {"greet": _greet, "cannot": _cannot, "broken": _broken, "endless": endless or Endless()}
    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve(path, answerers))
        async with asyncio.timeout(10):
            while not path.is_socket():  # noqa: ASYNC110  a file has no event
                await asyncio.sleep(0.01)
        yield
        task.cancel()


async def sent(path: Path, request: bytes, *, eof: bool = False) -> list[dict[str, Any]]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(request)
    if eof:
        writer.write_eof()
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return [json.loads(line) for line in answer.splitlines()]
    return []


async def test_an_answer_ends_with_its_answer_line(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        lines = await sent(tmp_path / "s", b'{"ask": "greet", "name": "\xe9\x9f\xa6"}\n')
    assert lines == [{"progress": "…"}, {"answer": {"hello": "韦"}}]


@pytest.mark.parametrize(
    "request_", [b"\n", b"{\n", b"[]\n", b'"greet"\n', b"\xff\xfe\n", b"null\n", b"[" * 60_000 + b"\n"]
)
async def test_a_malformed_request_gets_an_error_line(tmp_path: Path, request_: bytes) -> None:
    async with serving(tmp_path / "s"):
        assert await sent(tmp_path / "s", request_) == [BAD_REQUEST]
        assert (await sent(tmp_path / "s", b'{"ask": "greet"}\n'))[-1] == {"answer": {"hello": "nobody"}}


async def test_an_unknown_request_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        (line,) = await sent(tmp_path / "s", b'{"ask": "reboot"}\n')
    assert "'reboot'" in line["error"]
    assert "greet" in line["error"]


async def test_a_request_that_is_not_a_string_is_unknown_too(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        assert "unknown ask" in (await sent(tmp_path / "s", b'{"ask": {"a": [1]}}\n'))[0]["error"]
        assert "unknown ask" in (await sent(tmp_path / "s", b"{}\n"))[0]["error"]


async def test_what_cannot_be_done_is_an_error_line(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        assert await sent(tmp_path / "s", b'{"ask": "cannot"}\n') == [{"error": "没有 / none"}]


async def test_a_bug_in_an_answer_is_an_error_line_and_the_others_go_on(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        (line,) = await sent(tmp_path / "s", b'{"ask": "broken"}\n')
        assert "KeyError" in line["error"]
        assert (await sent(tmp_path / "s", b'{"ask": "greet"}\n'))[-1] == {"answer": {"hello": "nobody"}}


async def test_a_request_that_is_too_long_is_not_kept_in_memory(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        lines = await sent(tmp_path / "s", b" " * (MAX_REQUEST_BYTES + 1) + b'{"ask": "greet"}\n')
        assert lines in ([], [BAD_REQUEST])
        assert (await sent(tmp_path / "s", b'{"ask": "greet"}\n'))[-1] == {"answer": {"hello": "nobody"}}


async def test_a_client_that_disconnects_without_a_request_is_dropped(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        _, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.close()
        assert await sent(tmp_path / "s", b"", eof=True) == [BAD_REQUEST]


async def test_a_client_that_disconnects_ends_its_answer(tmp_path: Path) -> None:
    endless = Endless()
    async with serving(tmp_path / "s", endless):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b'{"ask": "endless"}\n')
        await reader.readline()
        assert endless.listening == 1
        writer.close()
        async with asyncio.timeout(10):
            while endless.listening:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_only_the_service_and_its_group_may_send_requests(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660


async def test_a_socket_that_a_killed_daemon_left_behind_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    with pytest.raises(NoDaemon):
        list(send_request(tmp_path / "s", {"ask": "greet"}))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve(tmp_path / "s", {"greet": _greet}))
        await asyncio.sleep(0.05)
        lines = await asyncio.to_thread(lambda: list(send_request(tmp_path / "s", {"ask": "greet"}, 10)))
        task.cancel()
    assert lines[-1] == {"answer": {"hello": "nobody"}}


async def test_stopping_does_not_wait_for_clients_that_stay(tmp_path: Path) -> None:
    async with asyncio.timeout(5):
        async with serving(tmp_path / "s"):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
            writer.write(b'{"ask": "endless"}\n')
            await reader.readline()
            silent = await asyncio.open_unix_connection(tmp_path / "s")
        with contextlib.suppress(ConnectionError):
            await reader.read()  # the answer ends
        assert await silent[0].read() == b""
    for one in (writer, silent[1]):
        one.close()


def test_no_daemon_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NoDaemon):
            list(send_request(path, {"ask": "greet"}))


def test_a_path_that_no_socket_can_have_is_one_of_our_errors(tmp_path: Path) -> None:
    with pytest.raises(YinongError):
        list(send_request(tmp_path / ("x" * 200), {"ask": "greet"}))


def _served_once(path: Path, answer: bytes) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def serve_one() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(answer)

    import threading

    threading.Thread(target=serve_one, daemon=True).start()
    return listening


@pytest.mark.parametrize("answer", [b'{"ans', b"\xff\n", b"{}}\n", b'{"answer"'])
def test_a_daemon_that_dies_in_the_middle_of_a_line_is_one_of_our_errors(tmp_path: Path, answer: bytes) -> None:
    with _served_once(tmp_path / "s", answer), pytest.raises(YinongError):
        list(send_request(tmp_path / "s", {"ask": "greet"}, 5))


def test_a_daemon_that_hangs_is_one_of_our_errors(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        with pytest.raises(YinongError):
            list(send_request(tmp_path / "s", {"ask": "greet"}, 0.1))
