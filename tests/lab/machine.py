"""One virtual machine: QEMU under TCG as a child process, its power, its connections. Its contents: `lab.station`."""

import contextlib
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

from lab.image import Image
from lab.places import DIES_WITH_US, RUN, LabError, say
from lab.wire import Hand, Qmp

BOOT_TIMEOUT_S = 150  # four times the usual duration
MEMORY_MB = 768
# The station's card and the router's two (guest/router.sh): lan is a cable to the station, host leads to this machine.
_MAC = "52:54:00:59:4e:"

# Expensive under emulation and not tested, so switched off: pages cleared twice, hooks of idle security modules, checks of each
# copy to and from programs, accounts of pressure and of the kernel's memory by control group.
_WORDS = (
    "root=/dev/vda rw console=ttyS0 loglevel=4 net.ifnames=0 systemd.show_status=0 audit=0"
    " mitigations=off init_on_alloc=0 lsm=yama nowatchdog tsc=reliable"
    " hardened_usercopy=off randomize_kstack_offset=off psi=0 cgroup.memory=nokmem"
)


class Frozen(NamedTuple):
    """A machine that was booted once and frozen: its clones run within a second."""

    disk: Path
    ram: Path
    state: Path


class Machine:
    """QEMU with the station's hardware. It ends with this process, however that ends.

    Of its two processors one is left switched off by default: two stations are what this machine has processors
    for. QEMU then needs no guard against the other one (thread=single), a twelfth of its work.
    """

    def __init__(self, name: str, image: Image, *, processors: int = 1) -> None:
        self.folder = RUN / f"{name}-{os.getpid()}"
        self._image = image
        self.processors = processors
        self._root = ["-drive", f"if=none,id=disk,file={self.disk},format=qcow2,cache=writeback"]
        self._qemu: subprocess.Popen[bytes] | None = None
        self._qmp: Qmp | None = None
        self._hand: Hand | None = None

    # power

    def boot(self, *, clock: str = "utc", ram: Path | None = None) -> None:
        """Power on from the current disk; a failed boot is tried once more, and its console log kept.

        `clock` is what the hardware clock says: `utc` for the true time, or a moment such as `2019-01-01T00:00:00`.
        `ram` keeps the memory in that file, to be frozen later.
        """
        for attempt in (1, 2):
            words = f"{_WORDS} maxcpus={self.processors}"
            self._start(["-rtc", f"base={clock},clock=host", "-append", words], ram=ram, ram_shared=True)
            try:
                self._wait_for_hand(BOOT_TIMEOUT_S)
            except (LabError, TimeoutError) as error:
                console = self.folder / "console.log"
                kept = console.rename(self.folder / f"console-of-failed-boot-{attempt}.log")
                say(f"the station did not boot ({error}); its console is in {kept}")
                self.power_cut()
                if attempt == 2:
                    raise LabError(f"the station does not boot; see {kept}") from error
            else:
                return

    def thaw(self, frozen: Frozen, *, ram: Path | None = None) -> None:
        """Resume a frozen machine. With `ram` (a copy of the frozen one's) it can be frozen again."""
        self._start(
            ["-rtc", "base=utc,clock=host", "-incoming", "defer"], ram=ram or frozen.ram, ram_shared=ram is not None
        )
        self._ram_stays_in_its_file()
        self.qmp("migrate-incoming", uri=f"exec:cat {shlex.quote(str(frozen.state))}")
        self._wait_for_status("running", "paused")
        if self.qmp("query-status")["status"] == "paused":
            self.qmp("cont")
        self._wait_for_hand(60)

    def freeze(self, state: Path) -> None:
        """Stop for good, with the device state in `state` and the memory in the file given at the start."""
        self._hang_up()
        self.qmp("stop")
        self._ram_stays_in_its_file()
        self.qmp("migrate", uri=f"exec:cat > {shlex.quote(str(state))}")
        while (status := self.qmp("query-migrate")["status"]) not in ("completed", "failed", "cancelled"):
            time.sleep(0.05)
        if status != "completed":
            raise LabError(f"QEMU cannot freeze the machine: {self.qmp('query-migrate')}")
        self.power_cut()

    def power_cut(self) -> None:
        """Power cut: everything that the station had not written to its disk is lost."""
        if self._qemu and self._qemu.poll() is None:
            self._qemu.kill()
            self._qemu.wait()  # its lock on the disk is released a moment later
        self._hang_up()
        if self._qmp:
            self._qmp.close()
        self._qemu = self._qmp = None

    def power_button(self, timeout_s: float = 90) -> None:
        """A clean shutdown, as by the power button."""
        assert self._qemu
        self.qmp("system_powerdown")
        self._qemu.wait(timeout_s)
        self.power_cut()

    def sleep(self, seconds: float) -> None:
        """Waits until the machine has suspended itself to RAM (ACPI S3), and wake it after this time."""
        self._wait_for_status("suspended")
        time.sleep(seconds)
        self.qmp("system_wakeup")
        self.hand("ping", within_s=60)

    def forget(self) -> None:
        """Power off and remove its folder: disk, console log and all."""
        self.power_cut()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def is_on(self) -> bool:
        return self._qemu is not None and self._qemu.poll() is None

    # wires

    @property
    def qmp(self) -> Qmp:
        while not self._qmp:
            try:
                self._qmp = Qmp(self.folder / "qmp")
            except ConnectionRefusedError:  # the socket exists a moment before QEMU listens
                self._must_be_alive()
                time.sleep(0.01)
        return self._qmp

    @property
    def hand(self) -> Hand:
        if not self._hand:
            raise LabError("the station is off")
        return self._hand

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    def lay_over(self, disk: Path) -> None:
        """A new disk for this machine: an overlay; `disk` itself is never written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.disk.unlink(missing_ok=True)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", disk, self.disk], check=True)

    def stand_on(self, server: Path) -> None:
        """From the next start the machine's own disk is the raw one of an NBD server (`lab.volatile_disk`)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        where = f"file.driver=nbd,file.server.type=unix,file.server.path={server}"
        self._root = ["-drive", f"if=none,id=disk,format=raw,cache=writeback,{where}"]

    def plug_disk(self, name: str, server: Path) -> None:
        """A second disk in the free bay, of an NBD server; in the machine /dev/disk/by-id/virtio-<name>."""
        over = {"driver": "nbd", "server": {"type": "unix", "path": str(server)}}
        block: dict[str, Any] = {"node-name": name, "driver": "raw", "file": over}
        device: dict[str, Any] = {"driver": "virtio-blk-pci", "drive": name, "serial": name, "write-cache": "on"}
        self.qmp("blockdev-add", **block)
        self.qmp("device_add", id=name, bus="bay", **device)

    # within

    def _start(self, more: list[str], *, ram: Path | None, ram_shared: bool) -> None:
        if self.is_on:
            raise LabError("the station is on already")
        for name in ("qmp", "hand", "console"):
            (self.folder / name).unlink(missing_ok=True)
        command = [*DIES_WITH_US, "qemu-system-x86_64", *self._hardware(ram, ram_shared), *more]
        with (self.folder / "qemu.log").open("wb") as log:
            self._qemu = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        while not (self.folder / "qmp").exists():
            self._must_be_alive()
            time.sleep(0.01)

    def _hardware(self, ram: Path | None, ram_shared: bool) -> list[str]:
        here = self.folder
        memory = f"memory-backend-ram,id=ram,size={MEMORY_MB}M"
        if ram:
            shared = "on" if ram_shared else "off"  # off: a private copy on write, as clones have it
            memory = f"memory-backend-file,id=ram,size={MEMORY_MB}M,mem-path={ram},share={shared}"
        threads = "single" if self.processors == 1 else "multi"
        # No eventfd for each virtio queue, no 31 serial ports: QEMU polls all its descriptors at each of the station's timers.
        options = f"""
            -name station -M q35,memory-backend=ram -object {memory} -m {MEMORY_MB}M -smp 2
            -cpu max,la57=off,smap=off,smep=off,pku=off
            -accel tcg,thread={threads},tb-size=256 -nodefaults -no-user-config -display none -no-reboot
            -kernel {self._image.kernel} -initrd {self._image.initrd}
            -global virtio-pci.ioeventfd=off -device virtio-blk-pci,drive=disk
            -chardev socket,id=console,path={here}/console,server=on,wait=off,logfile={here}/console.log,logappend=on
            -serial chardev:console
            -qmp unix:{here}/qmp,server=on,wait=off
            -device virtio-serial-pci,max_ports=2 -chardev socket,id=hand,path={here}/hand,server=on,wait=off
            -device virtserialport,chardev=hand,name=lab.hand
            -device virtio-rng-pci
            -netdev hubport,id=cable0,hubid=0 -device virtio-net-pci,id=eth0,netdev=cable0,mac={_MAC}10,romfile=
            -netdev hubport,id=cable1,hubid=0 -device virtio-net-pci,netdev=cable1,mac={_MAC}20,romfile=
            -netdev user,id=world -device virtio-net-pci,netdev=world,mac={_MAC}30,romfile=
            -device qemu-xhci,id=xhci
            -device virtio-vga,id=screen,edid=on,xres=1600,yres=900 -vnc unix:{here}/vnc
            -audiodev none,id=nosound -device intel-hda -device hda-duplex,audiodev=nosound
            -device pcie-root-port,id=bay,chassis=1
        """
        return [*self._root, *shlex.split(options)]

    def _wait_for_hand(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            self._must_be_alive()
            try:
                self._hand = Hand(self.folder / "hand")
                self._hand("ping", within_s=max(1, deadline - time.monotonic()))
                return
            except TimeoutError:
                self._hang_up()
                raise LabError(f"no sign of life from the station in {timeout_s} s") from None
            except OSError:
                self._hang_up()
                time.sleep(0.05)

    def _wait_for_status(self, *wanted: str) -> None:
        deadline = time.monotonic() + 60
        while self.qmp("query-status")["status"] not in wanted:
            self._must_be_alive()
            if time.monotonic() > deadline:
                raise LabError(f"QEMU hangs as {self.qmp('query-status')['status']}")
            time.sleep(0.01)

    def _ram_stays_in_its_file(self) -> None:
        self.qmp("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])

    def _must_be_alive(self) -> None:
        if not self.is_on:
            raise LabError(f"QEMU has ended: {(self.folder / 'qemu.log').read_text()[-2000:]}")

    def _hang_up(self) -> None:
        if self._hand:
            with contextlib.suppress(OSError):
                self._hand.close()
        self._hand = None
