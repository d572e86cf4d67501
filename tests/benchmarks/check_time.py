"""How long a person waits for `yinong-agent check --json`: without a daemon, and through the running one.

Wall time from exec to exit, --runs times each, compared with `python -c pass`, the lower bound of a Python program. Modules are
compiled beforehand, as after an installation. No device of this machine hangs, and nothing is measured on the line.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from stage import BIN, Stage, environment, parser, print_machine, print_table, staged, wait_for


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--runs", type=int, default=7, help="of each command (default 7)")
    options = arguments.parse_args()
    if not 1 <= options.runs <= 1000:
        arguments.error("--runs 1 to 1000")
    print_machine()
    with staged() as stage:
        stage.agent(stage.broker.port)
        wait_for("the daemon's socket", stage.socket.exists)
        check = [*stage.agent_command("check"), "--json", "--socket"]
        rows = [
            ("python -c pass", *_timed([str(BIN / "python"), "-c", "pass"], options.runs), ""),
            ("check, no daemon", *_timed([*check, str(stage.folder / "no.sock")], options.runs), "about 3 s"),
            ("check, by the daemon", *_timed([*check, str(stage.socket)], options.runs), "about 3 s"),
        ]
        _print_devices(stage, check)
    print_table(("wall time (s)", "first", "median", "least", "most", "wanted"), rows)
    return 0


def _timed(command: Sequence[str], runs: int) -> tuple[str, str, str, str]:
    """First, median, minimum, maximum."""
    took: list[float] = []
    for _ in range(runs):
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, env=environment(), timeout=120, check=False)
        took.append(time.monotonic() - began)
        if "check" in command:
            json.loads(done.stdout)  # a command that failed is not timed as if it had worked
    return (f"{took[0]:.2f}", f"{statistics.median(took):.2f}", f"{min(took):.2f}", f"{max(took):.2f}")


def _print_devices(stage: Stage, check: list[str]) -> None:
    done = subprocess.run([*check, str(stage.socket)], capture_output=True, env=environment(), timeout=120, check=False)
    devices = json.loads(done.stdout)["devices"]
    print("looked at:", ", ".join(f"{one['class']} {one['condition']}" for one in devices))


if __name__ == "__main__":
    sys.exit(main())
