"""The agent, installed in a parked station by the same script as on a terminal, and frozen there."""

from pathlib import Path

from lab.machine import Frozen, Machine
from lab.parked import frozen_after, parked, put, run
from lab.places import CHECKOUT, key_of, say
from lab.wheels import project_wheel

SOURCE = "/srv/yinong-agent"  # where the lab unpacks what an installer carries to a terminal
PACKAGE = "/opt/yinong-agent/lib/python3.11/site-packages/agent"  # where it then lies


def installed() -> Frozen:
    """A booted station with the agent of this checkout installed and enabled, not running yet."""
    wheel = project_wheel()
    carried = [
        wheel,
        *(p for name in ("systemd", "config") for p in sorted((CHECKOUT / name).rglob("*")) if p.is_file()),
    ]

    def install(machine: Machine) -> None:
        for file in carried:
            put(machine, carried_as(file), file.read_bytes(), file.stat().st_mode & 0o777)
        words = run(machine, f"{SOURCE}/systemd/install.sh --no-start {carried_as(wheel)} /opt/wheelhouse", 300)
        for line in words.splitlines():
            say("   ", line)

    key = key_of([wheel.name, wheel.parent.name, *carried[1:]])
    return frozen_after(parked(), key, install, what="install the agent in the parked station")


def carried_as(file: Path) -> str:
    """Where a file of the installer lies in the station."""
    inside = file.relative_to(CHECKOUT) if file.is_relative_to(CHECKOUT) and ".cache" not in file.parts else file.name
    return f"{SOURCE}/{inside}"
