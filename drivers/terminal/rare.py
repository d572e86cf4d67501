"""Checks made only twice an hour because each needs a child process: systemd's units, and a write that reaches the disk."""

import asyncio
import contextlib
import os
from pathlib import Path

from drivers.child import stream_child
from drivers.reading import CannotLook, Evidence
from drivers.terminal.kept import Units
from drivers.terminal.part import Finding, Part, as_json

EVERY_S = 1800  # two children of 20 ms each twice an hour stay below 0.1 CPU seconds an hour
_BUDGET_S = 2.0
# From the child's start; garbage collection of a healthy flash can delay a flush by a second or two.
_WRITE_BUDGET_S = 4.0
# Errors of the disk itself; anything else (no permission) proves nothing about the disk.
_BROKEN = {"EROFS", "EIO", "EUCLEAN", "ENODEV", "ENXIO", "EREMOTEIO", "timed out"}
_FULL = {"ENOSPC", "EDQUOT"}


def due(at_s: float | None, uptime_s: float, every_s: int = EVERY_S) -> bool:
    return at_s is None or uptime_s - at_s >= every_s


async def query_units(systemctl: str = "systemctl", budget_s: float = _BUDGET_S) -> Units | None:
    """systemd's state and the failed units; None if systemctl does not answer."""
    async with asyncio.TaskGroup() as group:
        state = group.create_task(_run(budget_s, systemctl, "is-system-running"))
        failed = group.create_task(_run(budget_s, systemctl, "--failed", "--no-legend", "--plain", "--no-pager"))
    word, lines = state.result(), failed.result()
    if not word or lines is None:
        return None
    return Units(word.split()[0], tuple(line.split()[0] for line in lines.splitlines() if line.strip())[:20])


async def _run(budget_s: float, *command: str) -> str | None:
    """What the command prints (systemctl's exit code repeats the answer: it is not an error); None after the time."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(budget_s):
            out, _ = await process.communicate()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await process.wait()
    return out.decode("utf-8", "replace").strip()


def units(answer: Units | None) -> Part:
    """Failed units; a system that is still starting is not a finding."""
    if answer is None:
        return Part()
    evidence = [Evidence("systemctl --failed, is-system-running", "systemd", as_json(answer))]
    part = Part({"failed_units": len(answer.failed)}, evidence)
    if answer.failed:
        named = ", ".join(answer.failed[:3])
        part.findings.append(Finding("failed_units", {"count": len(answer.failed), "units": named}))
    return part


def write_due(answer: str | None, at_s: float | None, uptime_s: float, every_s: int) -> bool:
    """After an error of the disk the write is repeated at every look: three looks confirm a change, and also its end."""
    return answer in _BROKEN | _FULL or due(at_s, uptime_s, every_s)


async def probe_write(folder: Path, budget_s: float = _WRITE_BUDGET_S) -> str:
    """Write and fsync in the folder: `ok`, the name of the error, `timed out`, or `not asked` (the child got no time)."""
    answers = ["not asked"]
    try:
        await stream_child(
            "drivers.terminal.write_probe",
            {"folder": str(folder)},
            lambda line: answers.append(str(line.get("write"))),
            budget_s,
        )
    except CannotLook:
        return "not asked"
    return "timed out" if answers[-1] == "begun" else answers[-1]


def write(folder: str, answer: str | None) -> Part:
    """What the result of the write shows about the disk."""
    if not folder:
        return Part(evidence=[Evidence("write and fsync", raw="switched off (state_folder is empty)")])
    if answer is None:
        return Part(evidence=[Evidence("write and fsync", folder, "skipped: the folder is not there")])
    part = Part(evidence=[Evidence("write and fsync", folder, answer)])
    if answer in _BROKEN:
        part.findings.append(Finding("write_failed", {"folder": folder, "error": answer}))
    elif answer in _FULL:
        part.findings.append(Finding("disk_full", {"folder": folder, "free_mb": 0, "inodes_free_percent": 0}))
    return part
