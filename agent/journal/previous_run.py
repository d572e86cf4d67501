"""How the previous run ended, and what stops this one: the evidence from the outbox and from systemd.

state in the outbox   `running` or `stopped`, with boot id and systemd's invocation id
last-exit.json        systemd's record of the exit (agent.journal.exit_note)
/run/yinong-machine   whether the machine shuts down (systemd/yinong-machine.service)
"""

import os
from pathlib import Path

import msgspec

from agent.journal.exit_note import FILE
from common.events import Exit, PreviousEnd, StopOf

MACHINE = "run/yinong-machine"


class Run(msgspec.Struct, frozen=True):
    """A run of the daemon, as stored in the outbox."""

    run: str
    boot: str
    stopped: bool
    version: str
    invocation: str = ""  # systemd's invocation id; empty if systemd did not start it
    stop_of: StopOf = "unknown"


class _Note(msgspec.Struct):
    service_result: str
    exit_code: str
    exit_status: str
    invocation_id: str


def invocation() -> str:
    return os.environ.get("INVOCATION_ID", "")


def exit_of(run: Run | None) -> Exit | None:
    """systemd's record of the exit of exactly that run; None if systemd did not start it, or there is no readable note."""
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
    """`clean`, `crashed` (systemd saw it fail, or the same boot) or `cut` (another boot, and no record of the end).

    A cut is most likely a power cut; a kernel crash and a long press of the power button look the same.
    """
    if run is None:
        return "unknown"
    if run.stopped or (observed_exit and observed_exit.result == "success"):
        return "clean"
    return "crashed" if observed_exit or run.boot == boot else "cut"


def stop_of(root: Path) -> StopOf:
    """Whether the machine shuts down too, or the agent alone is stopped."""
    if (root / MACHINE / "stopping").exists():
        return "machine"
    return "service" if (root / MACHINE / "up").exists() else "unknown"
