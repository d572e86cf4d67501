"""Machines that were booted once and frozen, each from the previous one: their clones run within a second."""

import base64
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from lab.image import image
from lab.keys import BOOT_KEYBOARD
from lab.machine import Frozen, Machine
from lab.places import CACHE, LAB, LabError, key_of, made
from lab.usb import HONEYWELL_KEYBOARD, attributes

# Modules and programs that every clone would otherwise load at the speed of emulation.
_WARM_UP = """
    until systemctl is-system-running | grep -Eq 'running|degraded'; do sleep 0.3; done
    modprobe -a vivid snd-dummy snd-aloop sch_netem sch_tbf usblp ftdi_sio usbserial
    /opt/yinong-agent/bin/python -c 'import evdev, serial, psutil, pyudev, paho.mqtt.client, msgspec, sqlite3, asyncio, ssl'
    /opt/yinong-agent/bin/python -c 'import typer, rich'
    for tool in v4l2-ctl aplay arecord lpstat ipptool; do $tool --help >/dev/null 2>&1 || true; done
    udevadm settle
    echo 0 > /sys/devices/system/cpu/cpu1/online
"""
_PIECE = 1 << 20  # of a file on its way into the machine
# The path of the cache is part of the key: the frozen disks refer to one another by path.
_KEY = [str(CACHE), _WARM_UP, LAB / "machine.py"]


def parked() -> Frozen:
    """A booted station without the agent."""
    base = image()

    def park(folder: Path) -> None:
        machine = Machine("parking", base, processors=2)
        try:
            machine.lay_over(base.disk)
            machine.boot(ram=folder / "ram")
            keyboard = attributes(protocol=1, subclass=1, report_length=8, report_desc=BOOT_KEYBOARD)
            ids = HONEYWELL_KEYBOARD._asdict()
            machine.hand("usb.create", name="warm", function="hid", ids=ids, attributes=keyboard, port=None)
            run(machine, _WARM_UP, 240)
            machine.hand("usb.remove", name="warm")
            _freeze(machine, folder)
            machine.forget()
        finally:
            machine.power_cut()

    return _frozen(made("parked", key_of([base.key, *_KEY]), park, what="boot the station once and park it"))


def frozen_after(before: Frozen, key: str, change: Callable[[Machine], None], *, what: str) -> Frozen:
    """The frozen machine `before` with a change applied, frozen again."""

    def go_on(folder: Path) -> None:
        machine = Machine("changing", image())
        try:
            subprocess.run(["cp", "--sparse=always", before.ram, folder / "ram"], check=True)
            machine.lay_over(before.disk)
            machine.thaw(before, ram=folder / "ram")
            change(machine)
            _freeze(machine, folder)
            machine.forget()
        finally:
            machine.power_cut()

    return _frozen(made("installed", key_of([str(before.ram), key]), go_on, what=what))


def run(machine: Machine, script: str, timeout_s: float) -> str:
    """Run a shell script in the machine; return its output. Errors: LabError if it fails."""
    ticket = machine.hand.start("run", command=f"set -e\n{script}", timeout_s=timeout_s)
    done = machine.hand.finish(ticket, timeout_s + 20)
    if done["code"]:
        raise LabError(f"exit code {done['code']} of\n{script}\n{done['out'][-2000:]}{done['err'][-2000:]}")
    return done["out"]


def put(machine: Machine, path: str, data: bytes, mode: int = 0o644) -> None:
    """A file in the machine, on its disk when this returns."""
    for at in range(0, max(1, len(data)), _PIECE):
        piece = base64.b64encode(data[at : at + _PIECE]).decode()
        machine.hand("put", path=path, data=piece, mode=mode, append=at > 0)


def _freeze(machine: Machine, folder: Path) -> None:
    run(machine, "udevadm settle; sync; fstrim / 2>/dev/null || true; sync", 60)
    machine.freeze(folder / "state")
    shutil.move(machine.disk, folder / "disk.qcow2")


def _frozen(folder: Path) -> Frozen:
    return Frozen(folder / "disk.qcow2", folder / "ram", folder / "state")
