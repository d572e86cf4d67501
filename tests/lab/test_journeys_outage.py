"""What happens to a station and to its line, each case by its name: power, the broker, the service itself, devices that hang."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lab.agent import UNIT, Agent
from lab.camera import Camera
from lab.county import County
from lab.guns import KeyboardGun
from lab.places import say
from lab.printers import NetworkPrinter
from lab.station import Station


def test_broker_gone_for_an_hour_and_back(station: Station, gun: KeyboardGun, agent: Agent, county: County) -> None:
    agent.start_with(gun)
    gun.type("6901000000001")
    county.waits_for("the first scan", lambda: county.captures() == ["6901000000001"])
    county.broker.stop()
    gun.type("6901000000002")
    county.waits_for(
        "the second scan to be kept", lambda: "6901000000002" in [text for _, text, _ in agent.kept("scan")]
    )
    station.set_clock(datetime.now(UTC) + timedelta(hours=1))
    gun.type("6901000000003")
    gun.type("6901000000004")
    station.wait_for(
        f"! systemctl show -p StatusText {UNIT} | grep -q '/ connected'", "the service to say so", timeout_s=90
    )
    county.broker.start()
    county.waits_for("all of them", lambda: county.captures() == [f"690100000000{n}" for n in (1, 2, 3, 4)])
    scans = county.messages("scan")
    times = [datetime.fromisoformat(scan["at"]) for scan in scans]
    assert times[1] - times[0] < timedelta(minutes=10)
    assert timedelta(minutes=50) < times[2] - times[1] < timedelta(minutes=70)
    assert [scan["mono_ms"] for scan in scans] == sorted(scan["mono_ms"] for scan in scans)
    assert scans[3]["mono_ms"] - scans[0]["mono_ms"] < 600_000
    late = county.rows("select late from entry where kind = 'scan' order by seq")
    assert [bool(each) for (each,) in late] == [False, True, True, True]
    county.waits_for("the journal", lambda: {"link_down", "link_up"} <= set(county.events()))


def test_a_crashed_service_is_back_and_reports_the_crash(
    station: Station, gun: KeyboardGun, agent: Agent, county: County
) -> None:
    agent.start_with(gun)
    crashed = agent.pid
    station.run(f"kill -SEGV {crashed}")
    county.waits_for("the start after the crash", lambda: "crashed" in _ends(county))
    assert _starts(county)[-1]["previous_exit"]["status"] == "SEGV"
    assert agent.pid != crashed
    assert agent.restarts() == 1
    agent.opens(gun.by_id)
    gun.type("6901234567892")
    county.waits_for("a scan after the crash", lambda: county.captures() == ["6901234567892"])


@pytest.mark.long
def test_a_service_that_hangs_is_started_again_by_the_watchdog(
    station: Station, gun: KeyboardGun, agent: Agent, county: County
) -> None:
    station.put(f"/run/systemd/system/{UNIT}.d/lab.conf", "[Service]\nWatchdogSec=10\n")
    station.run("systemctl daemon-reload")
    agent.start_with(gun)
    station.run(f"sleep 12; test $(systemctl show -p NRestarts --value {UNIT}) = 0")  # a live service is not restarted
    hanging = agent.pid
    station.run(f"kill -STOP {hanging}")
    county.waits_for("the start after the hang", lambda: "crashed" in _ends(county))
    assert _starts(county)[-1]["previous_exit"]["result"] == "watchdog"
    assert agent.pid != hanging
    agent.opens(gun.by_id)
    gun.type("6901234567892")
    county.waits_for("a scan after the hang", lambda: county.captures() == ["6901234567892"])


def test_devices_that_hang_hold_nothing_up(
    station: Station, gun: KeyboardGun, camera: Camera, network_printer: NetworkPrinter, agent: Agent, county: County
) -> None:
    camera.loses_frames(100)
    station.run("systemctl kill -s STOP lab-ipp")  # accepts connections, sends nothing
    agent.configure(
        {"class": "scan_gun", "id": "gun", "usb": gun.identity.vendor_product},
        {"class": "printer", "id": "main", "address": network_printer.uri},
        {"class": "video", "id": "main"},
    )
    agent.start()
    agent.opens(gun.by_id)
    county.waits_for(
        "both to be reported", lambda: county.condition("printer") and county.condition("video"), timeout_s=120
    )
    say(f"hanging: printer {county.conditions('printer')}, camera {county.conditions('video')}")
    assert county.conditions("printer") == [("unreachable", "no_answer")]
    assert county.condition("video") in ("faulty", "unknown")
    checking = station.later("yinong-agent check --json", timeout_s=120)  # polls both of them, for seconds
    gun.type("6901234567892")
    county.waits_for("a scan meanwhile", lambda: county.captures() == ["6901234567892"], timeout_s=30)
    checking()
    assert agent.restarts() == 0
    agent.stop()
    assert station.run(f"systemctl show -p Result --value {UNIT}") == "success"


def test_a_disk_that_fills_up_is_reported_and_no_scan_is_lost(
    station: Station, gun: KeyboardGun, agent: Agent, county: County
) -> None:
    """Scans meanwhile are stored in the disk space of the ballast file, or wait in memory until there is space."""
    agent.configure(
        {"class": "scan_gun", "id": "gun", "usb": gun.identity.vendor_product}, {"class": "terminal", "id": "main"}
    )
    agent.start()
    agent.opens(gun.by_id)
    texts = [f"690100000000{number}" for number in range(7)]
    gun.type(texts[0])
    county.waits_for("the first scan", lambda: county.captures() == texts[:1])
    with station.full_disk():
        for text in texts[1:6]:
            gun.type(text)
        states = {each["class"]: (each["condition"], each["reason"]) for each in agent.check()["devices"]}
    gun.type(texts[6])
    county.waits_for("all of them", lambda: county.captures() == texts)
    say(f"full disk: {states}")
    assert states["terminal"] == ("faulty", "disk_full")
    assert agent.restarts() == 0


def _ends(county: County) -> list[str]:
    """How each previous run had ended, by the county's journal."""
    return [start["previous_end"] for start in _starts(county)]


def _starts(county: County) -> list[dict[str, Any]]:
    return [m["details"] for m in county.messages("journal") if m["event"] == "start"]
