"""The daemon as on a terminal: the real command in its own process, with its socket, its outbox file and a gun on a pty.

    with Daemon(tmp_path, broker.port, tables=gun.table) as daemon:
        gun.wait_until_opened()
        gun.scan("6901234567892")

and the county's recorder, also the real command.
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
# so that verdicts do not depend on the hour
ALWAYS_OPEN = "[opening_hours]\n" + "".join(f'{day} = ["00:00-24:00"]\n' for day in DAYS)
TERMINAL = '[[device]]\nclass = "terminal"\nid = "main"\nstate_folder = ""\n'


class Process:
    """One of our commands under test: its output goes to a file, it is ended by its own pid."""

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
        """Send the signal; return the exit code."""
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
    """One terminal: its folder stays, its daemon can be started and stopped."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        tables: str = TERMINAL,
        sections: str = "",
        broker: str = "",
        environment: Mapping[str, str] | None = None,
        outbox_folder: Path | None = None,
        hardware: Path | None = None,
    ) -> None:
        """`hardware`: a folder that the daemon sees as /sys, in its own mount namespace."""
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
        """Start and wait until it answers over its socket."""
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
        """A clean stop, as systemd does it; return the exit code."""
        return self.process.end(signal.SIGTERM)

    def kill(self) -> None:
        self.process.end(signal.SIGKILL)

    def request(self, **request: Any) -> dict[str, Any]:
        """The answer over the socket."""
        for line in send_request(self.socket, request, 20):
            if "error" in line:
                raise AssertionError(line["error"])
            if "answer" in line:
                return line["answer"]
        raise AssertionError("broke off")

    def depth(self) -> dict[str, Any]:
        return self.request(ask="outbox")

    def device(self, key: str) -> dict[str, Any]:
        """The state of a device; waits until it was polled."""

        def polled() -> dict[str, Any] | None:
            found = [d for d in self.request(ask="status")["devices"] if f"{d['class']}/{d['id']}" == key]
            assert found, f"no {key}"
            return found[0] if found[0]["reason"] != "not_looked_at" else None

        return until(polled, lambda: f"{key} was not polled\n{self.process.log}")

    def until_connected(self) -> None:
        until(lambda: self.request(ask="status")["link"]["up"], lambda: self.process.log)

    def rows(self, leaf: str) -> list[dict[str, Any]]:
        """All rows of its outbox file in order, receipted or not, read directly from the file while the daemon runs."""
        with contextlib.closing(sqlite3.connect(self.outbox_file, timeout=20)) as db:
            found = db.execute("SELECT body FROM entry WHERE leaf = ? ORDER BY id", (leaf,)).fetchall()
        return [msgspec.json.decode(body) for (body,) in found]

    def count(self, leaf: str) -> int:
        """The number of rows of that topic in its outbox file."""
        with contextlib.closing(sqlite3.connect(self.outbox_file, timeout=20)) as db:
            return db.execute("SELECT count(*) FROM entry WHERE leaf = ?", (leaf,)).fetchone()[0]

    def _answers(self) -> bool:
        assert self.process.running, f"it ended:\n{self.process.log}"
        try:
            self.request(ask="outbox")
        except (NoDaemon, ConnectionError):
            return False
        return True


class Recorder:
    """`yinong-center record` at a broker; its store is read as SQLite."""

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
        """Rows in the order of the station's sequence numbers."""
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=20)) as db:
            found = db.execute("SELECT body FROM entry WHERE leaf = ? ORDER BY outbox, seq", (leaf,)).fetchall()
        return [msgspec.json.decode(body) for (body,) in found]

    def texts(self) -> list[str]:
        return [capture["text"] for capture in self.rows("scan")]

    def keys(self) -> list[str]:
        """The public keys that terminals have reported for their parcels."""
        return [key for (key,) in self._query("SELECT key FROM export_key ORDER BY first_told")]

    def count(self, table: str) -> int:
        return self._query(f"SELECT count(*) FROM {table}")[0][0]

    def _query(self, query: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=20)) as db:
            return db.execute(query).fetchall()


class Gun:
    """A serial gun on a pseudo-terminal: the gun sends what is written to the master."""

    def __init__(self, id: str = "main") -> None:
        self.master, self._line = pty.openpty()
        self.port = os.ttyname(self._line)
        self.table = f'[[device]]\nclass = "scan_gun"\nid = "{id}"\nport = "{self.port}"\nsuffix = "cr"\n'

    def __enter__(self) -> "Gun":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self.master)
        os.close(self._line)

    def reset(self) -> None:
        """Reset the line to the unopened state, so that the next opening can be waited for; unread data is discarded."""
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
    """The socket at which systemd would receive sd_notify(3)."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)
        self.received: list[str] = []

    def __enter__(self) -> "SystemdSocket":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def count(self, assignment: str) -> int:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.received += self._socket.recv(4096).decode().split("\n")
        return self.received.count(assignment)


def until(condition: Callable[[], Any], otherwise: Callable[[], str], timeout_s: float = 20) -> Any:
    """Wait for a condition and return its value; fail with the text of `otherwise`."""
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, otherwise()
        time.sleep(0.02)
    return found


def keeps_the_contract(county: County) -> None:
    """Assert that every received message of a terminal decodes strictly, satisfies its JSON Schema and has no other field."""
    assert county.received
    for message in county.received:
        if message.leaf == "receipt" or message.leaf.startswith("command/"):
            continue
        kind = type_of(message.leaf)
        assert kind is not None, f"the contract has no topic {message.leaf}"
        body = message.json
        jsonschema.validate(body, msgspec.json.schema(kind), cls=jsonschema.Draft202012Validator)
        decoded = msgspec.json.decode(message.payload, type=kind, strict=True)
        assert body.keys() <= msgspec.to_builtins(decoded).keys(), f"{message.leaf}: {body}"
