"""The display connectors of the kernel's graphics drivers: `/sys/class/drm/card*-*`."""

import re
from pathlib import Path
from typing import NamedTuple

from drivers.reading import CannotLook

_NAME = re.compile(r"card(\d+)-(.+)")
_BUILT_IN = ("eDP", "LVDS", "DSI", "DPI", "SPI")
_NO_DISPLAY = ("Writeback",)


class Connector(NamedTuple):
    """One connector as the kernel reports it. `connected` is a cable with a device at its end, not a lit screen."""

    name: str  # HDMI-A-1, without the card
    path: Path
    status: str  # connected, disconnected, unknown
    edid: bytes  # empty if the display sends none
    mode: tuple[int, int] | None  # first of its modes: the preferred one, in pixels

    @property
    def built_in(self) -> bool:
        """The panel of a laptop or tablet: part of the terminal, not the station's screen."""
        return self.name.startswith(_BUILT_IN)


def connectors(root: Path) -> list[Connector]:
    """All connectors, by card and name.

    Status and EDID are what the kernel last probed; reading them accesses no device. `enabled` and `dpms` are not
    used: they stay `enabled` and `On` on a connector whose cable was pulled. Errors: CannotLook `no_permission`.
    """
    found: list[Connector] = []
    for path in sorted((root / "sys/class/drm").glob("card*-*")):
        match = _NAME.fullmatch(path.name)
        if not match or match[2].startswith(_NO_DISPLAY):
            continue
        status = _read(path / "status").decode("ascii", "replace").strip()
        if status:
            found.append(Connector(match[2], path, status, _read(path / "edid"), _mode(_read(path / "modes"))))
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except PermissionError:
        raise CannotLook("no_permission", path=str(path)) from None
    except OSError:  # a connector can disappear (docking station) between the listing and the reading
        return b""


def _mode(modes: bytes) -> tuple[int, int] | None:
    match = re.match(rb"(\d{1,5})x(\d{1,5})", modes)
    return (int(match[1]), int(match[2])) if match else None
