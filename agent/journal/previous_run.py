"""How the run before this one ended, and what ends this one: the evidence that others than the agent left.

mark in the outbox    `running` or `stopped`, with boot and systemd's id of the run
last-exit.json        what systemd saw of its end (agent.journal.exit_note)
/run/yinong-machine   whether the machine goes down (systemd/yinong-machine.service)
"""

import os
from pathlib import Path

import msgspec

from agent.journal.exit_note import FILE
from common.events import Exit, PreviousEnd, StopOf

MACHINE = "run/yinong-machine"


class Run(msgspec.Struct, frozen=True):
    """A run of the daemon, as its mark in the outbox says."""

    run: str
    boot: str
    stopped: bool
    version: str
    invocation: str = ""  # systemd's id of it; empty where systemd did not start it
    stop_of: StopOf = "unknown"


class _Note(msgspec.Struct):
    service_result: str
    exit_code: str
    exit_status: str
    invocation_id: str


def invocation() -> str:
    return os.environ.get("INVOCATION_ID", "")


def exit_of(run: Run | None) -> Exit | None:
    """What systemd saw of the end of that very run; None where it did not start it, or left no note that can be read."""
    folder = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if not folder or run is None or not run.invocation:
        return None
    try:
        note = msgspec.json.decode((Path(folder) / FILE).read_bytes(), type=_Note)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if note.invocation_id != run.invocation:
        return None
    return Exit(result=note.service_result, code=note.exit_code, status=note.exit_status)


def previous_end(run: Run | None, boot: str, observed_exit: Exit | None) -> PreviousEnd:
    """`clean`, `crashed` (systemd saw it fail, or the same boot) or `cut` (another boot): nobody saw the end.

    A cut is a power cut most likely; a kernel that crashed and a held power button look the same.
    """
    if run is None:
        return "unknown"
    if run.stopped or (observed_exit and observed_exit.result == "success"):
        return "clean"
    return "crashed" if observed_exit or run.boot == boot else "cut"


def stop_of(root: Path) -> StopOf:
    """Whether the machine goes down with the agent, or the agent alone."""
    if (root / MACHINE / "stopping").exists():
        return "machine"
    return "service" if (root / MACHINE / "up").exists() else "unknown"
