"""The table of device classes: which driver polls, how often, its time limit, and which hotplug events trigger it.

A driver itself has no schedule; the daemon takes it from here. `[[device]] class = "…"` in agent.toml names a line.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, cast

from drivers.reading import Driver, Found


class DeviceClass(NamedTuple):
    """One line: a class of devices."""

    name: str
    driver: str  # "module:Struct"; imported when a device of the class is configured
    every_s: int  # between two looks
    budget_s: float  # time limit of one look
    hotplug: frozenset[str] = frozenset()  # udev subsystems whose events trigger a look
    measure_budget_s: float = 0  # time limit of a measurement, if the driver has one

    def driver_type(self) -> type[Driver]:
        """The struct whose fields are the options of the class's `[[device]]` table."""
        module, _, name = self.driver.partition(":")
        return cast(type[Driver], getattr(import_module(module), name))

    def find(self, root: Path) -> list[Found]:
        """The devices of this class that are on this machine (`find(root)` of the driver's module)."""
        module, _, _ = self.driver.partition(":")
        finder = cast("Callable[[Path], list[Found]] | None", getattr(import_module(module), "find", None))
        return finder(root) if finder else []


CLASSES = {
    line.name: line
    for line in (
        DeviceClass("terminal", "drivers.terminal.driver:Terminal", 60, 8),
        DeviceClass("broadband", "drivers.broadband.driver:Broadband", 60, 8, measure_budget_s=45),
        DeviceClass("led_screen", "drivers.led_screen.driver:LedScreen", 10, 3, frozenset({"drm"})),
        DeviceClass("printer", "drivers.printer.driver:Printer", 60, 8, frozenset({"usb", "usbmisc"})),
        DeviceClass("scan_gun", "drivers.scan_gun.driver:ScanGun", 30, 3, frozenset({"input", "tty", "hidraw"})),
        DeviceClass("video", "drivers.video.driver:Video", 600, 12, frozenset({"video4linux", "sound"})),
        DeviceClass("web_page", "drivers.web_page.driver:WebPage", 3600, 10),
    )
}
