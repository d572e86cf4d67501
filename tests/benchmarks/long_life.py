"""What a month does to the daemon: memory, descriptors, threads, tasks, the outbox's file, flash, the log.

The daemon's own parts in compressed time (`tests/support/compressed.py`) live through days that are all alike: scans, losses of
the broker (stopped, killed, down for two hours), a screen that goes off and on, requests at the control socket (some leave
before the answer), invalid messages. At each mark the line is up and nothing waits.

  blocks        that Python has allocated, after a collection: a leak shows here first, and nothing else moves it
  file          outbox.db with its WAL; rows: in it, receipted and waiting
  flash         bytes written in the last whole day, as the daemon meters itself (its log included)
  log           lines since the beginning
"""

import argparse
import asyncio
import contextlib
import json
import logging
import random
import sys
import tempfile
from pathlib import Path

from stage import Broker, parser, print_machine, print_table

from agent.host.log import RateLimitedHandler

from support.compressed import CompressedStation, Footprint  # isort: skip  (found below tests/, which `stage` puts on the path)

MINUTES = 1440


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--days", type=float, default=30)
    arguments.add_argument("--marks", type=int, default=0, help="in all (default: one a day)")
    arguments.add_argument("--scans", type=int, default=120, help="a day")
    arguments.add_argument("--losses", type=int, default=12, help="of the broker, a day")
    arguments.add_argument("--archive-days", type=int, default=5)
    arguments.add_argument(
        "--flap", type=int, default=0, help="seconds between two turns of a screen whose plug is loose"
    )
    arguments.add_argument("--flash-budget", type=int, default=30, help="MB a day")
    arguments.add_argument(
        "--dead", action="store_true", help="the broker is down all the time, and comes back at the end"
    )
    arguments.add_argument("--unsynced", action="store_true", help="the clock is never synchronised")
    arguments.add_argument("--max-mb", type=int, default=512)
    arguments.add_argument("--json", action="store_true", help="the marks as JSON lines, and nothing else")
    options = arguments.parse_args()
    if not options.json:
        print_machine()
    with tempfile.TemporaryDirectory(prefix="yinong-life-") as folder, Broker(Path(folder)) as broker:
        marks = asyncio.run(_live(Path(folder), broker, options))
    if not options.json:
        print_table(Footprint._fields, [[f"{v:.1f}" if isinstance(v, float) else v for v in mark] for mark in marks])
    return 0


async def _live(folder: Path, broker: Broker, options: argparse.Namespace) -> list[Footprint]:
    rng = random.Random(20261125)
    marks: list[Footprint] = []
    lines = _Lines()
    every = int(options.days * MINUTES / (options.marks or options.days))
    async with CompressedStation(
        folder,
        broker,
        archive_days=options.archive_days,
        max_mb=options.max_mb,
        flash_budget_mb=options.flash_budget,
        quality="unsynced" if options.unsynced else "synced",
    ) as life:
        logging.basicConfig(level="INFO", handlers=[RateLimitedHandler(life.clock.mono_ms, lines)], force=True)
        if options.dead:
            broker.kill()
            await life.until(life.runtime.uplink.link.down.is_set)
        minute = 0
        while minute < options.days * MINUTES:
            before = minute
            minute += await _a_minute(life, rng, options)
            if minute // every > before // every:
                marks.append(await life.footprint(lines.count, drained=not options.dead))
                _print(marks[-1], options.json)
        if options.dead:
            await life.broker_back()
            marks.append(await life.footprint(lines.count))
            _print(marks[-1], options.json)
    assert life.county.scans == life.scanned, f"{life.scanned} were scanned, the county has {life.county.scans}"
    return marks


def _print(mark: Footprint, as_json: bool) -> None:
    if as_json:
        print(json.dumps(mark._asdict()), flush=True)
    else:
        print(f"day {mark.day:.1f}", flush=True, file=sys.stderr)


async def _a_minute(life: CompressedStation, rng: random.Random, options: argparse.Namespace) -> int:
    """One minute of an ordinary day, or the time that a loss of the broker took; return the minutes."""

    def happens(times_a_day: float) -> bool:
        return rng.random() < times_a_day / MINUTES

    if not options.dead and happens(options.losses):
        minutes = 120 if rng.random() < 0.1 else 1
        await life.lose_broker(minutes, killed=rng.random() < 0.5)
        return minutes
    if happens(options.scans):
        await life.scan()
    if happens(8):
        await life.turn_screen()
    if happens(24):
        await life.ask(rng.choice(("status", "check", "outbox", "scans")), leave=rng.random() < 0.2)
    if happens(24) and not options.dead:
        await life.bad_message(rng.randrange(1000))
    for _ in range(60 // options.flap if options.flap else 0):
        await life.turn_screen(then_s=options.flap)
    await life.pass_s(60 % options.flap if options.flap else 60)
    return 1


class _Lines(logging.Handler):
    """How many lines the daemon's log would have."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
