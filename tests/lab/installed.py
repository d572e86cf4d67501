"""The agent, installed in a parked station by the same script as on a terminal, and frozen there."""

from pathlib import Path

from lab import look
from lab.machine import Frozen, Machine
from lab.parked import frozen_after, parked, put, run
from lab.places import CHECKOUT, key_of, say
from lab.wheels import project_wheel

SOURCE = "/srv/yinong-agent"  # where the lab unpacks the files that an installer brings to a terminal
# A clone's kernel has the boot id of the parked machine; where the lab has written another one, the service of a clone sees that
# (the sandbox has its own /proc, so it is bound over there). In /run: a station that really boots does not have it.
BOOT_ID = "/run/lab.boot-id"
_DROP_IN = "/run/systemd/system/yinong-agent.service.d/lab-boot-id.conf"
_OTHER_BOOT_ID = f"[Service]\nBindReadOnlyPaths=-{BOOT_ID}:/proc/sys/kernel/random/boot_id\n"
# The key of its parcels, which a terminal creates at its first start: three seconds of processor time on an emulated one.
_KEY_MADE = """
    install -d -o yinong -g yinong -m 700 /var/lib/yinong-agent
    setpriv --reuid yinong --regid yinong --init-groups /opt/yinong-agent/bin/python -I -m agent.host.keys \\
        '{"outbox": "/var/lib/yinong-agent/outbox.db", "digest": null}' >/dev/null
"""
PACKAGE = "/opt/yinong-agent/lib/python3.11/site-packages/agent"  # where it is installed


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
        put(machine, _DROP_IN, _OTHER_BOOT_ID.encode())
        words = run(machine, f"{SOURCE}/systemd/install.sh --no-start {carried_as(wheel)} /opt/wheelhouse", 300)
        for line in words.splitlines():
            say("   ", line)
        put(machine, look.PROGRAM_AT, look.PROGRAM.encode())
        run(machine, f"{look.AS_THE_SERVICE}\n{_KEY_MADE}", 60)

    done_to_it = (_OTHER_BOOT_ID, look.PROGRAM, look.AS_THE_SERVICE, _KEY_MADE)
    key = key_of([wheel.name, wheel.parent.name, *carried[1:], *done_to_it])
    return frozen_after(parked(), key, install, what="install the agent in the parked station")


def carried_as(file: Path) -> str:
    """The path of a file of the installer in the station."""
    inside = file.relative_to(CHECKOUT) if file.is_relative_to(CHECKOUT) and ".cache" not in file.parts else file.name
    return f"{SOURCE}/{inside}"
