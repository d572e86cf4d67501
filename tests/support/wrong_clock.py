"""The daemon with a clock that a test sets while it runs: `python wrong_clock.py FILE --config …`.

FILE holds as JSON the offset of the wall clock in seconds and whether the kernel reports it as synchronised.
"""

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

from agent.daemon import main
from common.clock import SystemClock
from drivers.timesync import TimeSync

FILE = Path(sys.argv[1])


def _read() -> tuple[float, bool]:
    offset_s, synced = json.loads(FILE.read_text())
    return offset_s, synced


def wall() -> datetime:
    return datetime.now().astimezone() + timedelta(seconds=_read()[0])


def sync() -> TimeSync:
    return TimeSync(0, 0) if _read()[1] else TimeSync(5, 0x40)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[2:], SystemClock(wall=wall, sync=sync)))
