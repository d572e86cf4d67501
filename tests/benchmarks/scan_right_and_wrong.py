"""The same 1,000 scans read by the agent and by a model of the closest existing tool's approach, and counted.

The guns are three pipes that carry struct input_event, typed at --report-ms a report, to both at once. Ours is the daemon's path
from the reader's thread to the committed row; the model (`scan_sides.py`, from a description, not the tool itself) decodes key
names with one reader that all guns share and keeps a queue in memory. Afterwards both are killed (SIGKILL) in the middle of more
scans. A pipe holds more than the kernel's ring: overflow is not tested here, except by the kind of that name.

Key event to committed is counted from the write of the Enter's report to the line that reports the committed capture, over the
kinds that are typed one after the other and end with Enter; of the model: to the line out of its memory.

  right     the text as it was printed        damaged   reported, and marked as incomplete
  wrong     a text that nobody printed        missing   neither
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evdev import ecodes as e
from scan_mix import DROPPED, FULL, Scan, mix, typed
from scan_sides import GUNS
from stage import end, environment, parser, percentile, print_machine, print_table

from agent.outbox.opening import read_only
from drivers.scan_gun.sources.evdev import EVENT
from drivers.scan_gun.sources.reader import boottime_ms

PAUSE_S = 0.02
LINES_PAUSE_S = 0.4  # of the gun that reads labels of several lines
SILENCE_S = 3.0  # then nothing more arrives
READY_S = 0.3  # between two tries whether both read
ONE_BY_ONE = ("EAN-13", "GS1 with GS by Ctrl+]", "Chinese by Alt codes", "a held Shift", "left and right Shift at once")
LAST = 60  # scans that are typed while both are killed


class Side:
    """One reader as a process, and its reports."""

    def __init__(self, name: str, *arguments: str, masked: bool) -> None:
        pipes = [os.pipe() for _ in GUNS]
        self.guns = dict(zip(GUNS, (write for _, write in pipes), strict=True))
        self._masked = masked
        reads = [read for read, _ in pipes]
        script = str(Path(__file__).with_name("scan_sides.py"))
        self.process = subprocess.Popen(
            [sys.executable, script, name, *arguments, *map(str, reads)],
            pass_fds=reads,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for read in reads:
            os.close(read)
        self.reported: list[tuple[str, bool]] = []
        self.reported_s: dict[str, float] = {}
        self.last_s = time.monotonic()
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()

    def report(self, gun: str, events: Sequence[tuple[int, int, int]]) -> None:
        seconds, ms = divmod(boottime_ms(), 1000)
        wanted = [one for one in events if not (self._masked and one[0] == e.EV_MSC)]
        os.write(self.guns[gun], b"".join(EVENT.pack(seconds, ms * 1000, *one) for one in wanted))

    def hold(self) -> None:
        assert self.process.stdin
        self.process.stdin.write(b"hold\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        end(self.process, signal.SIGKILL)
        self._hearing.join()

    def _hear(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.last_s = time.monotonic()
            report = json.loads(line)
            self.reported.append((report["text"], report["damaged"]))
            self.reported_s.setdefault(report["text"], self.last_s)


class Typing:
    """Reports to both sides at a gun's pace."""

    def __init__(self, sides: Sequence[Side], report_s: float) -> None:
        self._sides, self._report_s = sides, report_s
        self._next_s = time.monotonic()
        self.entered_s: dict[str, float] = {}  # when the report was written that ends a scan

    def at_once(self, gun: str, scans: Sequence[Scan]) -> None:
        """They wait in the ring, and one read returns them."""
        for side in self._sides:
            side.report(gun, [one[1:] for scan in scans for one in scan.events])
        self.pause(PAUSE_S)

    def scan(self, gun: str, scan: Scan) -> None:
        self.interleaved({gun: scan})

    def interleaved(self, scans: dict[str, Scan]) -> None:
        reports = {gun: _reports(scan) for gun, scan in scans.items()}
        for at in range(max(map(len, reports.values()))):
            for gun, ones in reports.items():
                if at == len(ones) - 2:  # Enter goes down; its way up comes last
                    self.entered_s[scans[gun].text] = time.monotonic()
                if at < len(ones):
                    for side in self._sides:
                        side.report(gun, ones[at])
            self.pause(self._report_s)

    def pause(self, seconds: float) -> None:
        self._next_s = max(self._next_s + seconds, time.monotonic() - 0.05)
        time.sleep(max(0.0, self._next_s - time.monotonic()))


def _reports(scan: Scan) -> list[list[tuple[int, int, int]]]:
    found: list[list[tuple[int, int, int]]] = [[]]
    for _, kind, code, value in scan.events:
        found[-1].append((kind, code, value))
        if kind == e.EV_SYN:
            found.append([])
    return [one for one in found if one]


