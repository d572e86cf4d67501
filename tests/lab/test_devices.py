"""Every device of the lab once, as the kernel sees it: the basis of the drivers' tests."""

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lab.camera import Camera
from lab.frames import as_fast_as_debians
from lab.guns import CdcGun, FtdiGun, KeyboardGun, PosGun
from lab.keys import NOTHING, evdev_codes, recorded, report, typed
from lab.network import Network, Place
from lab.places import LabError
from lab.printers import NetworkPrinter, UsbPrinter, usb_queue
from lab.screen import PROJECTOR, SMALL_MONITOR, TV_60, TV_65, Screen, edid
from lab.sound import Microphone, Speaker
from lab.station import Station
from lab.usb import DATALOGIC_KEYBOARD, udev_takes_its_time

pytestmark = pytest.mark.settled

# HID usages to the kernel's key codes (drivers/hid/hid-input.c), as far as these tests type
_LETTER_CODES = (30, 48, 46, 32, 18, 33, 34, 35, 23, 36, 37, 38, 50, 49, 24, 25, 16, 19, 31, 20, 22, 47, 17, 45, 21, 44)
_KEYS = dict(zip(range(0x04, 0x1E), _LETTER_CODES, strict=True)) | {0x28: 28, 0x30: 27}
_KEYS.update(zip(range(0x1E, 0x28), range(2, 12), strict=True))
_LPGETSTATUS = (
    "import fcntl,os,sys; b=bytearray(4); fcntl.ioctl(os.open(sys.argv[1],os.O_RDWR),0x060b,b,True); print(hex(b[0]))"
)


def _received(
    station: Station, gun: KeyboardGun, reports: list[bytes], typing: Callable[[], object] | None = None, **pace: float
) -> list[int]:
    """The key codes at the terminal's end (modifiers left out) while the reports are typed (by `typing`, if it is given)."""
    wanted = [_KEYS[usage] for usage in evdev_codes(reports)]
    modifiers = sum(1 for a, b in zip([NOTHING, *reports], reports, strict=False) if b[0] & ~a[0])
    ticket = station.hand.start("keyboard.pressed", pattern=gun.by_id, keys=len(wanted) + modifiers, timeout_s=20)
    station.wait_for(f"ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q $(readlink -f {gun.by_id})", "the listener")
    typing() if typing else gun.send(reports, **pace)
    return [code for code in station.hand.finish(ticket, 30) if code not in (29, 42, 56)]


def _codes(reports: list[bytes]) -> list[int]:
    return [_KEYS[usage] for usage in evdev_codes(reports)]


@pytest.mark.parametrize("pace_ms", [1.5, 8.0, 50.0])
def test_a_keyboard_gun_types_at_the_pace_of_real_guns(station: Station, pace_ms: float) -> None:
    as_fast_as_debians(station)
    gun = KeyboardGun(station)
    scan = typed("6901234567892\n")
    assert _received(station, gun, scan, pace_ms=pace_ms) == _codes(scan)


def test_shift_is_pressed_for_each_key_or_held_over_several(station: Station, gun: KeyboardGun) -> None:
    each, held = typed("ABC9\n"), typed("ABC9\n", shift="held")
    assert each != held
    assert _received(station, gun, each) == _received(station, gun, held) == _codes(each)


def test_gs_is_typed_as_a_control_combination(station: Station, gun: KeyboardGun) -> None:
    scan = typed("01\x1d10\n")
    assert _received(station, gun, scan) == _codes(scan)


def test_a_recording_of_boot_reports_is_replayed(station: Station, gun: KeyboardGun, tmp_path: Path) -> None:
    recording = tmp_path / "scan.reports"
    recording.write_text("# a and Enter\n0000040000000000\n0000000000000000\n0000280000000000\n0000000000000000\n")
    scan = recorded(recording)
    assert scan == [report(0x04), NOTHING, report(0x28), NOTHING]
    assert _received(station, gun, scan, lambda: gun.replay(recording)) == _codes(scan)


