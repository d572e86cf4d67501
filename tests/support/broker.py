"""A real mosquitto for tests: the shipped configuration, an ephemeral loopback port, files in a folder of the test.

    with Broker(tmp_path) as broker: ...          # broker.host, broker.port; no passwords
    with Broker(tmp_path, secured=True) as broker:
        broker.add_user("recorder", "…")          # the shipped ACL file holds
    with Broker(tmp_path, secured=True, tls=Tls(authority.file, cert, key)) as broker:
        ...                                       # with the county's listener at broker.tls_port, as shipped

`stop` ends it cleanly (it publishes every will), `kill` like a power cut (no will, unsaved data is lost), `restart` starts it
again on the same port with the same files.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

CONFIG = Path(__file__).resolve().parents[2] / "config"
MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


class Tls(NamedTuple):
    """Files of the county's listener; `by_certificate`: terminals authenticate by certificate instead of a password."""

    ca: Path
    cert: Path
    key: Path
    by_certificate: bool = False


class Broker:
    """See the module."""

    host = "127.0.0.1"

    def __init__(
        self,
        folder: Path,
        *,
        secured: bool = False,
        extra: tuple[str, ...] = (),
        tls: Tls | None = None,
        starter: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder / "mosquitto"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.tls_port, self._tls = _free_port(), _free_port(), tls
        self.secured = secured
        self.passwords: dict[str, str] = {}
        self._extra, self._starter = extra, starter
        self._process: subprocess.Popen[bytes] | None = None
        (self.folder / "passwd").touch(0o600)
        (self.folder / "mosquitto.acl").write_text((CONFIG / "mosquitto.acl").read_text("utf-8"), "utf-8")
        (self.folder / "mosquitto.acl").chmod(0o600)
        (self.folder / "mosquitto.conf").write_text(self._configuration(), "utf-8")

    def __enter__(self) -> "Broker":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the broker is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    def start(self, timeout_s: float = 10) -> None:
        """Returns when it accepts connections."""
        assert not self.running
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._starter, MOSQUITTO, "-c", "mosquitto.conf"], cwd=self.folder, stdout=log, stderr=log
            )
        until = time.monotonic() + timeout_s
        while time.monotonic() < until and self.running:
            with contextlib.suppress(OSError):
                for port in (self.port, self.tls_port) if self._tls else (self.port,):
                    socket.create_connection((self.host, port), 1).close()
                return
            time.sleep(0.01)
        raise RuntimeError(f"mosquitto did not start:\n{self.log}")

    def stop(self, timeout_s: float = 10) -> None:
        """A clean stop: every will is published, everything is saved."""
        self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """Like a power cut: no will, and unsaved data is lost."""
        self._end(signal.SIGKILL, 10)

    def restart(self, *, kill: bool = False) -> None:
        self.kill() if kill else self.stop()
        self.start()

    def add_user(self, name: str, password: str) -> None:
        """Add a user; a running broker reads the file again."""
        self.passwords[name] = password
        file = self.folder / "passwd"
        new = file.with_suffix(".new")
        new.write_bytes(file.read_bytes())
        subprocess.run(["mosquitto_passwd", "-b", str(new), name, password], check=True, capture_output=True)
        new.chmod(0o600)
        new.replace(file)  # whole at every moment: the broker may still be reading it for the user before
        if self.running:
            already = self.log.count("Reloading config")
            os.kill(self.pid, signal.SIGHUP)
            until = time.monotonic() + 5
            while self.log.count("Reloading config") == already and time.monotonic() < until:
                time.sleep(0.01)

    def _end(self, how: signal.Signals, timeout_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            raise

    def _configuration(self) -> str:
        shipped = (CONFIG / "mosquitto.conf").read_text("utf-8")
        text = shipped.replace("/var/lib/mosquitto/", f"{self.folder}/").replace(
            "listener 1883 127.0.0.1\nallow_anonymous true", f"listener {self.port} 127.0.0.1\n{self._rules()}"
        )
        assert f"listener {self.port} " in text, "config/mosquitto.conf has another loopback listener than expected"
        if self._tls:
            text = self._with_countys_listener(text, self._tls)
        # As root mosquitto would become the user mosquitto, who may not read a test's folder.
        user = ("user root",) if os.geteuid() == 0 else ()
        return "\n".join((*user, "log_type information", *self._extra, text))

    def _with_countys_listener(self, text: str, tls: Tls) -> str:
        """Remove the `#` of the listener's lines, as the county does (a directive follows it directly), and set its files."""
        before, listener, rest = text.partition("#listener 8883\n")
        assert listener, "config/mosquitto.conf has no commented-out listener of the county"
        lines = [line.removeprefix("#") if line[1:2].isalpha() else line for line in (listener + rest).splitlines()]
        if not tls.by_certificate:
            lines = [
                line
                for line in lines
                if line.split()[:1] not in (["require_certificate"], ["use_identity_as_username"])
            ]
        else:
            lines = [line for line in lines if line.split()[:1] != ["password_file"]]
        text = before + "\n".join(lines) + "\n"
        for shipped, ours in (
            ("listener 8883", f"listener {self.tls_port} 127.0.0.1"),
            ("/etc/mosquitto/yinong/ca.crt", tls.ca),
            ("/etc/mosquitto/yinong/broker.crt", tls.cert),
            ("/etc/mosquitto/yinong/broker.key", tls.key),
            ("/etc/mosquitto/yinong/passwd", self.folder / "passwd"),
            ("/etc/mosquitto/yinong/mosquitto.acl", self.folder / "mosquitto.acl"),
        ):
            text = text.replace(shipped, str(ours))
        return text

    def _rules(self) -> str:
        if not self.secured:
            return "allow_anonymous true"
        return f"allow_anonymous false\npassword_file {self.folder}/passwd\nacl_file {self.folder}/mosquitto.acl"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
