"""Run by systemd after the agent has ended (`ExecStopPost=`): stores what systemd knows of that end for the next start.

A separate program with almost no imports: how a run ended cannot be written by the run itself.
"""

import json
import os
from pathlib import Path

FILE = "last-exit.json"


def main() -> int:
    """Write the note into $STATE_DIRECTORY; return the exit status."""
    folder = os.environ.get("STATE_DIRECTORY")
    if not folder:
        return 1
    variables = ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS", "INVOCATION_ID")
    note = {name.lower(): os.environ.get(name, "") for name in variables}
    file = Path(folder) / FILE
    new = file.with_suffix(".new")
    new.write_text(json.dumps(note), "utf-8")
    new.replace(file)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