def test_two_guns_at_once_have_names_of_their_own(gun: KeyboardGun, second_gun: KeyboardGun, station: Station) -> None:
    assert station.run("ls /dev/input/by-id").split() == [Path(gun.by_id).name, Path(second_gun.by_id).name]
    ids = station.run("cat /sys/class/input/event*/device/id/vendor").split()
    assert {"0c2e", "05e0"} <= set(ids)


def test_two_guns_without_serial_number_differ_by_their_port(station: Station) -> None:
    KeyboardGun(station, "left", DATALOGIC_KEYBOARD)
    KeyboardGun(station, "right", DATALOGIC_KEYBOARD)
    assert len(station.run("ls /dev/input/by-id | grep Handheld").split()) == 1
    assert len(station.run("ls /dev/input/by-path | grep dummy_hcd.*kbd").split()) == 2


def test_plugged_means_that_udev_has_dealt_with_it_however_slow(station: Station) -> None:
    udev_takes_its_time(station)
    gun = KeyboardGun(station)
    assert station.tried(f"test -e {gun.by_id}").code == 0


def test_a_gun_is_pulled_and_plugged_into_another_port(station: Station, gun: KeyboardGun) -> None:
    before = gun.port
    gun.unplug()
    assert station.tried(f"test -e {gun.by_id}").code
    gun.plug(port=5)
    assert gun.port == 5 != before
    assert station.tried(f"test -e {gun.by_id}").code == 0


def test_a_cdc_gun_sends_bytes_with_gs_and_chinese(station: Station, cdc_gun: CdcGun) -> None:
    data = "]d2010690123456789\x1d桂B\r\n".encode()
    station.run(f"stty -F {cdc_gun.tty} raw -echo")
    reading = station.later(f"timeout 40 head -c {len(data)} {cdc_gun.tty} | md5sum")
    _is_read(station, cdc_gun.tty)
    cdc_gun.send(data)
    assert reading().out.split()[0] == hashlib.md5(data).hexdigest()
    assert "Newland" in station.run("ls /dev/serial/by-id")


def test_an_ftdi_gun_sends_bytes_and_is_pulled(station: Station, ftdi_gun: FtdiGun) -> None:
    station.run(f"stty -F {ftdi_gun.tty} raw -echo 9600")
    reading = station.later(f"timeout 40 head -n1 {ftdi_gun.tty}")
    _is_read(station, ftdi_gun.tty)
    ftdi_gun.send(b"6901234567892\n")
    assert reading().out == "6901234567892\n"
    ftdi_gun.unplug()
    ftdi_gun.plug()


def test_a_pos_gun_is_hidraw_and_no_keyboard(station: Station, pos_gun: PosGun) -> None:
    node = pos_gun.hidraw
    assert station.run(f"od -An -v -tx1 -N4 /sys/class/hidraw/{Path(node).name}/device/report_descriptor").split() == [
        "05",
        "8c",
        "09",
        "02",
    ]
    assert not station.tried("ls /dev/input/by-id/*event-kbd").out
    reading = station.later(f"timeout 40 head -c 64 {node} | od -An -v -tx1 -N 10")
    _is_read(station, node)
    pos_gun.scan(b"6901234567892", aim="E0")
    assert bytes.fromhex(reading().out.replace(" ", "")) == b"\x02\x0d]E069012"


def test_a_usb_printer_says_who_it_is_and_prints(station: Station, usb_printer: UsbPrinter) -> None:
    assert station.run("cat /sys/class/usbmisc/lp0/device/ieee1284_id") == usb_printer.device_id
    station.run(f"head -c 4800 /dev/zero > {usb_printer.lp}; sleep 0.3")
    assert usb_printer.received() == bytes(4800)


