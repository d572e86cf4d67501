"""The project's own drivers on real kernel devices, in the sandbox of the service."""

import time

import pytest
from lab.camera import Camera
from lab.guns import CdcGun, FtdiGun, KeyboardGun, PosGun
from lab.look import look
from lab.network import Network, Place
from lab.printers import NetworkPrinter, UsbPrinter, usb_queue
from lab.screen import PROJECTOR, SMALL_MONITOR, TV_60, TV_65, Screen, edid
from lab.sound import Microphone, Speaker, without_sound
from lab.station import Station

# scan guns


def test_a_keyboard_gun_is_ready_and_gone_when_pulled(station: Station, gun: KeyboardGun) -> None:
    usb = gun.identity.vendor_product
    assert look(station, "scan_gun", usb=usb).condition == "working"
    gun.unplug()
    assert look(station, "scan_gun", usb=usb).condition == "absent"


def test_a_keyboard_gun_at_another_port_is_the_same_gun(station: Station, gun: KeyboardGun) -> None:
    usb = f"{gun.identity.vendor_product}:{gun.identity.serialnumber}"
    before = look(station, "scan_gun", usb=usb)
    gun.unplug()
    gun.plug(port=6)
    after = look(station, "scan_gun", usb=usb)
    assert (before.condition, after.condition) == ("working", "working")


def test_a_serial_gun_is_ready_on_cdc_and_on_ftdi(station: Station, cdc_gun: CdcGun, ftdi_gun: FtdiGun) -> None:
    assert look(station, "scan_gun", port=cdc_gun.tty, source="serial").condition == "working"
    assert look(station, "scan_gun", port=ftdi_gun.tty, source="serial").condition == "working"


def test_a_pos_gun_is_ready(station: Station, pos_gun: PosGun) -> None:
    assert look(station, "scan_gun", usb=pos_gun.identity.vendor_product, source="hidpos").condition == "working"


def test_the_account_of_the_agent_may_open_the_pos_gun_and_no_other_hidraw(
    station: Station, pos_gun: PosGun, gun: KeyboardGun
) -> None:
    keyboard = "/dev/" + station.run(f"ls {gun.sysfs}/*/*/hidraw")
    assert station.run(f"stat -c '%U:%G %a' {pos_gun.hidraw} {keyboard}").splitlines() == [
        "root:input 660",
        "root:root 600",
    ]


def test_without_a_table_of_its_own_no_gun_is_opened(station: Station, gun: KeyboardGun) -> None:
    assert look(station, "scan_gun").condition == "unknown"


# printers


def test_a_terminal_without_printer_reports_it(station: Station) -> None:
    assert look(station, "printer").condition == "absent"


def test_the_usb_printer_runs_out_of_paper_and_is_filled_again(station: Station, usb_printer: UsbPrinter) -> None:
    first = look(station, "printer")
    usb_printer.shows("paper out")
    empty = look(station, "printer")
    assert (empty.condition, empty.reason) == ("faulty", "paper_out")
    usb_printer.shows("ok")
    assert look(station, "printer").condition == first.condition != "faulty"


def test_the_usb_printer_is_seen_while_cups_prints_on_it(station: Station, usb_printer: UsbPrinter) -> None:
    queue = usb_queue(usb_printer)
    usb_printer.shows("jam")
    station.run(f"head -c 400000 /dev/zero | lp -s -d {queue} -o raw")
    station.wait_for("! test -e /dev/usb/lp0", "CUPS to take the printer")
    seen = look(station, "printer")
    assert seen.condition not in ("absent", "unreachable"), seen


def test_the_usb_printer_is_absent_when_pulled(station: Station, usb_printer: UsbPrinter) -> None:
    usb_printer.unplug()
    assert look(station, "printer").condition == "absent"


def test_the_network_printer_works_runs_out_and_is_switched_off(
    station: Station, network_printer: NetworkPrinter
) -> None:
    uri = network_printer.uri
    assert look(station, "printer", address=uri).condition == "working"
    network_printer.paper_out()
    empty = look(station, "printer", address=uri)
    assert (empty.condition, empty.reason) == ("faulty", "paper_out")
    network_printer.switch_off()
    assert look(station, "printer", address=uri).condition == "unreachable"


# screens


