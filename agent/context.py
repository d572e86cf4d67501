"""What every part of the daemon needs: settings, secrets, clock, and who this run is."""

import os
from pathlib import Path
from typing import NamedTuple

from agent.configuration.secret_files import Secrets
from agent.configuration.settings import Settings
from common.clock import Clock
from common.version import VERSION


class Context(NamedTuple):
    """Made once a run. `root`: where /proc, /sys and /dev are looked for; `run_id`: 8 hex digits, on every message of the run."""

    settings: Settings
    secrets: Secrets
    clock: Clock
    root: Path
    run_id: str
    version: str

    @classmethod
    def of_run(cls, settings: Settings, secrets: Secrets, clock: Clock, root: Path = Path("/")) -> "Context":
        """The context of a new run of this program."""
        return cls(settings, secrets, clock, root, os.urandom(4).hex(), VERSION)
