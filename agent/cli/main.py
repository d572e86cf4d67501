"""Entry point of the command line `yinong-agent`.

`run` starts the daemon directly, which imports neither typer nor rich; all other commands are in `agent.cli.app`.
"""

import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["run"] and "--help" not in sys.argv:
        from agent.daemon import main as run

        sys.exit(run(sys.argv[2:]))
    from agent.cli.app import run_app

    run_app()
