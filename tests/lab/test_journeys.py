"""From the device to the county, each under its name."""

from lab.agent import Agent
from lab.camera import Camera
from lab.county import County
from lab.guns import KeyboardGun
from lab.printers import UsbPrinter
from lab.screen import Screen
from lab.station import Station


def test_scan_to_recorded_capture(station: Station, gun: KeyboardGun, agent: Agent, county: County) -> None:
    agent.configure({"class": "scan_gun", "id": "gun", "usb": gun.identity.vendor_product})
    agent.start()
    station.wait_for(f"ls -l /proc/{agent.pid}/fd | grep -q $(readlink -f '{gun.by_id}')", "the agent to open the gun")
    gun.type("6901234567892")
    county.waits_for("the capture", lambda: county.captures() == ["6901234567892"])


def test_a_printer_pulled_is_absent_at_the_county_within_seconds(
    station: Station, usb_printer: UsbPrinter, agent: Agent, county: County
) -> None:
    agent.start()
    county.waits_for("the printer", lambda: county.condition("printer") not in ("", "absent"))
    usb_printer.unplug()
    county.waits_for("its absence", lambda: county.condition("printer") == "absent", timeout_s=30)
    usb_printer.plug()
    county.waits_for("its return", lambda: county.condition("printer") != "absent", timeout_s=60)


def test_screen_unplugged_to_verdict(station: Station, screen: Screen, agent: Agent, county: County) -> None:
    agent.start()
    county.waits_for("the verdict on the 65-inch screen", lambda: county.verdict("led_screen") == "met")
    screen.unplug()
    county.waits_for("the verdict without a screen", lambda: county.verdict("led_screen") == "not_met", timeout_s=60)


def test_camera_busy_in_a_conference_stays_healthy(
    station: Station, camera: Camera, agent: Agent, county: County
) -> None:
    with camera.in_a_conference():
        agent.start()
        county.waits_for("the camera", lambda: county.condition("video") == "in_use")