def type_kind(kind: str, scans: list[Scan], typing: Typing, sides: Sequence[Side]) -> None:
    if kind.startswith("two guns"):
        for left, right in zip(scans[::2], scans[1::2], strict=True):
            typing.interleaved({"left": left, "right": right})
            typing.pause(PAUSE_S)
    elif kind.startswith("three"):
        for at in range(0, len(scans), 3):
            typing.at_once("left", scans[at : at + 3])
    else:
        if kind.startswith("consumer"):
            for side in sides:
                side.hold()
        lines = kind.startswith("seed")
        for scan in scans:
            typing.scan("seed" if lines else "left", scan)
            typing.pause(LINES_PAUSE_S if lines else PAUSE_S)
    ended_s = time.monotonic()
    while time.monotonic() - max(ended_s, *(side.last_s for side in sides)) < SILENCE_S:
        time.sleep(0.1)


def counted(scans: list[Scan], reported: list[tuple[str, bool]]) -> tuple[int, int, int, int]:
    """Right, wrong, marked damaged, missing."""
    good = Counter(text for text, damaged in reported if not damaged)
    right = (good & Counter(scan.text for scan in scans)).total()
    damaged = sum(damaged for _, damaged in reported)
    return right, good.total() - right, damaged, max(0, len(scans) - right - damaged)


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--scans", type=int, default=FULL, help=f"(default {FULL})")
    arguments.add_argument("--report-ms", type=float, default=1.5, help="between two reports of a gun (default 1.5)")
    options = arguments.parse_args()
    if not 50 <= options.scans <= 100_000 or not 0 <= options.report_ms <= 100:
        arguments.error("--scans 50 to 100000, --report-ms 0 to 100")
    print_machine()
    with tempfile.TemporaryDirectory(prefix="yinong-bench-") as folder:
        sides = [Side("ours", folder, masked=True), Side("model", masked=False)]
        try:
            _run(sides, mix(options.scans), options.report_ms / 1000, Path(folder))
        finally:
            for side in sides:
                side.kill()
    return 0


def _show_latency(typing: Typing, sides: list[Side], scans: list[Scan]) -> None:
    rows: list[tuple[object, ...]] = []
    for name, side in zip(("ours, committed", "model, in memory"), sides, strict=True):
        took = [
            (side.reported_s[one.text] - typing.entered_s[one.text]) * 1000
            for one in scans
            if one.text in side.reported_s
        ]
        rows.append((name, len(took), *(f"{percentile(took, p):.2f}" if took else "-" for p in (50, 99, 100))))
    print_table(("key event -> (ms)", "scans", "p50", "p99", "most"), rows)


def _wait_until_read(sides: list[Side], typing: Typing) -> None:
    """Type with each gun until both sides report it; these scans are not counted."""
    for gun in GUNS:
        seen = [len(side.reported) for side in sides]
        while any(len(side.reported) == before for side, before in zip(sides, seen, strict=True)):
            typing.scan(gun, typed(f"{gun} READY {time.monotonic_ns()}"))
            time.sleep(READY_S)
    time.sleep(SILENCE_S)


def _run(sides: list[Side], scans: dict[str, list[Scan]], report_s: float, folder: Path) -> None:
    typing = Typing(sides, report_s)
    _wait_until_read(sides, typing)
    rows: list[list[tuple[object, ...]]] = [[], []]
    for kind, ones in scans.items():
        before = [len(side.reported) for side in sides]
        type_kind(kind, ones, typing, sides)
        for table, side, at in zip(rows, sides, before, strict=True):
            table.append((kind, len(ones), *counted(ones, side.reported[at:])))
        print(f"  {kind}: {len(ones)} typed", flush=True)
    _show_latency(typing, sides, [one for kind in ONE_BY_ONE for one in scans[kind]])
    for name, table in zip(("ours", "model of the approach"), rows, strict=True):
        table.append(("together", *(sum(int(str(row[n])) for row in table) for n in range(1, 6))))
        print_table((name, "typed", "right", "wrong", "damaged", "missing"), table)
    print(f"(SYN_DROPPED: {DROPPED} events of each such scan were lost to both)")
    for number in range(LAST):
        typing.scan("right", typed(f"KILL{number:05}"))
    for side in sides:
        side.kill()
    with read_only(folder / "outbox.db") as box:
        kept = sum(row.leaf == "scan" for row in box.waiting(0, 10**6))
    print_table(
        ("after kill -9", "reported before", "still there"),
        [("ours", len(sides[0].reported), kept), ("model", len(sides[1].reported), 0)],
    )


if __name__ == "__main__":
    sys.exit(main())
