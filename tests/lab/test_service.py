"""The service as installed: its account, its sandbox, its start, its stop, and what systemd says of it."""

import re

from lab.agent import UNIT, Agent
from lab.camera import Camera
from lab.county import County
from lab.guns import CdcGun, FtdiGun, KeyboardGun, PosGun
from lab.installed import SOURCE
from lab.places import say
from lab.printers import UsbPrinter
from lab.screen import Screen
from lab.sound import Microphone, Speaker
from lab.station import Station


def test_the_service_starts_runs_as_its_own_user_and_says_how_it_is(station: Station, agent: Agent) -> None:
    agent.start()
    shown = station.run(f"systemctl status --no-pager {UNIT}")
    print(shown)
    assert "active (running)" in shown
    assert re.search(r'Status: "\S', shown)
    assert station.run(f"ps -o user= -p {agent.pid}").strip() == "yinong"
    groups = station.run(f"grep ^Groups /proc/{agent.pid}/status").split()[1:]
    names = {station.run(f"getent group {gid} | cut -d: -f1") for gid in groups}
    assert {"input", "dialout", "lp", "video", "audio"} <= names
    assert station.run(f"grep ^CapEff /proc/{agent.pid}/status").split()[1].strip("0") == ""


def test_the_service_sees_every_device_as_its_own_user(
    station: Station, gun: KeyboardGun, cdc_gun: CdcGun, ftdi_gun: FtdiGun, pos_gun: PosGun, usb_printer: UsbPrinter,
    camera: Camera, microphone: Microphone, speaker: Speaker, screen: Screen, agent: Agent, county: County,
) -> None:  # fmt: skip
    guns = (gun, cdc_gun, ftdi_gun, pos_gun)
    named = {each.name: f"{each.identity.vendor_product}:{each.identity.serialnumber}" for each in guns}
    tables = [{"class": "scan_gun", "id": name, "usb": usb} for name, usb in named.items()]
    others = ("printer", "video", "led_screen", "broadband", "terminal")
    agent.configure(*tables, *({"class": each, "id": "main"} for each in others))
    agent.start()
    for each in guns:
        agent.opens(each.device_file)
    wanted = {*(("scan_gun", name) for name in named), *((each, "main") for each in others)}

    def told() -> dict[tuple[str, str], tuple[str, str]]:
        return {(m["class"], m["id"]): (m["condition"], m["reason"]) for m in county.messages("device")}

    county.waits_for("a word of every device", lambda: told().keys() >= wanted, timeout_s=180)
    say(f"seen by the service: {told()}")
    not_seen = {key: seen for key, seen in told().items() if seen[0] in ("absent", "unreachable")}
    forbidden = {key: seen for key, seen in told().items() if seen[1] == "no_permission"}
    assert (not_seen, forbidden) == ({}, {})
    assert {seen[0] for (kind, _), seen in told().items() if kind == "scan_gun"} == {"working"}


def test_systemd_finds_the_sandbox_tight(station: Station) -> None:
    said = station.run(f"systemd-analyze security --no-pager {UNIT}")
    print(said)
    level = re.search(r"Overall exposure level.*: ([0-9.]+)", said)
    assert level and float(level[1]) <= 3.5
    assert station.tried(f"systemd-analyze verify {UNIT}").err == ""


def test_the_journal_is_quiet_and_has_no_traceback(station: Station, agent: Agent) -> None:
    agent.start()
    station.run("sleep 5")
    log = agent.log()
    print(log)
    assert "Traceback" not in log
    assert "no_hotplug" not in log
    assert len(log.splitlines()) < 60


def test_a_clean_stop_says_goodbye(station: Station, agent: Agent, county: County) -> None:
    agent.start()
    agent.stop()
    assert station.run(f"systemctl show -p Result --value {UNIT}") == "success"
    county.waits_for(
        "the farewell",
        lambda: county.rows("select 1 from latest where leaf = 'state' and cast(body as text) like '%\"closing\"%'"),
    )


def test_a_clean_stop_takes_seconds_also_with_a_dead_broker(station: Station, agent: Agent, county: County) -> None:
    agent.start()
    county.broker.kill()
    agent.stop()
    assert station.run(f"systemctl show -p Result --value {UNIT}") == "success"


def test_a_wrong_configuration_is_told_and_not_tried_for_ever(station: Station, agent: Agent) -> None:
    station.run("sed -i 's/450225/45022/' /etc/yinong-agent/agent.toml")
    assert station.tried(f"systemctl restart {UNIT}").code
    assert station.run(f"systemctl show -p ExecMainStatus --value {UNIT}") == "78"
    assert station.run(f"systemctl is-failed {UNIT} || true") == "failed"
    assert "station.division" in agent.log()


def test_without_a_broker_password_it_starts_all_the_same(station: Station, agent: Agent) -> None:
    station.run("rm /etc/credstore/yinong-agent.broker-password")
    station.run(f"systemctl restart {UNIT}", timeout_s=120)
    assert station.run(f"systemctl is-active {UNIT}") == "active"


def test_installing_again_changes_nothing_and_keeps_the_configuration(station: Station, agent: Agent) -> None:
    places = "/etc/yinong-agent /etc/udev/rules.d /etc/systemd/system/yinong-agent.service /etc/sysctl.d"
    sums = f"find {places} -type f | sort | xargs md5sum"
    before = station.run(sums)
    station.run(f"{SOURCE}/systemd/install.sh --no-start $(ls {SOURCE}/*.whl) /opt/wheelhouse", timeout_s=300)
    assert station.run(sums) == before
    agent.start()


def test_a_terminal_without_anything_of_ours_is_installed_from_the_wheelhouse_alone(
    station: Station, agent: Agent
) -> None:
    station.run("rm -rf /opt/yinong-agent; ip link set eth0 down")
    station.run(f"{SOURCE}/systemd/install.sh --no-start $(ls {SOURCE}/*.whl) /opt/wheelhouse", timeout_s=550)
    station.run("ip link set eth0 up; networkctl reload; networkctl reconfigure eth0")
    agent.start()


def test_unprivileged_ping_works_for_the_account(station: Station) -> None:
    program = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP); print('may')"
    assert station.python(program, user="yinong") == "may"
