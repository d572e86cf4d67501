"""A virtual station: Debian with systemd, the agent's service, and devices that are plugged, pulled and broken.

A test reads as a sentence: `gun.type("6901234567892")`, `printer.shows("paper out")`, `station.power_cut()`.
"""

import base64
import shlex
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from lab.image import image
from lab.machine import Frozen, Machine
from lab.parked import put
from lab.places import LabError
from lab.wire import Hand

PYTHON = "/opt/yinong-agent/bin/python"
# A clock whose battery is dead. systemd moves one that is 15 years past its own build back to that time.
IN_THE_WRONG_YEAR = "2036-05-01T00:00:00"


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


class Station:
    """One virtual station, running. Made by `clone` (a second) or `booted` (the real boot, about 40 s)."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    # commands and files

    @property
    def hand(self) -> Hand:
        return self.machine.hand

    def tried(self, command: str, *, timeout_s: float = 60, stdin: str = "") -> Done:
        """Run a shell line as root, whatever its exit code; 124 if it timed out."""
        return self.later(command, timeout_s=timeout_s, stdin=stdin)()

    def run(self, command: str, *, timeout_s: float = 60, stdin: str = "") -> str:
        """Return the output of the shell line. Errors: LabError with its output if it fails."""
        done = self.tried(command, timeout_s=timeout_s, stdin=stdin)
        if done.code:
            raise LabError(f"exit code {done.code} of {command!r} in the station:\n{done.out}{done.err}")
        return done.out.strip()

    def later(self, command: str, *, timeout_s: float = 60, stdin: str = "") -> Callable[[], Done]:
        """Start it in the background; call the result to wait for the end."""
        hand = self.hand
        ticket = hand.start("run", command=command, timeout_s=timeout_s, stdin=stdin)
        return lambda: Done(**hand.finish(ticket, timeout_s + 20))

    def python(self, program: str, *arguments: str, timeout_s: float = 60, user: str = "root") -> str:
        """Return the output of a Python program in the agent's own environment."""
        who = "" if user == "root" else f"setpriv --reuid {user} --regid {user} --init-groups "
        return self.run(f"{who}{PYTHON} -I - {shlex.join(arguments)}", timeout_s=timeout_s, stdin=program)

    def put(self, path: str, data: bytes | str | Path, mode: int = 0o644) -> None:
        """A file in the station."""
        content = data.read_bytes() if isinstance(data, Path) else data.encode() if isinstance(data, str) else data
        put(self.machine, path, content, mode)

    def get(self, path: str) -> bytes:
        return base64.b64decode(self.hand("get", path=path))

    def wait_for(self, command: str, what: str, *, timeout_s: float = 30) -> str:
        """Wait until the shell line succeeds; return its output. Errors: LabError `waited in vain for ...`.

        Looking takes at most half of the time: an emulated machine that is asked without a pause does nothing else.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            asked = time.monotonic()
            if not (done := self.tried(command)).code:
                return done.out.strip()
            now = time.monotonic()
            if now > deadline:
                raise LabError(f"waited {timeout_s} s in vain for {what}: {command}\n{done.out}{done.err}")
            time.sleep(max(0.05, now - asked))

    def settle(self) -> None:
        """Wait until udev has processed all events."""
        self.hand("udev.settle")

    def press(self, key: str) -> None:
        """A person presses a key of the terminal's own keyboard (QEMU's name for it, such as `caps_lock`)."""
        self.machine.qmp("send-key", keys=[{"type": "qcode", "data": key}])

    # power and time

    def power_cut(self) -> None:
        """Power cut. Gadgets, background commands and all memory are gone; the disk keeps what was flushed."""
        self.machine.power_cut()

    def power_on(self, *, clock: str = "utc") -> None:
        """Power on: a real boot from the disk; `clock` is the time of the battery-backed clock."""
        self.machine.boot(clock=clock)
        self.hand("clock.true", unix_s=time.time())

    def wait_until_up(self) -> None:
        """Wait until systemd has finished booting; polling it would slow it down."""
        self.tried("systemctl is-system-running --wait", timeout_s=150)

    def sleep(self, seconds: float) -> None:
        """Suspend to RAM for this time, as by closing a lid, and wake as by a key; return when it is awake."""
        self.hand.start("run", command="systemctl suspend", timeout_s=60, stdin="")
        self.machine.sleep(seconds)

    def set_clock(self, moment: datetime) -> None:
        """Set the wall clock by hand; the kernel still reports it as not synchronised."""
        self.hand("clock.set", unix_s=moment.timestamp())

    def clock_error_s(self) -> float:
        """How far the station's wall clock is ahead of the correct time."""
        return self.hand("clock.read")["wall_s"] - time.time()

    def time_server_answers(self, *, timeout_s: float = 60) -> None:
        """systemd-timesyncd queries the lab's time server, sets the clock and marks it in the kernel as synchronised."""
        self.run(
            "cd /etc/systemd && mkdir -p timesyncd.conf.d && printf '[Time]\\nNTP=ntp.example\\n' > timesyncd.conf.d/lab.conf"
            " && systemctl restart systemd-timesyncd"
        )
        self.wait_for(
            "timedatectl show -p NTPSynchronized | grep -q yes", "the clock to be synchronised", timeout_s=timeout_s
        )

    # the disk

    @contextmanager
    def full_disk(self, *, leaving_kb: int = 0) -> Generator[None]:
        """A file takes all the space that users other than root may use, except this much; it is removed at the end."""
        self.run(f"free=$(df --output=avail -k / | tail -1); fallocate -l $((free - {leaving_kb}))K /ballast; sync")
        try:
            yield
        finally:
            self.run("rm -f /ballast; sync")

    def end(self) -> None:
        """End the machine; only its console log stays."""
        self.machine.power_cut()
        for name in ("disk.qcow2", "qmp", "hand", "console", "vnc"):
            (self.machine.folder / name).unlink(missing_ok=True)


def clone(frozen: Frozen, name: str = "station", *, stands_on: Path | None = None, processors: int = 1) -> Station:
    """A running copy of a frozen station, with the correct time.

    Its disk is its own; or, with `stands_on`, that of the NBD server there, which begins as a copy of the frozen one.
    With two `processors` things can happen in it at the same moment.
    """
    machine = Machine(name, image(), processors=processors)
    station = Station(machine)
    try:
        machine.stand_on(stands_on) if stands_on else machine.lay_over(frozen.disk)
        machine.thaw(frozen)
        now = time.time()
        station.hand("clock.set", unix_s=now)
        station.hand("clock.true", unix_s=now)
        if processors == 2:
            station.run("echo 1 > /sys/devices/system/cpu/cpu1/online")
    except BaseException:
        station.end()
        raise
    return station


def booted(frozen: Frozen, name: str = "station", *, clock: str = "utc") -> Station:
    """The frozen station's disk, booted from power-off."""
    station = Station(Machine(name, image()))
    try:
        station.machine.lay_over(frozen.disk)
        station.power_on(clock=clock)
    except BaseException:
        station.end()
        raise
    return station


def forget(station: Station) -> None:
    """End it and remove its folder."""
    station.machine.forget()
