"""Around a scan at the counter: the till receives it too, the terminal beeps, a new gun is learned, a camera replaces the gun."""

import struct

from lab.agent import UNIT, Agent
from lab.camera import Camera
from lab.county import County
from lab.guns import KeyboardGun
from lab.keys import alt_code, typed
from lab.station import Station

from drivers.scan_gun.replay.learning import CODES

ENTER = 28
CODE = "6901234567892"
DIGITS = {c: 2 + i for i, c in enumerate("1234567890")}
KEYS = [*(DIGITS[c] for c in CODE), ENTER]
VIRTUAL = (
    "grep -l '^yinong-agent pass-through' /sys/class/input/event*/device/name"
    " | sed 's,.*/\\(event[0-9]*\\)/.*,/dev/input/\\1,'"
)


def test_the_till_gets_what_a_grabbed_gun_typed_and_gets_the_gun_back_when_the_agent_dies(
    station: Station, gun: KeyboardGun, agent: Agent, county: County
) -> None:
    agent.configure({"class": "scan_gun", "id": "gun", "usb": gun.identity.vendor_product, "grab": "pass_through"})
    agent.start()
    agent.opens(gun.by_id)
    station.wait_for(f'test -n "$({VIRTUAL})"', "the virtual keyboard")
    till = station.hand.start("keyboard.pressed", pattern=station.run(VIRTUAL), keys=len(KEYS), timeout_s=30)
    gun.type(CODE)
    assert station.hand.finish(till, 40) == KEYS
    county.waits_for("the capture", lambda: county.captures() == [CODE])
    station.run(f"systemctl mask --runtime {UNIT}; kill -9 {agent.pid}")
    station.wait_for(f'test -z "$({VIRTUAL})"', "the virtual keyboard to go")
    till = station.hand.start("keyboard.pressed", pattern=gun.by_id, keys=len(KEYS), timeout_s=30)
    gun.type(CODE)
    assert station.hand.finish(till, 40) == KEYS


def test_the_terminal_beeps_after_the_capture(station: Station, gun: KeyboardGun, agent: Agent, county: County) -> None:
    station.run("modprobe pcspkr; udevadm settle")
    node = "/dev/input/by-path/platform-pcspkr-event-spkr"
    station.wait_for(f"test -e {node}", "the PC speaker")
    station.run(f"systemd-run -q --unit lab-ear sh -c 'exec cat {node} > /run/lab.tones'")
    agent.start_with(gun)
    gun.type(CODE)
    county.waits_for("the capture", lambda: county.captures() == [CODE])
    station.wait_for("test $(stat -c %s /run/lab.tones) -ge 48", "the tone and its end")
    data = bytes.fromhex(station.run("od -An -v -tx1 /run/lab.tones").replace(" ", "").replace("\n", ""))
    tones = [value for _, _, kind, code, value in struct.iter_unpack("llHHi", data) if (kind, code) == (0x12, 2)]
    assert tones[-2] > 0 and tones[-1] == 0


def test_a_new_gun_is_learned_by_three_scans_and_its_table_written(
    station: Station, gun: KeyboardGun, agent: Agent
) -> None:
    station.run(
        "systemd-run -q --unit lab-learn sh -c 'exec yinong-agent --lang en learn --write > /run/lab.learn 2>&1'"
    )

    def scan(number: int, reports: list[bytes]) -> None:
        station.wait_for(f"grep -q 'Code {number} of 3' /run/lab.learn", f"code {number}", timeout_s=60)
        gun.send(reports, pace_ms=4)

    scan(1, typed(CODES.ascii + "\n"))
    chinese = [report for c in CODES.chinese[2:] for report in alt_code(str(ord(c)))]
    scan(2, [*typed(CODES.chinese[:2]), *chinese, *typed("\n")])
    assert int(gun.lights() or "0", 16) & 2  # CapsLock was lit on the gun's own node
    scan(3, typed(CODES.ean + "\n"))
    station.wait_for("grep -qE 'no mistakes|Error|rror:' /run/lab.learn", "the end", timeout_s=60)
    output = station.run("cat /run/lab.learn")
    assert (
        "ends with Enter" in output and "Alt codes, Unicode, read right" in output and "CapsLock: no effect" in output
    )
    written = station.run("cat /etc/yinong-agent/agent.toml")
    assert f'usb = "{gun.identity.vendor_product}' in written and 'suffix = "enter"' in written
    agent.start()
    agent.opens(gun.by_id)


def test_the_camera_is_opened_only_while_it_is_asked_to_read(station: Station, camera: Camera, agent: Agent) -> None:
    agent.configure({"class": "video", "id": "camera", "microphone": False, "speaker": False})
    agent.start()
    nothing = station.tried("yinong-agent --lang en scan --camera --seconds 5", timeout_s=120)
    assert nothing.code == 1, nothing  # the picture holds no code, and nothing failed
    assert station.tried(f"ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q '{camera.device}$'").code == 1
    with camera.in_a_conference():
        taken = station.tried("yinong-agent --lang en scan --camera --seconds 5", timeout_s=120)
    assert taken.code == 2 and "in use" in taken.err
