"""The emulated USB bus at the pace of a real scan gun: one frame per millisecond.

Debian's dummy_hcd moves data every 125 microseconds, a microframe of a high-speed bus (DUMMY_TIMER_INT_NSECS in the kernel's
drivers/usb/gadget/udc/dummy_hcd.c), for as long as anyone waits for a device. A gun is a full-speed device: it is asked once
in a frame of 1 ms at most (USB 2.0, 5.3 and 9.6.6). An emulated processor pays for each time that it is asked, so the constant
is changed in the module's code.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from lab.places import say

if TYPE_CHECKING:
    from lab.station import Station

_MICROFRAME_NS, _FRAME_NS = 125_000, 1_000_000
_MOV_ESI = b"\xbe"  # the second argument of hrtimer_start_range_ns
_PLACES = 2  # where an URB is enqueued, and where the timer goes on
_AS_BUILT = "usr/local/lib/lab/dummy_hcd.ko"  # in the station
_SIGNED = b"~Module signature appended~\n"  # Documentation/admin-guide/module-signing.rst: last in the file


def a_frame_each_millisecond(root: Path) -> None:
    """Patch dummy_hcd in the station's file system; that of another kernel is kept, and the build reports it."""
    (module,) = root.glob("lib/modules/*/kernel/drivers/usb/gadget/udc/dummy_hcd.ko*")
    (root / _AS_BUILT).parent.mkdir(parents=True)
    (root / _AS_BUILT).write_bytes(module.read_bytes())
    changed = _changed(module.read_bytes())
    if changed:
        module.write_bytes(changed)
    else:
        say(f"{module.name} of this kernel is left at its own pace: the lab will be slower")


def as_fast_as_debians(station: "Station") -> None:
    """Use the bus of Debian's kernel until the next boot; call it before anything is plugged in."""
    station.run(f"rmmod dummy_hcd; insmod /{_AS_BUILT} num=8")  # as modprobe.d/lab.conf has it


def _changed(code: bytes) -> bytes | None:
    before, after = (_MOV_ESI + each.to_bytes(4, "little") for each in (_MICROFRAME_NS, _FRAME_NS))
    if code.count(before) != _PLACES:
        return None
    return code.removesuffix(_SIGNED).replace(before, after)  # an invalid signature is rejected, a missing one is not
