"""A look at the line: who answers, near to far, on real sockets; counters from a real file tree."""

import resource
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.broadband.driver import Broadband, find
from drivers.broadband.line import Rate
from drivers.reading import Condition, Reading, Reason

Ports = dict[str, str]


def line(**options: Any) -> Broadband:
    return msgspec.convert({"id": "line", "gateway": "127.0.0.1:9", "internet": []} | options, Broadband)


def seen(reading: Reading) -> tuple[Condition, str]:
    return reading.condition, reading.reason.code


def measured(line_mbps: float, uptime_s: float, **measures: Any) -> Reading:
    rate = Rate(line_mbps / 1.046, None, line_mbps, 0.0, "measured", 0.0)
    return Reading(
        condition=Condition.WORKING,
        reason=Reason("rate_ok"),
        measures=rate.measures | {"uptime_s": uptime_s} | measures,
    )


async def test_a_line_that_answers_is_working_but_its_rate_is_unproven(terminal: Any, ports: Ports) -> None:
    reading = await line(gateway=ports["refuses"], internet=[ports["answers"]]).look(terminal.root)
    assert seen(reading) == (Condition.WORKING, "rate_not_measured")
    assert reading.measures["line_mbps"] is None and reading.measures["down_mbps"] is None
    assert reading.measures["rtt_ms"] == reading.measures["internet_rtt_ms"]
    assert [(e.method, e.raw["outcome"]) for e in reading.evidence[1:]] == [
        ("tcp connect", "refused"),
        ("tcp connect", "answered"),
    ]


async def test_a_refused_connection_is_an_answer(terminal: Any, ports: Ports) -> None:
    reading = await line(internet=[ports["refuses"]]).look(terminal.root)
    assert reading.condition is Condition.WORKING
    assert reading.measures["internet_rtt_ms"] is not None


async def test_gateway_answers_and_nothing_beyond_is_the_access_line(terminal: Any, ports: Ports) -> None:
    driver = line(gateway=ports["refuses"], internet=[ports["silent"]], county=ports["silent"])
    reading = await driver.look(terminal.root)
    assert seen(reading) == (Condition.FAULTY, "access_line_down")
    assert reading.measures["gateway_rtt_ms"] is not None and reading.measures["rtt_ms"] is None


async def test_a_silent_gateway_and_silence_beyond_is_the_lan(terminal: Any, ports: Ports) -> None:
    reading = await line(gateway=ports["silent"], internet=[ports["silent"]]).look(terminal.root)
    assert seen(reading) == (Condition.UNREACHABLE, "lan_down")


async def test_a_gateway_that_ignores_probes_is_healthy_if_hosts_beyond_it_answer(terminal: Any, ports: Ports) -> None:
    reading = await line(gateway=ports["silent"], internet=[ports["answers"]]).look(terminal.root)
    assert seen(reading) == (Condition.WORKING, "rate_not_measured")
    assert reading.measures["gateway_rtt_ms"] is None


async def test_the_other_hosts_are_probed_if_the_first_is_silent(terminal: Any, ports: Ports) -> None:
    reading = await line(internet=[ports["silent"], ports["refuses"]]).look(terminal.root)
    assert reading.condition is Condition.WORKING
    assert [e.source for e in reading.evidence[2:]] == [ports["silent"], ports["refuses"]]


@pytest.mark.parametrize(
    ("internet", "county", "code"),
    [
        ("answers", "silent", "county_unreachable"),
        ("answers", "refuses", "county_refuses"),
        ("silent", "answers", "internet_unreachable"),
    ],
)
async def test_a_single_silent_host_needs_attention(
    terminal: Any, ports: Ports, internet: str, county: str, code: str
) -> None:
    reading = await line(internet=[ports[internet]], county=ports[county]).look(terminal.root)
    assert seen(reading) == (Condition.ATTENTION, code)


async def test_a_county_known_by_name_is_probed_through_the_hosts_file(terminal: Any, ports: Ports) -> None:
    port = ports["answers"].rpartition(":")[2]
    reading = await line(county=f"county.test:{port}").look(terminal.root)
    assert seen(reading) == (Condition.WORKING, "rate_not_measured")
    reading = await line(county=f"nobody.test:{port}", internet=[ports["answers"]]).look(terminal.root)
    assert seen(reading) == (Condition.ATTENTION, "county_unreachable")
    assert reading.evidence[-1].raw["outcome"] == "name not resolved"


async def test_without_a_host_to_probe_the_line_is_unknown(terminal: Any) -> None:
    assert seen(await line().look(terminal.root)) == (Condition.UNKNOWN, "nothing_to_ask")


async def test_a_pulled_cable_is_unreachable_and_keeps_the_last_rate(terminal: Any, ports: Ports) -> None:
    terminal.write("sys/class/net/eth0/carrier", "0\n")
    terminal.routes()
    reading = await line().look(terminal.root, measured(9.5, 400.0))
    assert seen(reading) == (Condition.UNREACHABLE, "no_carrier")
    assert (reading.measures["line_mbps"], reading.measures["measured_age_s"]) == (9.5, 600.0)


async def test_a_link_without_default_route_has_no_address_from_the_router(terminal: Any) -> None:
    terminal.routes("eth0\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0")
    assert seen(await line(gateway="auto").look(terminal.root)) == (Condition.UNREACHABLE, "lan_down")


