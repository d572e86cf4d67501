"""The daemon as it runs on a terminal: the real command in a process of its own, its socket, its file, a gun on a pty.

    with Daemon(tmp_path, broker.port, tables=gun.table) as daemon:
        gun.wait_until_opened()
        gun.scan("6901234567892")

and the county's recorder, the real command as well.
"""

import contextlib
import os
import pty
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import jsonschema
import msgspec
from support.mqtt_county import County

from agent.control.socket import NoDaemon, send_request
from common.messages import type_of

NAME = "450225-GXBRS0001B-1"
COMMANDS = Path(sys.executable).parent
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# or verdicts depend on the hour
ALWAYS_OPEN = "[opening_hours]\n" + "".join(f'{day} = ["00:00-24:00"]\n' for day in DAYS)
TERMINAL = '[[device]]\nclass = "terminal"\nid = "main"\nstate_folder = ""\n'


class Process:
    """A command of ours under test: its output in a file, ended by its own pid."""

    def __init__(self, arguments: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self.log_file = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(arguments, stdout=out, stderr=out, env={**os.environ, **environment})

    @property
    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def end(self, how: signal.Signals, timeout_s: float = 20) -> int:
        """Send the signal; gives the exit code."""
        if self.running:
            self._process.send_signal(how)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 20) -> int:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
            raise AssertionError(f"did not end in {timeout_s} s:\n{self.log}") from None


class Daemon:
    """One terminal: its folder stays, its daemon comes and goes."""

    def __init__(
        self, folder: Path, port: int, *, tables: str = TERMINAL, sections: str = "", broker: str = "",
        environment: Mapping[str, str] | None = None, outbox_folder: Path | None = None, hardware: Path | None = None,
    ) -> None:  # fmt: skip
        """`hardware`: a folder that the daemon sees as /sys, in a mount namespace of its own."""
        self._hardware = hardware
        self.folder = folder / "terminal"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config, self.socket = self.folder / "agent.toml", self.folder / "agent.sock"
        self.outbox_file = (outbox_folder or self.folder) / "outbox.db"
        self.environment = dict(environment or {})
        self._process: Process | None = None
        self.config.write_text(
            f'[station]\ndivision = "450225"\nnumber = "桂BRS0001B"\n'
            f'[broker]\nhost = "127.0.0.1"\nport = {port}\ntls = false\nreconnect_cap_s = 1\n{broker}\n'
            f'{ALWAYS_OPEN}[delivery]\nbacklog_kbit_s = 20000\n[outbox]\npath = "{self.outbox_file}"\n{sections}\n{tables}\n',
            "utf-8",
        )

    def __enter__(self) -> "Daemon":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None and self._process.running:
            self._process.end(signal.SIGKILL)

    @property
    def process(self) -> Process:
        assert self._process is not None, "never started"
        return self._process

    def start(self) -> None:
        """Returns when it answers over its socket."""
        self.launch()
        until(lambda: self._answers(), lambda: self.process.log, 20)

    def launch(self) -> Process:
        arguments = [str(COMMANDS / "yinong-agent"), "run", "--config", str(self.config), "--socket", str(self.socket)]
        if self._hardware:
            inside = f'mount --bind "{self._hardware}" /sys && exec "$0" "$@"'
            arguments = ["unshare", "--mount", "sh", "-c", inside, *arguments]
        self._process = Process(arguments, self.folder / "log", self.environment)
        return self._process

    def stop(self) -> int:
        """A clean stop, as systemd does it; gives the exit code."""
        return self.process.end(signal.SIGTERM)

    def kill(self) -> None:
        self.process.end(signal.SIGKILL)

    def asked(self, **request: Any) -> dict[str, Any]:
        """The answer over the socket."""
        for line in send_request(self.socket, request, 20):
            if "error" in line:
                raise AssertionError(line["error"])
            if "answer" in line:
                return line["answer"]
        raise AssertionError("broke off")

    def depth(self) -> dict[str, Any]:
        return self.asked(ask="outbox")

    def device(self, key: str) -> dict[str, Any]:
        """What the board says of a device; waits until it was looked at."""

        def looked() -> dict[str, Any] | None:
            found = [d for d in self.asked(ask="status")["devices"] if f"{d['class']}/{d['id']}" == key]
            assert found, f"no {key}"
            return found[0] if found[0]["reason"] != "not_looked_at" else None

        return until(looked, lambda: f"{key} is not looked at\n{self.process.log}")

    def until_connected(self) -> None:
        until(lambda: self.asked(ask="status")["link"]["up"], lambda: self.process.log)

    def rows(self, leaf: str) -> list[dict[str, Any]]:
        """Rows of its file, in order, receipted or not: read beside the daemon, as the disk has them."""
        with contextlib.closing(sqlite3.connect(self.outbox_file, timeout=20)) as db:
            found = db.execute("SELECT body FROM entry WHERE leaf = ? ORDER BY id", (leaf,)).fetchall()
        return [msgspec.json.decode(body) for (body,) in found]

    def count(self, leaf: str) -> int:
        """How many rows of that leaf its file has."""
        with contextlib.closing(sqlite3.connect(self.outbox_file, timeout=20)) as db:
            return db.execute("SELECT count(*) FROM entry WHERE leaf = ?", (leaf,)).fetchone()[0]

    def _answers(self) -> bool:
        assert self.process.running, f"it ended:\n{self.process.log}"
        try:
            self.asked(ask="outbox")
        except (NoDaemon, ConnectionError):
            return False
        return True