def test_a_screen_is_as_large_as_it_says_and_a_projector_has_no_size_of_its_own(
    station: Station, screen: Screen
) -> None:
    for sink, big_enough in ((SMALL_MONITOR, False), (TV_65, True), (TV_60, False)):
        screen.shows(sink)
        seen = look(station, "led_screen")
        assert seen.condition == "working"
        assert seen.measures["area_m2"] == pytest.approx(sink.width_mm * sink.height_mm / 1e6, rel=0.001)
        assert (seen.measures["area_m2"] >= 1) is big_enough
    screen.shows(PROJECTOR)
    seen = look(station, "led_screen")
    assert (seen.measures["area_m2"], seen.reason) == (None, "size_variable")


def test_a_screen_that_is_gone_is_absent(station: Station, screen: Screen) -> None:
    screen.unplug()
    assert look(station, "led_screen").condition == "absent"
    screen.plug()
    screen.force_off()
    assert look(station, "led_screen").condition == "absent"


def test_a_screen_with_a_wrong_checksum_is_no_proof(station: Station, screen: Screen) -> None:
    screen.cable_says(edid(TV_65)[:-1] + b"\0")
    assert look(station, "led_screen").reason == "edid_checksum"


# video


def test_the_camera_shows_a_picture(station: Station, camera: Camera) -> None:
    seen = look(station, "video")
    assert (seen.condition, seen.reason) == ("working", "picture")


def test_the_camera_is_black(station: Station, camera: Camera) -> None:
    camera.shows("black")
    assert look(station, "video").reason == "black"


def test_the_camera_is_frozen(station: Station, camera: Camera) -> None:
    camera.shows("frozen")
    assert look(station, "video").reason == "frozen"


def test_the_camera_in_a_conference_is_in_use(station: Station, camera: Camera) -> None:
    with camera.in_a_conference():
        assert look(station, "video").condition == "in_use"


@pytest.mark.parametrize("where", ["stream on", "buffers"])
def test_a_camera_that_refuses_is_faulty(station: Station, camera: Camera, where: str) -> None:
    camera.fails_next(where)  # pyright: ignore[reportArgumentType]
    assert look(station, "video").condition == "faulty"


def test_a_camera_whose_pictures_stall_is_faulty(station: Station, camera: Camera) -> None:
    camera.loses_frames(100)
    assert look(station, "video").condition == "faulty"


def test_a_camera_that_is_pulled_is_absent(station: Station, camera: Camera) -> None:
    camera.unplug()
    assert look(station, "video").condition == "absent"


def test_a_terminal_without_microphone_reports_it(station: Station, camera: Camera) -> None:
    without_sound(station)
    assert look(station, "video").reason == "no_microphone"


def test_microphone_and_speaker_in_a_conference_are_evidence(
    station: Station, camera: Camera, microphone: Microphone, speaker: Speaker
) -> None:
    with speaker.in_use():
        assert look(station, "video").condition == "working"


# terminal and line


def test_the_terminal_is_well_but_its_clock_was_never_synchronised(station: Station) -> None:
    seen = look(station, "terminal", disk_nearly_full_mb=100, disk_full_mb=50, unsynced_after_s=0)
    assert seen.reason == "clock_unsynced"
    station.time_server_answers()
    assert (
        look(station, "terminal", disk_nearly_full_mb=100, disk_full_mb=50, unsynced_after_s=0).condition == "working"
    )


def test_the_terminal_reports_that_its_disk_is_full(station: Station) -> None:
    with station.full_disk():
        assert look(station, "terminal").condition == "faulty"


def test_a_failed_unit_is_reported(station: Station) -> None:
    station.run("systemd-run -q --unit lab-fails false || true")
    station.wait_for("systemctl is-failed lab-fails", "the unit to fail")
    assert look(station, "terminal", disk_nearly_full_mb=100, disk_full_mb=50).reason == "failed_units"


def test_the_line_is_cut_and_the_place_is_reported(station: Station, network: Network) -> None:
    expected: dict[Place, tuple[str, str]] = {
        "cable": ("unreachable", "no_carrier"), "gateway": ("unreachable", "lan_down"), "line": ("faulty", "access_line_down")
    }  # fmt: skip
    for cut, (condition, reason) in expected.items():
        network.cut(cut)
        time.sleep(1)
        seen = look(station, "broadband")
        assert (seen.condition, seen.reason) == (condition, reason), seen
        network.mend()


def test_the_line_answers_and_nobody_has_measured_it_yet(station: Station, network: Network) -> None:
    seen = look(station, "broadband")
    assert seen.reason == "rate_not_measured", seen
