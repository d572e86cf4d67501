"""What the event journal proves, on a real kernel under systemd: ends of runs, clocks, suspends, and where the line failed."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lab.agent import UNIT, Agent
from lab.county import County
from lab.guns import KeyboardGun
from lab.network import Network, Place
from lab.places import say
from lab.station import IN_THE_WRONG_YEAR, Station


def recorded(county: County, event: str) -> list[dict[str, Any]]:
    return [m["details"] for m in county.messages("journal") if m["event"] == event]


def waits_for(county: County, event: str, number: int, timeout_s: float = 90) -> dict[str, Any]:
    county.waits_for(f"{event} {number}", lambda: len(recorded(county, event)) >= number, timeout_s=timeout_s)
    return recorded(county, event)[number - 1]


@pytest.mark.long
def test_a_shutdown_is_distinguished_from_a_stop_of_the_service_also_in_the_wrong_year(
    station: Station, agent: Agent, county: County
) -> None:
    station.run("systemctl start yinong-machine")
    agent.start()
    agent.stop()
    agent.start()
    station.hand.start("run", command="systemctl poweroff", timeout_s=60, stdin="")
    deadline = time.monotonic() + 90
    while station.machine.is_on:
        assert time.monotonic() < deadline, "it does not go down"
        time.sleep(0.1)
    station.power_cut()
    station.power_on(clock=IN_THE_WRONG_YEAR)
    starts = [waits_for(county, "start", number, 180) for number in (1, 2, 3)]
    print(*starts, sep="\n")
    assert [(s["previous_end"], s.get("previous_stop"), s.get("new_boot", False)) for s in starts] == [
        ("first", None, False),
        ("clean", "service", False),
        ("clean", "machine", True),
    ]
    assert [s.get("of") for s in recorded(county, "stop")] == ["service", "machine"]
    *_, last = (m for m in county.messages("journal") if m["event"] == "start")
    assert (last["clock"], last["at"][:4]) == ("unsynced", "2036")
    station.wait_until_up()
    station.run(f"systemctl is-active {UNIT} yinong-machine")
    station.time_server_answers()
    good = waits_for(county, "clock_synced", 1)
    assert abs(datetime.fromisoformat(good["at"]) - datetime.now(UTC)) < timedelta(minutes=3)


def test_a_clock_set_by_hand_is_reported_and_not_trusted_until_a_time_server_has_set_it(
    station: Station, gun: KeyboardGun, agent: Agent, county: County
) -> None:
    agent.configure({"class": "scan_gun", "id": "gun", "usb": gun.identity.vendor_product})
    station.time_server_answers()
    agent.start()
    agent.opens(gun.by_id)
    gun.type("6901000000001")
    county.waits_for("the first scan", lambda: len(county.captures()) == 1)
    station.run("systemctl stop systemd-timesyncd")
    station.set_clock(datetime(2043, 5, 1, tzinfo=UTC))
    gun.type("6901000000002")
    county.waits_for("the second scan", lambda: len(county.captures()) == 2)
    wrong = waits_for(county, "clock_stepped", 1)
    station.time_server_answers()
    waits_for(county, "clock_synced", 1)
    gun.type("6901000000003")
    county.waits_for("the third scan", lambda: len(county.captures()) == 3)
    assert (wrong["quality_before"], wrong["quality"]) == ("synced", "unsynced")
    assert timedelta(milliseconds=wrong["step_ms"]) > timedelta(days=5000)
    assert [scan["clock"] for scan in county.messages("scan")] == ["synced", "unsynced", "synced"]
    listed = station.run("yinong-agent scans list --json")
    print(listed)
    assert "2043" not in "".join(line for line in listed.splitlines() if "scanned_at" in line)


# QEMU runs a station of one processor in one thread, which busy-waits while it is suspended and does not wake well.
@pytest.mark.parametrize("station", [2], indirect=True, ids=["two processors"])
def test_a_terminal_that_slept_reports_for_how_long_and_reads_on(
    station: Station, gun: KeyboardGun, agent: Agent, county: County
) -> None:
    agent.start_with(gun)
    gun.type("6901000000001")
    county.waits_for("the first scan", lambda: len(county.captures()) == 1)
    station.sleep(20)
    slept = waits_for(county, "resumed", 1)
    say(f"asleep for 20 s: {slept}")
    assert slept["suspended_ms"] > 18_000  # the real-time clock counts whole seconds
    agent.opens(gun.by_id)
    gun.type("6901000000002")
    county.waits_for("a scan after it", lambda: len(county.captures()) == 2)
    first, second = county.messages("scan")
    assert second["mono_ms"] - first["mono_ms"] > slept["suspended_ms"]  # on the clock that runs on while it sleeps
    assert agent.restarts() == 0  # the watchdog's timer stood still too


@pytest.mark.long
def test_where_the_line_broke_is_reported_when_it_is_back(
    station: Station, network: Network, agent: Agent, county: County
) -> None:
    agent.configure({"class": "broadband", "id": "main"})
    agent.start()
    places: dict[Place, str] = {"cable": "lan", "gateway": "gateway", "line": "access_line", "broker": "county"}
    for number, (cut, layer) in enumerate(places.items(), 1):
        network.cut(cut, broker_port=county.broker.port)
        county.waits_for(
            "three polls that confirm it",
            lambda wanted=number: [event for event, *_ in agent.kept("journal")].count("link_layer") >= wanted,
            timeout_s=180,
        )
        network.mend()
        up = waits_for(county, "link_up", number + 1, 180)
        told_then = waits_for(county, "link_layer", number)  # the backlog comes behind the live messages
        say(f"{cut} cut: {up} {told_then}")
        assert (up["cause"], told_then["layer"]) == (layer, layer)
        assert told_then["probes"]