class Recorder:
    """`yinong-center record` beside a broker; its store is read as SQLite."""

    def __init__(self, folder: Path, port: int) -> None:
        self.file = folder / "center.db"
        arguments = [str(COMMANDS / "yinong-center"), "record", "--broker", f"127.0.0.1:{port}"]
        self.process = Process([*arguments, "--store", f"sqlite:///{self.file}"], folder / "recorder.log", {})

    def __enter__(self) -> "Recorder":
        until(lambda: "connected, the session" in self.process.log, lambda: self.process.log)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.end(signal.SIGTERM)

    def rows(self, leaf: str) -> list[dict[str, Any]]:
        """In the order of the station's numbers."""
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=20)) as db:
            found = db.execute("SELECT body FROM entry WHERE leaf = ? ORDER BY outbox, seq", (leaf,)).fetchall()
        return [msgspec.json.decode(body) for (body,) in found]

    def texts(self) -> list[str]:
        return [capture["text"] for capture in self.rows("scan")]

    def keys(self) -> list[str]:
        """That terminals told for their parcels."""
        return [key for (key,) in self._asked("SELECT key FROM export_key ORDER BY first_told")]

    def count(self, table: str) -> int:
        return self._asked(f"SELECT count(*) FROM {table}")[0][0]

    def _asked(self, query: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=20)) as db:
            return db.execute(query).fetchall()


class Gun:
    """A serial gun on a pseudo-terminal: what is written to the master is what the gun sends."""

    def __init__(self, id: str = "main") -> None:
        self.master, self._line = pty.openpty()
        self.port = os.ttyname(self._line)
        self.table = f'[[device]]\nclass = "scan_gun"\nid = "{id}"\nport = "{self.port}"\nsuffix = "cr"\n'

    def __enter__(self) -> "Gun":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self.master)
        os.close(self._line)

    def forget(self) -> None:
        """As an unopened line is: so that the next opening can be waited for; what nobody has read is gone."""
        termios.tcflush(self._line, termios.TCIFLUSH)
        modes = termios.tcgetattr(self._line)
        modes[3] |= termios.ICANON
        termios.tcsetattr(self._line, termios.TCSANOW, modes)

    def wait_until_opened(self) -> None:
        until(lambda: not termios.tcgetattr(self._line)[tty.LFLAG] & termios.ICANON, lambda: f"{self.port} not opened")

    def send(self, data: bytes) -> None:
        os.write(self.master, data)

    def scan(self, text: str) -> None:
        self.send(text.encode() + b"\r")


class SystemdSocket:
    """What systemd would hear of sd_notify(3)."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def __enter__(self) -> "SystemdSocket":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def count(self, assignment: str) -> int:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard += self._socket.recv(4096).decode().split("\n")
        return self.heard.count(assignment)


def until(fits: Callable[[], Any], otherwise: Callable[[], str], timeout_s: float = 20) -> Any:
    """Wait for a condition; gives what it gave, fails with what `otherwise` says."""
    end = time.monotonic() + timeout_s
    while not (found := fits()):
        assert time.monotonic() < end, otherwise()
        time.sleep(0.02)
    return found


def keeps_the_contract(county: County) -> None:
    """Every message of a terminal that was heard: strictly decoded, by its JSON Schema, and without any other field."""
    assert county.heard
    for heard in county.heard:
        if heard.leaf == "receipt" or heard.leaf.startswith("command/"):
            continue
        kind = type_of(heard.leaf)
        assert kind is not None, f"the contract has no topic {heard.leaf}"
        given = heard.json
        jsonschema.validate(given, msgspec.json.schema(kind), cls=jsonschema.Draft202012Validator)
        message = msgspec.json.decode(heard.payload, type=kind, strict=True)
        assert given.keys() <= msgspec.to_builtins(message).keys(), f"{heard.leaf}: {given}"
