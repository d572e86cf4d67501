"""A county on one machine: 618 simulated stations, one mosquitto, one recorder. `make proof` runs it for ten minutes.

    python tests/benchmarks/fleet.py [--stations 618] [--minutes 10] [--pace 1]

Prints how often the stations connected and why, what was receipted, and what broker, recorder and fleet cost in CPU and
memory. Exit code 1 if a row has no receipt, if a connection was lost that was not simulated, or if the recorder did not store
exactly what the stations committed.
"""

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.broker import Broker
from support.messages_of import command


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--stations", type=int, default=618)
    asked.add_argument("--minutes", type=float, default=10)
    asked.add_argument("--pace", type=float, default=1)
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)) as broker:
        url = f"sqlite:///{folder}/center.db"
        with recorder(broker.address, url, Path(folder) / "recorder.log") as record:
            # The command and its line of figures; in its own process, so that the three costs are separate.
            fleet = subprocess.Popen(
                command(
                    "simulate",
                    "--stations",
                    str(options.stations),
                    "--minutes",
                    str(options.minutes),
                    "--pace",
                    str(options.pace),
                    "--broker",
                    broker.address,
                ),
                stdout=subprocess.PIPE,
                text=True,
            )
            watched = {"mosquitto": broker.pid, "recorder": record.pid, "fleet": fleet.pid}
            last, costs = follow(fleet, {name: psutil.Process(pid) for name, pid in watched.items()})
            code = fleet.wait()
        stored, terminals = stored_in(Path(folder) / "center.db")
        log = (Path(folder) / "recorder.log").read_text("utf-8").strip().splitlines()
    figures = {name: int(value) for name, _, value in (part.partition(" ") for part in last.split(" {")[0].split(", "))}
    faults = [
        *(["rows wait without a receipt"] if code or figures["waiting"] else []),
        *([f"{figures['reconnects']} connections lost that nobody cut"] if figures["reconnects"] else []),
        *([f"{stored} rows stored, {figures['receipted']} receipted"] if stored != figures["receipted"] else []),
        *([f"{terminals} terminals known"] if terminals != options.stations else []),
    ]
    print(f"\nfleet: {last}\nrecorder: {log[-1]}")
    for name, cost in costs.items():
        print(f"{name}: {cost}")
    print(f"stored: {stored} rows of {terminals} terminals; " + ("; ".join(faults) or "every receipt is up to date"))
    return 1 if faults else 0


@contextmanager
def recorder(address: str, url: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A recorder that accepts simulated stations, connected when the block starts; it ends with SIGTERM."""
    arguments = command("record", "--simulated", "--broker", address, "--store", url)
    with log.open("wb") as out, subprocess.Popen(arguments, stderr=out) as process:
        try:
            while "connected" not in log.read_text("utf-8"):
                process.poll()
                assert process.returncode is None, log.read_text("utf-8")
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            process.wait(10)


def follow(fleet: "subprocess.Popen[str]", watched: dict[str, psutil.Process]) -> tuple[str, dict[str, str]]:
    """Print the fleet's lines; return the last one, and what each process had cost by then."""
    last, costs = "", {}
    assert fleet.stdout
    for line in fleet.stdout:
        last = line.strip()
        print(last, flush=True)
        for name, process in watched.items():
            with process.oneshot():
                cpu, memory = process.cpu_times(), process.memory_info()
                costs[name] = f"CPU {cpu.user + cpu.system:.1f} s, RSS {memory.rss / 2**20:.0f} MiB"
    return last, costs


def stored_in(path: Path) -> tuple[int, int]:
    db = sqlite3.connect(path)
    ((rows,),) = db.execute("select count(*) from entry").fetchall()
    ((terminals,),) = db.execute("select count(*) from terminal").fetchall()
    db.close()
    return int(rows), int(terminals)


if __name__ == "__main__":
    sys.exit(main())
