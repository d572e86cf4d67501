"""Identity of the machine and its system, whether the clock is synchronised, and whether a restart is due."""

import os
import re
from pathlib import Path

from drivers.reading import Evidence
from drivers.terminal.part import Finding, Part, exists, number, text
from drivers.timesync import TimeSync

# What boards report if their maker set no name.
_PLACEHOLDERS = frozenset(
    {"", "to be filled by o.e.m.", "default string", "system manufacturer", "system product name", "o.e.m."}
)


def identity(root: Path) -> dict[str, str]:
    """Vendor, product (DMI, or the device tree on ARM boards), architecture, kernel, system; only what is known."""
    dmi = root / "sys/class/dmi/id"
    release = os_release(text(root / "etc/os-release") or text(root / "usr/lib/os-release") or "")
    arch = text(root / "proc/sys/kernel/arch") or (os.uname().machine if root == Path("/") else None)
    found = {
        "vendor": text(dmi / "sys_vendor"),
        "product": text(dmi / "product_name") or text(root / "proc/device-tree/model"),
        "architecture": arch,
        "kernel": text(root / "proc/sys/kernel/osrelease"),
        "os": release.get("PRETTY_NAME"),
    }
    return {name: value[:100] for name, value in found.items() if value and value.lower() not in _PLACEHOLDERS}


def os_release(lines: str) -> dict[str, str]:
    """os-release(5): KEY=value, optionally quoted."""
    pairs = (line.partition("=") for line in lines.splitlines() if not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs if value}


def wired_address(root: Path) -> str | None:
    """The permanent address of the first hardware network adapter: distinguishes two terminals of one model."""
    for adapter in sorted((root / "sys/class/net").glob("*")):
        if exists(adapter / "device") and number(adapter / "addr_assign_type") == 0:  # NET_ADDR_PERM
            return text(adapter / "address")
    return None


def clock(sync: TimeSync | None, uptime_s: float, unsynced_after_s: int) -> Part:
    """Whether the clock is synchronised; no finding before `unsynced_after_s`: a time server's first answer takes minutes."""
    if sync is None:
        return Part()
    part = Part({"clock_synced": sync.synced}, [Evidence("adjtimex", raw={"state": sync.state, "status": sync.status})])
    if not sync.synced and uptime_s >= unsynced_after_s:
        part.findings.append(Finding("clock_unsynced", {}))
    return part


def restart_due(root: Path) -> Part:
    """Debian's reboot-required file, or a newer kernel of the running one's flavour in /boot."""
    marked = exists(root / "run/reboot-required")
    running = text(root / "proc/sys/kernel/osrelease") or ""
    newest = newest_kernel([path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*")], running)
    raw = {"reboot-required": marked, "running": running, "newest": newest}
    part = Part(evidence=[Evidence("restart due", "/run/reboot-required, /boot/vmlinuz-*", raw)])
    if marked or newest != running:
        part.findings.append(Finding("reboot_due", {"newest": newest or "?", "running": running}))
    return part


def newest_kernel(installed: list[str], running: str) -> str:
    """The newest of the running kernel's flavour (`6.1.0-25-amd64` is of flavour `amd64`), or the running one."""
    flavour = _flavour(running)
    return max((running, *(name for name in installed if _flavour(name) == flavour)), key=_version)


def _flavour(name: str) -> str:
    return re.sub(r"^[0-9.+~-]*", "", name)


def _version(name: str) -> tuple[int, ...]:
    numbers = name.removesuffix(_flavour(name))
    return tuple(int(digits) for digits in re.findall(r"\d{1,9}", numbers))
