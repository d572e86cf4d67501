"""One part of the look at the terminal, and how the parts are combined to one reading.

A missing file (a container, another kernel, other hardware) means that there is no such evidence; it is never a failure.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from drivers.reading import Condition, Evidence, Reading, Reason, Scalar

# Worst first: the first that was found is the reading's reason. What stops the counter comes before what will stop it.
FAULTS = ("disk_failed", "read_only", "file_system_errors", "write_failed", "disk_full")
NEEDS = (
    "disk_nearly_full", "disk_worn", "kernel_oops", "out_of_memory", "hot", "throttled",
    "crash_recorded", "clock_unsynced", "failed_units", "reboot_due",
)  # fmt: skip
_RANK = {code: rank for rank, code in enumerate((*FAULTS, *NEEDS))}


class Finding(NamedTuple):
    """A fault: its code in `reasons.toml` and the parameters of the sentence."""

    code: str
    params: dict[str, str | int | float]


class Part(msgspec.Struct):
    """The result of one part of the look."""

    measures: dict[str, Scalar] = {}
    evidence: list[Evidence] = []
    findings: list[Finding] = []


def combined(parts: Iterable[Part]) -> Reading:
    """All parts as one reading: the worst finding is the reason, `also` lists the others' codes, the evidence all of them."""
    measures: dict[str, Scalar] = {}
    evidence: list[Evidence] = []
    findings: list[Finding] = []
    for part in parts:
        measures |= part.measures
        evidence += part.evidence
        findings += part.findings
    if not findings:
        reason = Reason("all_well")
        return Reading(condition=Condition.WORKING, reason=reason, measures=measures, evidence=tuple(evidence))
    worst, *others = sorted(findings, key=lambda finding: _RANK[finding.code])
    params = dict(worst.params)
    if others:
        params["also"] = ", ".join(finding.code for finding in others)
        evidence.append(Evidence("also found", raw=[{"code": f.code, "params": f.params} for f in others]))
    return Reading(
        condition=Condition.FAULTY if worst.code in FAULTS else Condition.ATTENTION,
        reason=Reason(worst.code, params),
        measures=measures,
        evidence=tuple(evidence),
    )


def text(path: Path) -> str | None:
    """A small file of the kernel, stripped, at most 1 MB; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace").strip("\0\n ")
    except OSError:
        return None


def exists(path: Path) -> bool:
    """Whether the path exists and is accessible."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def number(path: Path) -> int | None:
    """A file that contains one number (decimal, or hexadecimal after 0x); None if it does not."""
    return as_int(text(path) or "")


def as_int(word: str) -> int | None:
    """`12`, `-3`, `0x0a`; None for anything else, and for values that no counter of the kernel reaches."""
    try:
        value = int(word, 16 if word.lower().startswith("0x") else 10)
    except ValueError:
        return None
    return value if abs(value) < 1 << 53 else None


def as_json(thing: Any) -> Any:
    """A struct as plain dicts and lists: the raw value of evidence."""
    return msgspec.to_builtins(thing)
