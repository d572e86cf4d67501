"""The station's camera (kernel driver vivid) and what goes wrong with cameras."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from lab.station import Station

Picture: TypeAlias = Literal["normal", "black", "frozen"]
Error: TypeAlias = Literal["stream on", "buffers"]

# Controls of vivid (Documentation/admin-guide/media/vivid.rst): the source of each picture and error.
_PICTURES = {
    "normal": "test_pattern=0,osd_text_mode=0,horizontal_movement=5",
    "black": "test_pattern=5,osd_text_mode=2,horizontal_movement=3",
    "frozen": "test_pattern=0,osd_text_mode=2,horizontal_movement=3",
}
_ERRORS = {
    "stream on": "inject_vidioc_streamon_error=1",
    "buffers": "inject_vidioc_reqbufs_error=1",
}
_DRIVER = "/sys/bus/platform/drivers/vivid"


class Camera:
    """/dev/video0, raw pictures. Errors are injected once, for the next attempt."""

    device = "/dev/video0"

    def __init__(self, station: "Station") -> None:
        self.station = station
        station.run("modprobe vivid; udevadm settle")
        self.shows("normal")

    def shows(self, picture: Picture) -> None:
        self._set(_PICTURES[picture])

    def fails_next(self, where: Error) -> None:
        self._set(_ERRORS[where])

    def breaks(self) -> None:
        """A fatal error for the program that streams from it now."""
        self._set("inject_fatal_streaming_error=1")

    def loses_frames(self, percent: int) -> None:
        """This percentage of frames is dropped: pictures stall."""
        self._set(f"percentage_of_dropped_buffers={percent}")

    def vanishes_in_use(self) -> None:
        """The device returns ENODEV to every program that has it open, until the last one has closed it."""
        self._set("disconnect=1")

    @contextmanager
    def in_a_conference(self) -> Generator[None]:
        """Another program streams from it permanently."""
        self.station.run(
            "systemd-run -q --collect --unit lab-conference"
            " v4l2-ctl -d0 --set-fmt-video=width=640,height=360 --stream-mmap --stream-count=0"
        )
        self.station.wait_for("ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/video0", "the conference to begin")
        try:
            yield
        finally:
            self.station.run("systemctl stop lab-conference")

    def unplug(self) -> None:
        self.station.run(f"echo vivid.0 > {_DRIVER}/unbind; udevadm settle")

    def plug(self) -> None:
        self.station.run(f"echo vivid.0 > {_DRIVER}/bind; udevadm settle")
        self.station.wait_for("test -e /dev/video0", "the camera")

    def _set(self, controls: str) -> None:
        self.station.run(f"v4l2-ctl -d0 -c {controls}")
