"""A station and its county on this machine, of which one part is broken while a gun scans.

    serial gun (a pseudo-terminal that receives BEL) -> yinong-agent run -> mosquitto -> yinong-center record

A scan is acknowledged when BEL is sent to the gun, which the agent does after the commit. In the end every acknowledged scan
must be in the recorder's store, once, as it was scanned.
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
QUICK = "keepalive_s = 10\nacknowledge_timeout_s = 5"  # a hanging line is detected sooner than at a station


class Counts(NamedTuple):
    """The outcome of the scans."""

    scanned: int
    acknowledged: int  # BEL was sent to the gun, after the commit
    arrived: int  # different ones in the recorder's store
    lost: int  # acknowledged, and not in the store
    twice: int
    wrong: int  # in the store, but never scanned
    back_s: float  # from the end of the fault until the county had receipted everything

    @property
    def good(self) -> bool:
        return self.acknowledged > 0 and not (self.lost or self.twice or self.wrong)


class Scene:
    """Broker, recorder, daemon and gun: scan, break any part, then `count`."""

    def __init__(self, folder: Path, outbox_folder: Path | None = None) -> None:
        self.broker = Broker(folder)
        self.gun = Gun()
        self.folder = folder
        table = f'{self.gun.table}acknowledge = "bel"\n'
        self.daemon = Daemon(folder, self.broker.port, tables=table, broker=QUICK, outbox_folder=outbox_folder)
        self._texts: list[str] = []
        self._acknowledged: list[str] = []
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
        """Scan `count` new codes, one after the other."""
        for _ in range(count):
            with self._turn:
                text = f"69{len(self._texts) + 1:011d}"
                self._texts.append(text)
                self._open.append(text)
                self.gun.scan(text)
            time.sleep(PACE_S)

    @contextmanager
    def scanning(self) -> Generator[None]:
        """The officer keeps scanning during the block."""
        stop = threading.Event()

        def keep_scanning() -> None:
            while not stop.is_set():
                self.scan(1)

        officer = threading.Thread(target=keep_scanning, daemon=True)
        officer.start()
        try:
            yield
        finally:
            stop.set()
            officer.join(10)

    def acknowledged(self) -> int:
        """The number of scans acknowledged so far; the agent acknowledges in the order of scanning."""
        while select.select([self.gun.master], [], [], 0)[0]:
            for _ in range(os.read(self.gun.master, 1024).count(BEL)):
                self._acknowledged.append(self._open.popleft())
        return len(self._acknowledged)

    def until_acknowledged(self, count: int, timeout_s: float = 60) -> None:
        """Wait until `count` scans are acknowledged."""
        until(
            lambda: self.acknowledged() >= count,
            lambda: f"{self.acknowledged()} of {count} acknowledged\n{self._logs()}",
            timeout_s,
        )

    # faults

    def start_agent(self) -> None:
        """Start the daemon and wait until it has opened the gun. Scans typed while nobody read the gun are not counted."""
        self.gun.reset()
        self._open.clear()
        self.daemon.start()
        self.gun.wait_until_opened()

    def kill_agent(self) -> None:
        """SIGKILL between two scans; what was not acknowledged by then never will be."""
        with self._turn:
            self.daemon.kill()
            self.acknowledged()
            self._open.clear()

    def until_link_down(self) -> None:
        """Wait until the agent has detected that the link is down."""
        until(lambda: not self.daemon.request(ask="status")["link"]["up"], self._logs, 60)

    def start_recorder(self) -> None:
        self.recorder = Recorder(self.folder, self.broker.port)
        self.recorder.__enter__()

    def restart_recorder_with(self, store: Path) -> None:
        """Stop the recorder, replace its store by this file, start it again."""
        self.recorder.process.end(signal.SIGTERM)
        for suffix in ("-wal", "-shm"):
            self.recorder.file.with_name(self.recorder.file.name + suffix).unlink(missing_ok=True)
        store.replace(self.recorder.file)
        self.start_recorder()

    # result

    def until_receipted(self) -> None:
        """Wait until the county has receipted every row."""
        until(lambda: self.daemon.depth()["waiting"] == 0, self._logs, BACK_WITHIN_S)

    def count(self) -> Counts:
        """Wait until everything is receipted, then compare the acknowledged scans with the store."""
        began = time.monotonic()
        self.until_receipted()
        back_s = time.monotonic() - began
        self.acknowledged()
        stored = Counter(self.recorder.texts())
        return Counts(
            scanned=len(self._texts),
            acknowledged=len(self._acknowledged),
            arrived=len(stored),
            lost=len([text for text in self._acknowledged if text not in stored]),
            twice=sum(times - 1 for times in stored.values()),
            wrong=len(stored.keys() - set(self._texts)),
            back_s=back_s,
        )

    def _logs(self) -> str:
        return f"agent:\n{self.daemon.process.log[-2000:]}\nrecorder:\n{self.recorder.process.log[-1000:]}"
