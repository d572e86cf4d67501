"""The county, on this machine's loopback: the real mosquitto with the shipped rules, the real recorder, and what it has stored.

A station reaches it at 10.0.2.2. Both are processes of their own that are stopped, killed and started again.
"""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.places import CHECKOUT, DIES_WITH_US, LabError
from support.broker import Broker

HOST = "10.0.2.2"  # this machine, as seen by a station in QEMU's user network


class County:
    """Broker and recorder, running. `with County(folder, users) as county:`"""

    def __init__(self, folder: Path, terminals: dict[str, str]) -> None:
        self.folder = folder
        self.broker = Broker(folder, secured=True, starter=DIES_WITH_US)
        self.store = folder / "center.db"
        self._recorder: subprocess.Popen[bytes] | None = None
        for name, password in {**terminals, "recorder": "lab-recorder"}.items():
            self.broker.add_user(name, password)
        secret = folder / "recorder-password"
        secret.touch(0o600)
        secret.write_text("lab-recorder")
        (folder / "center.toml").write_text(
            f'[broker]\nhost = "{self.broker.host}"\nport = {self.broker.port}\nusername = "recorder"\n'
            f'password_file = "{secret}"\n[store]\nurl = "sqlite:///{self.store}"\n'
        )

    def __enter__(self) -> "County":
        self.broker.start()
        self.start_recorder()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop_recorder()
        self.broker.kill()

    def start_recorder(self) -> None:
        """Return once its store is created, which happens before it connects."""
        command = [*DIES_WITH_US, sys.executable, "-c", "from center.cli.app import main; main()"]
        with (self.folder / "recorder.log").open("ab") as log:
            self._recorder = subprocess.Popen(
                [*command, "record", "--config", self.folder / "center.toml"],
                cwd=CHECKOUT,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self._until(self._has_a_store, "the recorder's store", 60)

    def stop_recorder(self) -> None:
        if self._recorder:
            self._recorder.terminate()
            try:
                self._recorder.wait(15)
            except subprocess.TimeoutExpired:
                self._recorder.kill()
                self._recorder.wait()
        self._recorder = None

    # what the county knows

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """A query of the recorder's store (center/store/schema.py)."""
        with sqlite3.connect(f"file:{self.store}?mode=ro", uri=True) as connection:
            found = connection.execute(query, values).fetchall()
        connection.close()
        return found

    def messages(self, kind: str) -> list[dict[str, Any]]:
        """Receipted messages of a kind (`device`, `standard`, `journal`, `scan`), in the order of their numbers."""
        return [
            json.loads(body)
            for (body,) in self.rows("select body from entry where kind = ? order by outbox, seq", kind)
        ]

    def captures(self) -> list[str]:
        return [each["text"] for each in self.messages("scan")]

    def conditions(self, device_class: str) -> list[tuple[str, str]]:
        """Condition and reason of each reading of that class, in order."""
        return [(m["condition"], m["reason"]) for m in self.messages("device") if m["class"] == device_class]

    def condition(self, device_class: str) -> str:
        """The last one; empty if none has arrived."""
        return (self.conditions(device_class) or [("", "")])[-1][0]

    def verdict(self, item: str) -> str:
        """The items of the standard as last reported; empty if none has arrived."""
        reported = self.messages("standard")
        return {each["item"]: each["verdict"] for each in reported[-1]["items"]}.get(item, "") if reported else ""

    def events(self) -> list[str]:
        return [each["event"] for each in self.messages("journal")]

    def waits_for(self, what: str, condition: Callable[[], Any], *, timeout_s: float = 90) -> None:
        """Errors: LabError with what the county has received by then."""
        self._until(condition, what, timeout_s)

    def _has_a_store(self) -> bool:
        try:
            return bool(self.rows("select 1 from store"))
        except sqlite3.OperationalError:  # no file yet, or no tables in it
            return False

    def _until(self, condition: Callable[[], Any], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            asked = time.monotonic()
            if condition():
                return
            if self._recorder and self._recorder.poll() is not None:
                raise LabError(f"the recorder has ended:\n{(self.folder / 'recorder.log').read_text()[-3000:]}")
            now = time.monotonic()
            if now > deadline:
                raise LabError(f"the county waited {timeout_s} s in vain for {what}; it has\n{self._what_there_is()}")
            time.sleep(max(0.05, 2 * (now - asked)))  # leaves this machine's processors to the stations

    def _what_there_is(self) -> str:
        if not self._has_a_store():
            return "no store"
        found = self.rows(
            "select seq, kind, leaf, substr(cast(body as text), 1, 300) from entry order by id desc limit 15"
        )
        return "\n".join(" ".join(map(str, row)) for row in reversed(found))
