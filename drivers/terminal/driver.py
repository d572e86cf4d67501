"""The terminal: can this computer serve the counter?

    /proc, /sys, statvfs, adjtimex     every look     -> parts: measures, evidence, findings
    systemctl, write + fsync           twice an hour  -> child processes, the result is kept in the evidence
    parts -> the worst finding is the reading's reason, the others are listed in `also`

`faulty`: the terminal cannot serve or record (a disk that cannot be written). `attention`: it will need service soon.
"""

from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from drivers.reading import CannotLook, Evidence, Found, Reading
from drivers.terminal import disks, heat, kernel, mounts, rare, system
from drivers.terminal.kept import CarriedState, as_evidence, carried_state
from drivers.terminal.part import Part, combined, exists, text
from drivers.timesync import kernel_time_sync

Megabytes: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000)]
Folder: TypeAlias = Annotated[str, Meta(pattern=r"^(/[^\x00]*)?$")]


class Terminal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """This machine; all options have a default that fits a small terminal."""

    id: str
    state_folder: Folder = (
        "/var/lib/yinong-agent"  # folder of the records, for free space and the write probe; "" for none
    )
    disk_full_mb: Megabytes = 200
    disk_nearly_full_mb: Megabytes = 1000
    hot_c: Annotated[int, Meta(ge=40, le=120)] = 85
    unsynced_after_s: Annotated[int, Meta(ge=0, le=86400)] = 900
    write_every_s: Annotated[int, Meta(ge=300, le=604800)] = (
        1800  # interval of the write probe: each writes some 8 KiB to flash
    )
    read_only_meant: bool = False  # the root file system is read-only by design (kiosk image)

    async def look(self, root: Path, previous: Reading | None = None) -> Reading:
        """One look. Errors: CannotLook `no_proc` if `/proc` does not exist: the state of this machine is then unknown."""
        uptime_s = kernel.uptime_s(root)
        if uptime_s is None:
            raise CannotLook("no_proc", Evidence("uptime", "/proc/uptime", "not readable"))
        before = carried_state(previous, uptime_s)
        ticks = kernel.ticks(text(root / "proc/stat") or "")
        kept = await self._update_state(root, before, uptime_s, ticks)
        return combined([*self._parts(root, before, kept, ticks), Part(evidence=[as_evidence(kept)])])

    def writing_less(self) -> "Terminal":
        """The same with a write a day: the flash is to be spared."""
        return msgspec.structs.replace(self, write_every_s=max(self.write_every_s, 86400))

    async def _update_state(
        self, root: Path, before: CarriedState, uptime_s: float, ticks: kernel.Ticks | None
    ) -> CarriedState:
        """The counters as they are now, and the results of the rare checks, repeated if they are due."""
        throttles, kills = heat.throttle_count(root), kernel.oom_kills(root)
        kept = CarriedState(
            uptime_s=uptime_s,
            cpu_total=ticks.total if ticks else None,
            cpu_idle=ticks.idle if ticks else None,
            throttles=throttles,
            throttled_at_s=uptime_s if _grew(before.throttles, throttles) else before.throttled_at_s,
            oom_kills=kills,
            oom_at_s=uptime_s if _grew(before.oom_kills, kills) else before.oom_at_s,
            units=before.units,
            units_at_s=before.units_at_s,
            write=before.write,
            write_at_s=before.write_at_s,
        )
        if rare.due(before.units_at_s, uptime_s) and root == Path("/") and exists(Path("/run/systemd/system")):
            kept = msgspec.structs.replace(kept, units=await rare.query_units(), units_at_s=uptime_s)
        folder = root / self.state_folder.lstrip("/")
        if not self.state_folder or not exists(folder):
            return msgspec.structs.replace(kept, write=None, write_at_s=None)
        if rare.write_due(before.write, before.write_at_s, uptime_s, self.write_every_s):
            kept = msgspec.structs.replace(kept, write=await rare.probe_write(folder), write_at_s=uptime_s)
        return kept

    def _parts(self, root: Path, before: CarriedState, kept: CarriedState, ticks: kernel.Ticks | None) -> list[Part]:
        sync = kernel_time_sync() if root == Path("/") else None
        throttled_ago_s = None if kept.throttled_at_s is None else kept.uptime_s - kept.throttled_at_s
        sensors = list(heat.temperatures(root))
        return [
            Part(
                {"uptime_s": int(kept.uptime_s)},
                [Evidence("identity", "/sys/class/dmi/id, os-release", system.identity(root))],
            ),
            kernel.processor(root, ticks, before),
            kernel.memory(root, kept.oom_kills, kept.oom_at_s, kept.uptime_s),
            *self._space(root),
            mounts.writable([f for f in ("/", self.state_folder) if f], mounts.mounts(root), self.read_only_meant),
            rare.write(self.state_folder, kept.write),
            disks.disks(root),
            disks.file_system_errors(root),
            heat.heat(sensors, self.hot_c, kept.throttles, throttled_ago_s),
            system.clock(sync, kept.uptime_s, self.unsynced_after_s),
            rare.units(kept.units),
            kernel.troubles(root),
            system.restart_due(root),
        ]

    def _space(self, root: Path) -> list[Part]:
        """Space of the root file system, and of the state folder if it is on another one."""
        folders = {"root": "/"}
        state = root / self.state_folder.lstrip("/")
        if self.state_folder and exists(state) and state.stat().st_dev != root.stat().st_dev:
            folders["state"] = self.state_folder
        found = {name: mounts.space(root, folder) for name, folder in folders.items()}
        return [
            mounts.fullness(name, space, self.disk_full_mb, self.disk_nearly_full_mb)
            for name, space in found.items()
            if space is not None
        ]


def find(root: Path) -> list[Found]:
    """This terminal: there is exactly one."""
    known = system.identity(root)
    label = " ".join(known[name] for name in ("vendor", "product") if name in known)
    return [
        Found(
            device_class="terminal",
            identity=system.wired_address(root) or "this-terminal",
            label=label or known.get("os") or "Linux",
            options={},
        )
    ]


def _grew(before: int | None, now: int | None) -> bool:
    return before is not None and now is not None and now > before