async def test_only_loopback_is_absent(terminal: Any) -> None:
    terminal.routes()
    (terminal.root / "sys/class/net/eth0/device").rmdir()  # what is left is a bridge or the like
    reading = await line().look(terminal.root, measured(9.5, 400.0))
    assert seen(reading) == (Condition.ABSENT, "no_interface")
    assert (reading.measures["line_mbps"], reading.measures["measured_age_s"]) == (9.5, 600.0)
    reading = await line(interface="wlan9").measure(terminal.root, reading)
    assert seen(reading) == (Condition.ABSENT, "interface_missing")
    assert reading.measures["line_mbps"] == 9.5


async def test_an_empty_root_is_absent_not_a_crash(tmp_path: Path) -> None:
    reading = await Broadband(id="line").look(tmp_path)
    assert seen(reading) == (Condition.ABSENT, "no_interface")
    assert find(tmp_path) == []


async def test_throughput_is_the_difference_between_two_looks(terminal: Any) -> None:
    driver = line()
    first = await driver.look(terminal.root)
    assert first.measures["nic_down_mbps"] is None
    terminal.nics["eth0"].add(7_500_000, 750_000)
    terminal.uptime(1060)
    second = await driver.look(terminal.root, first)
    assert (second.measures["nic_down_mbps"], second.measures["nic_up_mbps"]) == (1.0, 0.1)


async def test_a_reboot_makes_no_throughput_and_forgets_the_rate_whose_age_is_not_known(terminal: Any) -> None:
    before = measured(9.5, 90_000.0, rx_bytes=10, tx_bytes=10)
    reading = await line().look(terminal.root, before)
    assert reading.measures["nic_down_mbps"] is None
    assert reading.measures["line_mbps"] is None and reading.measures["measured_age_s"] is None


@pytest.mark.parametrize(
    ("line_mbps", "age_s", "expected"),
    [
        (9.5, 100, (Condition.WORKING, "rate_ok")),
        (7.2, 100, (Condition.WORKING, "rate_ok")),
        (7.19, 100, (Condition.FAULTY, "below_8m")),
        (9.5, 49 * 3600, (Condition.WORKING, "rate_old")),
    ],
)
async def test_a_look_reports_the_last_rate_and_its_age(
    terminal: Any, ports: Ports, line_mbps: float, age_s: float, expected: tuple[Condition, str]
) -> None:
    driver = line(internet=[ports["answers"]])
    previous = measured(line_mbps, 1000.0)
    for at in (1000 + age_s / 2, 1000 + age_s):  # copied from look to look
        terminal.uptime(at)
        previous = await driver.look(terminal.root, previous)
    assert seen(previous) == expected
    assert previous.measures["measured_age_s"] == age_s


async def test_an_arrears_page_seen_by_the_last_measurement_needs_attention(terminal: Any, ports: Ports) -> None:
    before = measured(9.5, 900.0, last_measurement="captive_page", attempt_age_s=0.0)
    reading = await line(internet=[ports["answers"]]).look(terminal.root, before)
    assert seen(reading) == (Condition.ATTENTION, "captive_page")


async def test_wifi_level_is_read_and_find_advises_a_cable(terminal: Any) -> None:
    terminal.add_nic("wlan0", speed="-1")
    (terminal.root / "sys/class/net/wlan0/wireless").mkdir()
    head = "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n face | tus | ...\n"
    terminal.write("proc/net/wireless", head + " wlan0: 0000   54.  -56.  -256        0      0      0\n")
    terminal.routes(
        "eth0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0",
        "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0",
    )
    reading = await line().look(terminal.root)  # the preferred route is the Wi-Fi's
    assert reading.measures["wifi_level_dbm"] == -56.0 and reading.measures["nic_speed_mbps"] is None
    wifi, wired = find(terminal.root)
    assert (wifi.options["interface"], wired.options["interface"]) == ("wlan0", "eth0")
    assert "cable" in wifi.note and "1000 Mbit/s" in wired.label and not wired.note


@pytest.mark.parametrize(
    "options",
    [
        {"internet": ["223.5.5.5:99999"]},
        {"county": "mqtt://county"},
        {"gateway": "a b"},
        {"mini_url": "ftp://county"},
        {"interface": "../../etc"},
        {"interface": ".."},
        {"access": "fibre"},
        {"threshold_ratio": 0},
        {"measure_s": 60},
        {"speed": 8},
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        line(**options)


def test_the_sample_holds_every_option_with_its_default() -> None:
    words = (Path(__file__).parents[3] / "drivers/broadband/sample.toml").read_text("utf-8")
    table = tomllib.loads(words)["device"][0]
    assert table.pop("class") == "broadband"
    assert msgspec.convert(table, Broadband) == Broadband(id="line")
    assert set(table) == {field.name for field in msgspec.structs.fields(Broadband)}


async def test_an_idle_look_costs_a_few_milliseconds_at_most(terminal: Any, ports: Ports) -> None:
    driver = line(gateway=ports["refuses"], internet=[ports["answers"]], county=ports["answers"])
    reading = await driver.look(terminal.root)

    def cpu_s() -> float:
        usage = resource.getrusage(resource.RUSAGE_THREAD)
        return usage.ru_utime + usage.ru_stime

    before = cpu_s()
    for _ in range(50):
        reading = await driver.look(terminal.root, reading)
    each_ms = (cpu_s() - before) / 50 * 1000
    print(f"CPU of one look: {each_ms:.2f} ms")
    assert each_ms < 10  # the budget is about 1 ms; a bound that a busy test machine keeps
