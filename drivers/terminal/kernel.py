"""Processor, memory, and the kernel's records of its own faults."""

from pathlib import Path
from typing import NamedTuple

from drivers.reading import Evidence, Scalar
from drivers.terminal.kept import CarriedState
from drivers.terminal.part import Finding, Part, as_int, number, text

_TAINT_OOPS = 1 << 7  # Documentation/admin-guide/tainted-kernels.rst
_TAINT_WARN = 1 << 9
_OOM_LASTS_S = (
    3600  # an event shows in one look only; it must last longer to be confirmed, and for the officer to see it
)


class Ticks(NamedTuple):
    """CPU time of all processors together since boot (`cpu` line of /proc/stat, proc(5))."""

    total: int
    idle: int  # idle and iowait
    cpus: int


def ticks(stat: str) -> Ticks | None:
    """`/proc/stat` to ticks; None if it has no `cpu` line. Guest time is part of user time already."""
    lines = [line.split() for line in stat.splitlines() if line.startswith("cpu")]
    for first, *words in lines:
        numbers = [as_int(word) for word in words[:8]]
        if first == "cpu" and len(numbers) >= 4 and None not in numbers:
            known = [number for number in numbers if number is not None]
            cpus = sum(1 for name, *_ in lines if name != "cpu")
            return Ticks(sum(known), sum(known[3:5]), cpus)
    return None


def busy_percent(now: Ticks, before: CarriedState) -> float | None:
    """Busy share since the previous look; None at the first."""
    if before.cpu_total is None or before.cpu_idle is None or now.total <= before.cpu_total:
        return None
    idle = (now.idle - before.cpu_idle) / (now.total - before.cpu_total)
    return round(100 * min(max(1 - idle, 0), 1), 1)


def processor(root: Path, now: Ticks | None, before: CarriedState) -> Part:
    """Count, load and busy share. A busy terminal is not a finding: it is working."""
    load = (text(root / "proc/loadavg") or "").split()
    measures: dict[str, Scalar] = {}
    if now is not None:
        measures["cpu_count"] = now.cpus
        measures["cpu_busy_percent"] = busy_percent(now, before)
    if load:
        measures["load1"] = _as_float(load[0])
    return Part(measures, [Evidence("processor", "/proc/stat, /proc/loadavg", {"loadavg": " ".join(load)})])


def memory(root: Path, oom_kills: int | None, oom_at_s: float | None, uptime_s: float) -> Part:
    """Total and available in MB (10^6 bytes), and whether the kernel killed a process for lack of memory in the last hour."""
    lines = dict(line.split(":", 1) for line in (text(root / "proc/meminfo") or "").splitlines() if ":" in line)
    measures: dict[str, Scalar] = {}
    for name, field in (("memory_total_mb", "MemTotal"), ("memory_available_mb", "MemAvailable")):
        words = lines.get(field, "").split()
        kib = as_int(words[0]) if words else None
        if kib is not None:
            measures[name] = kib * 1024 // 1_000_000
    findings: list[Finding] = []
    if oom_kills is not None:
        measures["oom_kills"] = oom_kills
    if oom_kills is not None and oom_at_s is not None and uptime_s - oom_at_s < _OOM_LASTS_S:
        findings.append(Finding("out_of_memory", {"oom_kills": oom_kills}))
    return Part(measures, [Evidence("memory", "/proc/meminfo, /proc/vmstat oom_kill", oom_kills)], findings)


def oom_kills(root: Path) -> int | None:
    """Processes killed for lack of memory in this boot; None before Linux 4.13."""
    for line in (text(root / "proc/vmstat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return as_int(value)
    return None


def troubles(root: Path) -> Part:
    """Oops and warning since boot (taint bits), and crashes of earlier boots that pstore kept."""
    taint = number(root / "proc/sys/kernel/tainted")
    findings: list[Finding] = []
    evidence = [Evidence("taint", "/proc/sys/kernel/tainted", taint)]
    if taint is not None and taint & _TAINT_OOPS:
        findings.append(Finding("kernel_oops", {"tainted": taint}))
    measures: dict[str, Scalar] = {}
    if taint is not None:
        measures["kernel_warned"] = bool(taint & _TAINT_WARN)
    try:
        # some boards have console and pmsg records after every boot: only dmesg-* shows a crash
        crashes = sorted(path.name for path in (root / "sys/fs/pstore").iterdir() if path.name.startswith("dmesg-"))
    except PermissionError:
        evidence.append(Evidence("pstore", "/sys/fs/pstore", "no permission"))
    except OSError:
        evidence.append(Evidence("pstore", "/sys/fs/pstore", "not there"))
    else:
        evidence.append(Evidence("pstore", "/sys/fs/pstore", crashes[:5]))
        measures["crash_records"] = len(crashes)
        if crashes:
            findings.append(Finding("crash_recorded", {"records": len(crashes)}))
    return Part(measures, evidence, findings)


def uptime_s(root: Path) -> float | None:
    """Seconds since boot."""
    words = (text(root / "proc/uptime") or "").split()
    return _as_float(words[0]) if words else None


def _as_float(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if 0 <= value < 1e12 else None  # not nan, not inf