def test_a_usb_printer_runs_out_of_paper_and_is_filled_again(station: Station, usb_printer: UsbPrinter) -> None:
    seen: list[str] = []
    for status in ("ok", "paper out", "error", "offline", "ok"):
        usb_printer.shows(status)
        seen.append(station.python(_LPGETSTATUS, usb_printer.lp))
    assert seen == ["0x18", "0x38", "0x10", "0x8", "0x18"]


def test_a_cups_queue_prints_on_the_usb_printer(station: Station, usb_printer: UsbPrinter) -> None:
    queue = usb_queue(usb_printer)
    station.run(f"echo label | lp -s -d {queue} -o raw")
    station.wait_for("test -s /run/lab.printer.received", "the label")
    assert usb_printer.received() == b"label\n"


def test_a_network_printer_answers_and_is_switched_off(station: Station, network_printer: NetworkPrinter) -> None:
    network_printer.paper_out()
    output = station.run(f"ipptool -tv {network_printer.uri} get-printer-attributes.test | grep printer-state-reasons")
    assert "media-empty" in output
    network_printer.switch_off()
    with pytest.raises(LabError):
        station.run(f"ipptool -q {network_printer.uri} get-printer-attributes.test", timeout_s=10)


def test_a_cups_queue_stands_for_the_network_printer(station: Station, network_printer: NetworkPrinter) -> None:
    queue = network_printer.queue()
    assert network_printer.uri in station.run(f"lpstat -v {queue}")


def _frames(station: Station, count: int = 3) -> list[str]:
    station.run(
        "v4l2-ctl -d0 --set-fmt-video=width=640,height=360,pixelformat=YUYV --stream-mmap=3"
        f" --stream-count={count} --stream-to=/tmp/frames",
        timeout_s=30,
    )
    size = 640 * 360 * 2
    return [station.run(f"dd if=/tmp/frames bs={size} skip={n} count=1 status=none | md5sum") for n in range(count)]


def test_the_camera_shows_a_moving_a_black_and_a_frozen_picture(station: Station, camera: Camera) -> None:
    assert len(set(_frames(station))) == 3
    camera.shows("frozen")
    assert len(set(_frames(station))) == 1
    camera.shows("black")
    _frames(station, 1)
    luma = "import sys; d=open('/tmp/frames','rb').read()[::2]; print(min(d),max(d))"
    assert station.python(luma) == "16 16"


def test_the_camera_is_busy_in_a_conference(station: Station, camera: Camera) -> None:
    with camera.in_a_conference():
        assert "busy" in station.tried("v4l2-ctl -d0 --stream-mmap --stream-count=1").err.lower()
    assert len(_frames(station, 1)) == 1


@pytest.mark.parametrize("where", ["stream on", "buffers"])
def test_the_camera_fails(station: Station, camera: Camera, where: str) -> None:
    camera.fails_next(where)  # pyright: ignore[reportArgumentType]
    output = station.tried("v4l2-ctl -d0 --stream-mmap --stream-count=3", timeout_s=10)
    assert "returned -1" in output.err


def test_the_camera_breaks_in_the_middle(station: Station, camera: Camera) -> None:
    streaming = station.later("v4l2-ctl -d0 --stream-mmap --stream-count=1000", timeout_s=20)
    station.wait_for("ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/video0", "the stream")
    time.sleep(1)
    camera.breaks()
    assert "Input/output error" in streaming().err


def test_the_camera_is_pulled_and_plugged(station: Station, camera: Camera) -> None:
    camera.unplug()
    assert station.tried("test -e /dev/video0").code
    camera.plug()
    camera.vanishes_in_use()
    assert station.tried("v4l2-ctl -d0 --stream-mmap --stream-count=1", timeout_s=10).err


def test_the_microphone_hears_a_tone_and_silence(station: Station, microphone: Microphone) -> None:
    loudest = (
        f"arecord -q -D {microphone.device} -f S16_LE -r 16000 -d 1 -t raw | "
        "python3 -c 'import sys,array; print(max(map(abs, array.array(\"h\", sys.stdin.buffer.read()))))'"
    )
    with microphone.hears_a_tone():
        assert int(station.run(loudest)) > 8000
    assert int(station.run(loudest)) == 0


