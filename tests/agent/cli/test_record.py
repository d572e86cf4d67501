"""`scan --record`: from a gun on a real (pseudo-)terminal to a file that replays."""

import asyncio
import json
import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.output import Terms
from agent.cli.record import record
from agent.cli.scan import replay
from agent.control.socket import serve
from drivers.reading import YinongError

say = Terms("en")
STATION = '[station]\ndivision = "450225"\nnumber = "桂BRS0001B"\n[broker]\nhost = "localhost"\n'


@pytest.fixture
def gun() -> Iterator[tuple[int, str]]:
    """The gun's end of a serial line, and the port."""
    end, port = pty.openpty()
    yield end, os.ttyname(port)
    os.close(end), os.close(port)


def config(tmp_path: Path, *ports: str) -> Path:
    tables = [f'[[device]]\nclass = "scan_gun"\nid = "gun{n}"\nport = "{port}"\n' for n, port in enumerate(ports)]
    file = tmp_path / "agent.toml"
    file.write_text("\n".join([STATION, *tables]), "utf-8")
    return file


def test_a_recording_of_a_real_port_replays_to_the_captures_that_were_shown(gun, tmp_path, capsys):
    end, port = gun
    os.write(end, "桂AB1234".encode("gbk") + b"\r\n6901234567892\r\n")
    file = tmp_path / "gun.jsonl"
    assert record(say, config(tmp_path, port), tmp_path / "none.sock", file, None, 2, as_json=True) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert replay(say, file, "serial") == 0
    replayed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [c["text"] for c in shown] == ["桂AB1234", "6901234567892"]
    assert [c | {"identity": ""} for c in replayed] == [c | {"identity": ""} for c in shown]


def test_a_recording_is_never_overwritten(gun, tmp_path):
    file = tmp_path / "gun.jsonl"
    file.write_text("kept")
    with pytest.raises(YinongError, match="cannot write"):
        record(say, config(tmp_path, gun[1]), tmp_path / "none.sock", file, None, 1, as_json=True)
    assert file.read_text() == "kept"


def test_the_gun_must_be_unambiguous(gun, tmp_path):
    file = tmp_path / "gun.jsonl"
    with pytest.raises(YinongError, match="--gun: gun0, gun1"):
        record(say, config(tmp_path, gun[1], "/dev/other"), tmp_path / "none.sock", file, None, 1, as_json=True)
    with pytest.raises(YinongError, match="no such scan gun"):
        record(say, config(tmp_path), tmp_path / "none.sock", file, None, 1, as_json=True)
    assert not file.exists()


async def test_while_a_daemon_runs_it_reports_who_has_the_gun_and_how_to_stop_it(gun, tmp_path, until):
    async def answer(asked):
        yield {"answer": {}}

    socket, file = tmp_path / "agent.sock", tmp_path / "gun.jsonl"
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve(socket, {"outbox": answer}))
        await until(socket.exists)
        with pytest.raises(YinongError, match="systemctl stop yinong-agent"):
            await asyncio.to_thread(record, say, config(tmp_path, gun[1]), socket, file, None, 1, as_json=True)
        serving.cancel()
    assert not file.exists()
