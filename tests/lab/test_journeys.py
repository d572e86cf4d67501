"""From the device to the county, each under its name."""

from lab.agent import Agent
from lab.county import County
from lab.guns import KeyboardGun
from lab.station import Station


def test_scan_to_recorded_capture(station: Station, gun: KeyboardGun, agent: Agent, county: County) -> None:
    agent.configure({"class": "scan_gun", "id": "gun", "usb": gun.identity.vendor_product})
    agent.start()
    station.wait_for(f"ls -l /proc/{agent.pid}/fd | grep -q $(readlink -f '{gun.by_id}')", "the agent to open the gun")
    gun.type("6901234567892")
    county.waits_for("the capture", lambda: county.captures() == ["6901234567892"])
