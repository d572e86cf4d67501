"""Run by systemd when the agent has ended (`ExecStopPost=`): keeps what systemd knows of that end for the next start.

A program of its own that loads next to nothing: how a run ended cannot be written by the run itself.
"""

import json
import os
from pathlib import Path

FILE = "last-exit.json"


def main() -> int:
    """Writes the note into $STATE_DIRECTORY; the exit status."""
    folder = os.environ.get("STATE_DIRECTORY")
    if not folder:
        return 1
    given = ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS", "INVOCATION_ID")
    note = {name.lower(): os.environ.get(name, "") for name in given}
    file = Path(folder) / FILE
    new = file.with_suffix(".new")
    new.write_text(json.dumps(note), "utf-8")
    new.replace(file)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