def test_the_speaker_plays_and_goes(station: Station, speaker: Speaker) -> None:
    with speaker.in_use():
        assert "owner_pid" in station.run("cat /proc/asound/Dummy/pcm0p/sub0/status")
    speaker.unplug()
    assert "Dummy" not in station.run("cat /proc/asound/cards")
    speaker.plug()


def test_the_screen_is_any_sink(station: Station, screen: Screen) -> None:
    for sink in (SMALL_MONITOR, TV_65, TV_60, PROJECTOR):
        screen.shows(sink)
        assert station.get("/sys/class/drm/card0-Virtual-1/edid") == edid(sink)


def test_the_screen_is_pulled_with_an_event_and_forced_off_without(station: Station, screen: Screen) -> None:
    events = station.later("timeout 8 udevadm monitor --kernel --subsystem-match=drm || true")
    time.sleep(1)
    screen.unplug()
    assert screen.status == "disconnected"
    screen.plug()
    assert "change" in events().out
    screen.force_off()
    assert screen.status == "disconnected"


def test_the_line_is_cut_at_each_place_and_mended(station: Station, network: Network) -> None:
    answers: dict[Place, tuple[bool, bool]] = {
        "cable": (False, False), "gateway": (False, False), "line": (True, False), "broker": (True, True)
    }  # fmt: skip
    for where, (gateway, internet) in answers.items():
        network.cut(where, broker_port=1883)
        answered = [station.tried(f"ping -c1 -W1 {ip}").code == 0 for ip in (network.gateway, network.internet[0])]
        assert answered == [gateway, internet], where
        assert station.run("cat /sys/class/net/eth0/carrier") == ("0" if where == "cable" else "1")
        network.mend()
        station.wait_for(f"ping -c1 -W1 {network.internet[0]}", "the internet to answer again")


def test_the_line_is_as_slow_as_asked(station: Station, network: Network) -> None:
    network.shape(down_mbps=8, up_mbps=2, rtt_ms=60)
    output = station.run(f"ping -c3 {network.internet[0]} | grep rtt")
    assert 60 <= float(output.split("=")[1].split("/")[0]) < 120
    network.unshape()


def test_the_world_has_names_and_a_page(station: Station, network: Network) -> None:
    get = "import urllib.request as u; print(u.urlopen('http://www.example/').read().decode())"
    assert "益农信息社" in station.python(get)


def test_a_wrong_clock_is_put_right_by_the_time_server(station: Station) -> None:
    station.set_clock(datetime(2019, 1, 1, tzinfo=UTC))
    assert station.clock_error_s() < -100_000_000
    station.time_server_answers()
    assert abs(station.clock_error_s()) < 2


def test_the_disk_is_full_for_all_but_root(station: Station) -> None:
    with station.full_disk():
        output = station.tried(
            "setpriv --reuid yinong --regid yinong --init-groups sh -c 'head -c 200000 /dev/zero > /var/lib/yinong-agent/x'"
        )
        assert "No space left" in output.err
    station.run(
        "setpriv --reuid yinong --regid yinong --init-groups sh -c 'head -c 200000 /dev/zero > /var/lib/yinong-agent/x'"
    )


def test_a_power_cut_loses_what_was_not_flushed_and_the_station_boots_again(station: Station) -> None:
    station.run("echo kept > /srv/kept; sync; echo lost > /srv/lost")
    station.power_cut()
    station.power_on(clock="2019-01-01T00:00:00")
    assert station.run("cat /srv/kept") == "kept"
    assert not station.tried("cat /srv/lost").out
    assert station.clock_error_s() < -1_000_000  # systemd moves a clock that is before its own build to that time


def _is_read(station: Station, node: str) -> None:
    """What a gun sends while no process has it open is lost."""
    station.wait_for(
        f"ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q \"$(readlink -f '{node}')$\"", f"somebody to read {node}"
    )
