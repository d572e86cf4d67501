"""The command line `yinong-agent`.

`run` goes straight to the daemon, which imports neither typer nor rich; everything else is built in `agent.cli.app`.
"""

import sys


def main() -> None:
    """Entry point of the command `yinong-agent`."""
    if sys.argv[1:2] == ["run"] and "--help" not in sys.argv:
        from agent.daemon import main as run

        sys.exit(run(sys.argv[2:]))
    from agent.cli.app import run_app

    run_app()
