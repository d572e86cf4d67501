"""Power cuts by the hundred: python tests/lab/power_cuts.py [--cycles 300] [--results FILE]

Series of 18 cuts of clones and 2 whole reboots (`--reboots`), each with a county, a disk and a seed of its own. A line of JSON
a series is added to the results; what is there already is counted, so that a run can be interrupted and gone on with. The
table is of the whole file. Exit code 0: nothing lost, twice or wrong in it; 1: something is.

  --synchronous-normal   the installed program is edited: it has to lose something
  --lying-disk           a disk that says of a flush at once that it is done: what is not promised
  --seed SEED            one series of that seed
  --table                only the table of what the results hold
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab.agent import NAME, PASSWORD
from lab.county import County
from lab.grounds import OutboxDisk, RootDisk, with_normal_synchronous
from lab.installed import installed
from lab.machine import Frozen
from lab.places import CACHE, CHECKOUT, LabError, remove_stale, say
from lab.power import Ground, Mains

OF_CLONES = 18
HONEST = "FULL"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--results", type=Path, default=CACHE / "power-cuts.jsonl")
    parser.add_argument("--seed")
    parser.add_argument("--reboots", type=int, default=2)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--synchronous-normal", dest="how", action="store_const", const="NORMAL", default=HONEST)
    how.add_argument("--lying-disk", dest="how", action="store_const", const="FULL, a disk that lies")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args(arguments)
    if not options.table:
        remove_stale()
        frozen = installed()
        while (left := options.cycles - _counted(options.results, options.how)) > 0:
            seed = options.seed or f"{random.SystemRandom().randrange(1 << 32):08x}"
            _write(
                options.results,
                _series(_clones(frozen, options.how), "clones", seed, min(left, OF_CLONES), options.how),
            )
            if options.how == HONEST and options.reboots and left > OF_CLONES:
                reboots = min(left - OF_CLONES, options.reboots)
                _write(options.results, _series(RootDisk(frozen), "whole reboots", seed, reboots, options.how))
            if options.seed:
                break
    return _table(options.results)


def _clones(frozen: Frozen, how: str) -> OutboxDisk:
    if how == "NORMAL":
        return OutboxDisk(frozen, changed=with_normal_synchronous)
    return OutboxDisk(frozen, lies=how != HONEST)


def _series(ground: Ground, name: str, seed: str, cycles: int, how: str) -> dict[str, Any]:
    """One county, one disk; a station that does not start without help ends the series and is counted."""
    needs_help = ""
    with tempfile.TemporaryDirectory() as folder, County(Path(folder), {NAME: PASSWORD}) as county:
        mains = Mains(ground, county, seed)
        try:
            for _ in range(cycles):
                say(mains.cycle())
                if how == HONEST and not mains.findings.all_is_well:
                    break
            else:
                mains.close() if how == HONEST else mains.look()
        except LabError as error:
            needs_help = str(error)
    findings = mains.findings
    record = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": _commit(), "seed": seed, "how": how, "ground": name,
        "cuts": [{**cut._asdict(), "fall": cut.fall._asdict(), "disk": cut.disk._asdict()} for cut in mains.cuts],
        "lost": sorted(findings.lost), "twice": sorted(findings.twice), "wrong": findings.wrong, "needs_help": needs_help,
    }  # fmt: skip
    say(
        f"series {seed} of {name}: {', '.join(f'{word} {record[word]}' for word in ('lost', 'twice', 'wrong', 'needs_help'))}"
    )
    return record


def _counted(results: Path, how: str) -> int:
    return sum(len(record["cuts"]) for record in _read(results) if record["how"] == how)


def _read(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text("utf-8").splitlines()] if results.exists() else []


def _write(results: Path, record: dict[str, Any]) -> None:
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()


def _table(results: Path) -> int:
    """Print the results as Markdown; return the exit code."""
    records = _read(results)
    print(
        "| synchronous | ground | cuts, of these in the start | scans shown | lost | twice | wrong | needed help"
        " | ready s: median, longest | flushes | sectors unflushed, lost | commits |"
    )
    print("|" + "---|" * 12)
    for how, ground in sorted({(record["how"], record["ground"]) for record in records}):
        print(_line(how, ground, [r for r in records if (r["how"], r["ground"]) == (how, ground)]))
    return int(any(r[word] for r in records if r["how"] == HONEST for word in ("lost", "twice", "wrong", "needs_help")))


def _line(how: str, ground: str, records: list[dict[str, Any]]) -> str:
    cuts = [cut for record in records for cut in record["cuts"]]
    ready_s = [cut["ready_s"] for cut in cuts if cut["ready_s"] is not None] or [0.0]
    unflushed, kept = (sum(cut["disk"][word] for cut in cuts) for word in ("unflushed", "kept"))
    cells = [
        how, ground, f"{len(cuts)}, {sum(cut['ready_s'] is None for cut in cuts)}", sum(cut["shown"] for cut in cuts),
        *(sum(len(record[word]) for record in records) for word in ("lost", "twice", "wrong")),
        sum(bool(record["needs_help"]) for record in records), f"{median(ready_s):.1f}, {max(ready_s):.1f}",
        sum(cut["disk"]["flushes"] for cut in cuts), f"{unflushed}, {unflushed - kept}",
        " ".join(sorted({record["commit"] for record in records})),
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
