"""A 2 MB initrd: busybox, the modules of the disk, and the lab's own scripts for the station (guest/).

The scripts travel in the initrd and not in the disk, so that changing one of them costs no new image. The archive is cpio's
"newc" format (cpio(5)): 110 bytes of ASCII header, name and data padded to four bytes.
"""

import gzip
from pathlib import Path

from lab.places import LAB

_INIT = b"""#!/bin/sh
b=/bin/busybox
$b mount -t devtmpfs none /dev; $b mount -t proc none /proc; $b mount -t sysfs none /sys
while read -r module; do $b insmod /modules/$module; done < /modules/order
tries=0; while [ ! -b /dev/vda ] && [ $tries -lt 500 ]; do $b usleep 20000; tries=$((tries+1)); done
$b mount -o rw,noatime /dev/vda /new || { echo "lab: the disk cannot be mounted"; exec /bin/sh; }
$b mkdir -p /new/opt/lab
for script in /lab/*; do
    $b cmp -s $script /new/opt/lab/${script##*/} || $b cp -p $script /new/opt/lab/
done
$b umount /proc; $b umount /sys; $b mount --move /dev /new/dev
exec $b switch_root /new /sbin/init
"""


def build(folder: Path, image: Path) -> None:
    """`initrd.gz` in `folder`, from files kept by the image's build."""
    entries: list[tuple[str, int, bytes]] = [
        (name, 0o40755, b"") for name in ("bin", "dev", "proc", "sys", "new", "modules", "lab")
    ]
    entries.append(("init", 0o100755, _INIT))
    entries.append(("bin/busybox", 0o100755, (image / "busybox").read_bytes()))
    entries.append(("bin/sh", 0o120777, b"busybox"))
    for module in sorted((image / "modules").iterdir()):
        entries.append((f"modules/{module.name}", 0o100644, module.read_bytes()))
    for script in sorted((LAB / "guest").iterdir()):
        if script.is_file():
            entries.append((f"lab/{script.name}", 0o100755, script.read_bytes()))
    archive = b"".join(_entry(number, *entry) for number, entry in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1))
    (folder / "initrd.gz").write_bytes(gzip.compress(archive, 1, mtime=0))


def _entry(inode: int, name: str, mode: int, data: bytes) -> bytes:
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
