"""From the device to the county, each case by its name."""

import pytest
from lab.agent import Agent
from lab.camera import Camera
from lab.county import County
from lab.guns import CdcGun, FtdiGun, KeyboardGun, PosGun
from lab.places import say
from lab.printers import UsbPrinter
from lab.screen import Screen
from lab.sound import Microphone, Speaker
from lab.station import Station
from lab.usb import DATALOGIC_KEYBOARD


def test_scan_to_recorded_capture(station: Station, gun: KeyboardGun, agent: Agent, county: County) -> None:
    agent.start_with(gun)
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


@pytest.mark.long
def test_paper_out_to_the_recorders_store(
    station: Station, usb_printer: UsbPrinter, agent: Agent, county: County
) -> None:
    """The printer is polled every 60 s; after a change again after 5 s; three readings confirm the change."""
    agent.configure({"class": "printer", "id": "desk"})
    agent.start()
    county.waits_for("the printer", lambda: county.condition("printer") not in ("", "absent"))
    before = county.conditions("printer")
    usb_printer.shows("paper out")
    paper_out = [*before, ("faulty", "paper_out")]
    county.waits_for("the empty tray", lambda: county.conditions("printer") == paper_out, timeout_s=120)
    message = county.messages("device")[-1]
    assert (message["previous"], message["flaps"]) == (before[-1][0], 0)
    county.waits_for("the verdict", lambda: county.verdict("printer") == "not_met")
    usb_printer.shows("ok")
    agent.check()  # a person who has filled it and runs a check: its pending change is polled again after seconds
    county.waits_for("paper", lambda: county.conditions("printer") == [*paper_out, before[-1]])


def test_gun_moved_to_another_port_keeps_its_identity(
    station: Station, gun: KeyboardGun, agent: Agent, county: County
) -> None:
    unnumbered = KeyboardGun(station, "unnumbered", DATALOGIC_KEYBOARD)
    agent.configure(
        {"class": "scan_gun", "id": "gun", "usb": gun.identity.vendor_product},
        {"class": "scan_gun", "id": "unnumbered", "usb": unnumbered.identity.vendor_product},
    )
    agent.start()
    for number, ports in enumerate([(gun.port, unnumbered.port), (6, 7)]):
        for each, port in zip((gun, unnumbered), ports, strict=True):
            if each.port != port:
                each.unplug()
                each.plug(port)
            agent.opens(each.events)
            each.type(f"690123456789{number}")
    county.waits_for("four scans", lambda: len(county.captures()) == 4)
    by_serial = [scan for scan in county.messages("scan") if scan["gun"] == "gun"]
    assert {scan["identity"] for scan in by_serial} == {f"usb:0c2e:{gun.identity.serialnumber}"}
    assert [scan["number"] for scan in by_serial] == [1, 2]
    by_port = [scan["identity"] for scan in county.messages("scan") if scan["gun"] == "unnumbered"]
    assert by_port[0] != by_port[1]


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


def test_every_device_is_seen_by_the_service_as_its_own_user(
    station: Station,
    gun: KeyboardGun,
    cdc_gun: CdcGun,
    ftdi_gun: FtdiGun,
    pos_gun: PosGun,
    usb_printer: UsbPrinter,
    camera: Camera,
    microphone: Microphone,
    speaker: Speaker,
    screen: Screen,
    agent: Agent,
    county: County,
) -> None:
    guns = (gun, cdc_gun, ftdi_gun, pos_gun)
    named = {each.name: f"{each.identity.vendor_product}:{each.identity.serialnumber}" for each in guns}
    tables = [{"class": "scan_gun", "id": name, "usb": usb} for name, usb in named.items()]
    others = ("printer", "video", "led_screen", "broadband", "terminal")
    agent.configure(*tables, *({"class": each, "id": "main"} for each in others))
    agent.start()
    for each in guns:
        agent.opens(each.device_file)
    wanted = {*(("scan_gun", name) for name in named), *((each, "main") for each in others)}

    def states() -> dict[tuple[str, str], tuple[str, str]]:
        return {(m["class"], m["id"]): (m["condition"], m["reason"]) for m in county.messages("device")}

    county.waits_for("a word of every device", lambda: states().keys() >= wanted, timeout_s=180)
    say(f"seen by the service: {states()}")
    not_seen = {key: seen for key, seen in states().items() if seen[0] in ("absent", "unreachable")}
    forbidden = {key: seen for key, seen in states().items() if seen[1] == "no_permission"}
    assert (not_seen, forbidden) == ({}, {})
    assert {seen[0] for (kind, _), seen in states().items() if kind == "scan_gun"} == {"working"}
