"""A station and its county on this machine, at which one thing is broken while a gun scans.

    serial gun (a pseudo-terminal that hears its BEL) -> yinong-agent run -> mosquitto -> yinong-center record

What the officer was told is what counts: a scan is acknowledged when the gun is sent BEL, which the agent does after the
commit. In the end every acknowledged scan must be in the recorder's store, once, as it was scanned.
"""

import os
import select
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from support.broker import Broker
from support.daemon import Daemon, Gun, Recorder, until

BEL = b"\a"
PACE_S = 0.05  # 20 scans a second: faster than any hand
BACK_WITHIN_S = 150
QUICK = "keepalive_s = 10\nacknowledge_timeout_s = 5"  # a line that hangs is given up sooner than at a station


class Counts(NamedTuple):
    """What became of the scans."""

    scanned: int
    acknowledged: int  # the gun was told, after the commit
    arrived: int  # different ones in the recorder's store
    lost: int  # acknowledged, and not there
    twice: int
    wrong: int  # there, and never scanned so
    back_s: float  # from the end of the fault until the county had receipted everything

    @property
    def good(self) -> bool:
        return self.acknowledged > 0 and not (self.lost or self.twice or self.wrong)


class Scene:
    """Broker, recorder, daemon and gun; scan, break what you like, then `count`."""

    def __init__(self, folder: Path, outbox_folder: Path | None = None) -> None:
        self.broker = Broker(folder)
        self.gun = Gun()
        self.folder = folder
        table = f'{self.gun.table}acknowledge = "bel"\n'
        self.daemon = Daemon(folder, self.broker.port, tables=table, broker=QUICK, outbox_folder=outbox_folder)
        self._texts: list[str] = []
        self._told: list[str] = []
        self._open: deque[str] = deque()  # scanned in this run of the daemon and not acknowledged yet
        self._turn = threading.Lock()  # between two scans

    def __enter__(self) -> "Scene":
        self.broker.start()
        self.start_recorder()
        self.start_agent()
        self.daemon.until_connected()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.daemon.__exit__(kind, error, at)
        self.recorder.process.end(signal.SIGKILL)
        self.broker.kill()
        self.gun.__exit__(kind, error, at)

    # the officer

    def scan(self, count: int) -> None:
        """So many new codes, one after the other."""
        for _ in range(count):
            with self._turn:
                text = f"69{len(self._texts) + 1:011d}"
                self._texts.append(text)
                self._open.append(text)
                self.gun.scan(text)
            time.sleep(PACE_S)

    @contextmanager
    def scanning(self) -> Generator[None]:
        """The officer goes on scanning meanwhile."""
        enough = threading.Event()

        def go_on() -> None:
            while not enough.is_set():
                self.scan(1)

        officer = threading.Thread(target=go_on, daemon=True)
        officer.start()
        try:
            yield
        finally:
            enough.set()
            officer.join(10)

    def told(self) -> int:
        """How many scans are acknowledged by now: the agent tells of them in their order."""
        while select.select([self.gun.master], [], [], 0)[0]:
            for _ in range(os.read(self.gun.master, 1024).count(BEL)):
                self._told.append(self._open.popleft())
        return len(self._told)

    def hears(self, count: int, timeout_s: float = 60) -> None:
        """Until so many scans are acknowledged."""
        until(lambda: self.told() >= count, lambda: f"{self.told()} of {count} acknowledged\n{self._logs()}", timeout_s)

    # what can be broken

    def start_agent(self) -> None:
        """Until it has the gun open. What was scanned while nobody read it is nobody's."""
        self.gun.reset()
        self._open.clear()
        self.daemon.start()
        self.gun.wait_until_opened()

    def kill_agent(self) -> None:
        """SIGKILL between two scans; what it had not acknowledged by then it never will."""
        with self._turn:
            self.daemon.kill()
            self.told()
            self._open.clear()

    def gives_the_line_up(self) -> None:
        """Until the agent has noticed that nothing comes back."""
        until(lambda: not self.daemon.request(ask="status")["link"]["up"], self._logs, 60)

    def start_recorder(self) -> None:
        self.recorder = Recorder(self.folder, self.broker.port)
        self.recorder.__enter__()

    def restart_recorder_with(self, store: Path) -> None:
        """Stopped, given this file for its store, started again."""
        self.recorder.process.end(signal.SIGTERM)
        for suffix in ("-wal", "-shm"):
            self.recorder.file.with_name(self.recorder.file.name + suffix).unlink(missing_ok=True)
        store.replace(self.recorder.file)
        self.start_recorder()

    # the end

    def receipted(self) -> None:
        """Until the county has everything that waits."""
        until(lambda: self.daemon.depth()["waiting"] == 0, self._logs, BACK_WITHIN_S)

    def count(self) -> Counts:
        """Once the county has everything: what was acknowledged against what the store holds."""
        began = time.monotonic()
        self.receipted()
        back_s = time.monotonic() - began
        self.told()
        stored = Counter(self.recorder.texts())
        return Counts(
            scanned=len(self._texts), acknowledged=len(self._told), arrived=len(stored),
            lost=len([text for text in self._told if text not in stored]),
            twice=sum(times - 1 for times in stored.values()), wrong=len(stored.keys() - set(self._texts)),
            back_s=back_s,
        )  # fmt: skip

    def _logs(self) -> str:
        return f"agent:\n{self.daemon.process.log[-2000:]}\nrecorder:\n{self.recorder.process.log[-1000:]}"
