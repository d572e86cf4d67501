"""The measurement: speedtest-cli in its child process against real shaped sockets, and against liars."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.broadband.driver import Broadband
from drivers.broadband.line import Rate, RequiredRate
from drivers.broadband.measurement import BadReport, evaluate, goodput_mbps, parse_report
from drivers.reading import Condition, Reading, Reason

CASES = sorted((Path(__file__).parent / "cases").iterdir())
FIGURES = ("down_mbps", "up_mbps", "line_mbps", "measured_age_s")


def line(server: Any, **options: Any) -> Broadband:
    return msgspec.convert(
        {"id": "line", "interface": "eth0", "mini_url": server.url, "measure_s": 1.4} | options, Broadband
    )


async def measured_calmly(driver: Broadband, root: Path, server: Any) -> Reading:
    """A measurement during which the server truly served its rate; a stalled test machine is another line, and is tried again."""
    for _ in range(8):
        reading = await driver.measure(root)
        if (
            server.served
            and reading.reason.code != "terminal_busy"
            and server.served_mbps == pytest.approx(server.mbps, rel=0.08)
        ):
            break
    return reading


def raw(reading: Reading, method: str) -> Any:
    return next(evidence.raw for evidence in reading.evidence if evidence.method == method)


@pytest.mark.parametrize(
    ("mbps", "condition", "code"),
    [
        (10, Condition.WORKING, "rate_ok"),
        (7.65, Condition.WORKING, "rate_ok"),  # the payload of a line of exactly 8M at layer 2
        (6.5, Condition.FAULTY, "below_8m"),
        (5, Condition.FAULTY, "below_8m"),
    ],
)
async def test_a_shaped_line_reads_its_rate_and_is_judged_by_its_line_equivalent(
    terminal: Any, mini: Callable[..., Any], mbps: float, condition: Condition, code: str
) -> None:
    server = mini(mbps)
    # the kernel paces loopback in bursts of 22 KB (tcp_tso_rtt_log): 3 % of what a second brings at 5 Mbit/s
    reading = await measured_calmly(line(server, measure_s=3.0), terminal.root, server)
    down, at_line = reading.measures["down_mbps"], reading.measures["line_mbps"]
    assert isinstance(down, float) and isinstance(at_line, float)
    assert down == pytest.approx(mbps, rel=0.04)  # the facts' own error of the tuned test is -1.5 to -1.9 %
    assert at_line == pytest.approx(down * 1514 / 1448, rel=1e-3)
    assert (reading.condition, reading.reason.code) == (condition, code)
    assert reading.measures["measured_age_s"] == 0.0 and reading.measures["last_measurement"] == "measured"
    down_seen = raw(reading, "http download")
    assert down_seen["status"] == 200 and down_seen["received"] <= 6_010_240
    assert raw(reading, "speedtest-cli")["speedtest_bytes"] == down_seen["received"]
    assert reading.measures["up_mbps"] is not None


async def test_a_full_bucket_does_not_hide_a_slow_line(terminal: Any, mini: Callable[..., Any]) -> None:
    """speedtest-cli alone reads 6.6 from this 5 Mbit/s line: the bucket's 256 KB came in a burst."""
    server = mini(5, bucket_bytes=262_144)
    reading = await measured_calmly(line(server, measure_s=3.0), terminal.root, server)
    assert reading.reason.code == "below_8m"
    assert reading.measures["down_mbps"] == pytest.approx(5, rel=0.05)


async def test_a_fast_line_is_not_flooded(terminal: Any, mini: Callable[..., Any]) -> None:
    reading = await line(mini(400)).measure(terminal.root)
    assert reading.reason.code == "rate_ok"
    assert raw(reading, "http download")["received"] <= 6_010_240


@pytest.mark.parametrize(
    ("fault", "condition", "code", "params"),
    [
        ("missing", Condition.UNKNOWN, "endpoint_error", {"status": 404, "file": "random4000x4000.jpg"}),
        ("files_500", Condition.UNKNOWN, "endpoint_error", {"status": 500, "file": "random4000x4000.jpg"}),
        ("error_500", Condition.UNKNOWN, "endpoint_error", {"status": 500, "file": "latency.txt"}),
        ("captive", Condition.ATTENTION, "captive_page", {}),
        ("captive_files", Condition.ATTENTION, "captive_page", {}),
        ("redirect", Condition.ATTENTION, "captive_page", {}),
        ("truncated", Condition.UNKNOWN, "cut_midway", None),
        ("stall", Condition.UNKNOWN, "cut_midway", None),
        ("wrong_size", Condition.UNKNOWN, "endpoint_wrong_file", None),
        ("garbage", Condition.UNKNOWN, "endpoint_unreachable", None),
    ],
)
async def test_a_lying_endpoint_makes_a_typed_reason_and_no_rate(
    terminal: Any, mini: Callable[..., Any], fault: str, condition: Condition, code: str, params: dict[str, Any] | None
) -> None:
    reading = await line(mini(10, fault=fault)).measure(terminal.root)
    assert (reading.condition, reading.reason.code) == (condition, code)
    assert params is None or reading.reason.params == params
    assert [reading.measures[name] for name in FIGURES] == [None] * 4
    assert reading.measures["last_measurement"] == code


async def test_nobody_listening_is_the_endpoint_not_the_line(terminal: Any, ports: dict[str, str]) -> None:
    driver = Broadband(id="line", interface="eth0", mini_url=f"http://{ports['refuses']}")
    reading = await driver.measure(terminal.root)
    assert (reading.condition, reading.reason.code) == (Condition.UNKNOWN, "endpoint_unreachable")


async def test_without_an_endpoint_nothing_is_measured(terminal: Any) -> None:
    reading = await Broadband(id="line").measure(terminal.root)
    assert (reading.condition, reading.reason.code) == (Condition.UNKNOWN, "no_endpoint")


async def test_a_busy_line_is_not_measured(terminal: Any, mini: Callable[..., Any]) -> None:
    server = mini(10)

    async def download_of_others() -> None:
        while True:
            terminal.nics["eth0"].add(40_000, 800)
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as both:
        others = both.create_task(download_of_others())
        reading = await line(server).measure(terminal.root)
        others.cancel()
    assert (reading.condition, reading.reason.code) == (Condition.UNKNOWN, "line_busy")
    assert server.asked == []  # not a byte was spent


async def test_other_traffic_during_the_test_makes_no_rate_below_the_required_one(
    terminal: Any, mini: Callable[..., Any]
) -> None:
    server = mini(5, others=0.6)
    reading = await measured_calmly(line(server), terminal.root, server)
    assert reading.reason.code == "line_busy" and reading.measures["line_mbps"] is None


async def test_a_rate_above_the_required_one_is_valid_despite_other_traffic(
    terminal: Any, mini: Callable[..., Any]
) -> None:
    server = mini(20, others=0.6)
    reading = await measured_calmly(line(server), terminal.root, server)
    assert reading.reason.code == "rate_ok"


async def test_bytes_that_the_interface_never_carried_are_no_measurement(
    terminal: Any, mini: Callable[..., Any]
) -> None:
    reading = await line(mini(10, nic=terminal.add_nic("eth1"))).measure(terminal.root)
    assert reading.reason.code == "counts_disagree" and reading.measures["line_mbps"] is None


async def test_an_endpoint_on_this_machine_is_counted_on_loopback_with_evidence_of_it(
    terminal: Any, mini: Callable[..., Any]
) -> None:
    server = mini(20, nic=terminal.nics["lo"])
    reading = await measured_calmly(line(server, interface="auto"), terminal.root, server)
    assert reading.reason.code == "rate_ok"
    assert reading.evidence[-1].source == "/sys/class/net/lo"


async def test_a_failed_attempt_keeps_the_figures_and_the_age_of_the_last_good_one(
    terminal: Any, mini: Callable[..., Any]
) -> None:
    server = mini(20)
    good = await measured_calmly(line(server), terminal.root, server)
    terminal.uptime(1500)
    failed = await line(mini(10, fault="missing")).measure(terminal.root, good)
    assert failed.reason.code == "endpoint_error"
    assert failed.measures["line_mbps"] == good.measures["line_mbps"]
    assert (failed.measures["measured_age_s"], failed.measures["attempt_age_s"]) == (500.0, 0.0)


async def test_a_proxy_of_the_environment_is_not_used(
    terminal: Any, mini: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, ports: dict[str, str]
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{ports['refuses']}")
    server = mini(20)
    assert (await measured_calmly(line(server), terminal.root, server)).reason.code == "rate_ok"


def test_a_terminal_without_processor_time_makes_no_rate_below_the_required_one() -> None:
    answer = json.loads((Path(__file__).parent / "cases/below_5m/child.json").read_text("utf-8"))
    answer["exchanges"][2]["cpu_wait_s"] = 0.2
    assert answer["exchanges"][2]["step"] == "download"
    outcome = evaluate(parse_report(answer), "ethernet", 1500, RequiredRate(8.0, 0.9), 262_144)
    assert (outcome.rate, outcome.reason and outcome.reason.code) == (None, "terminal_busy")


def test_the_daemon_imports_no_speedtest() -> None:
    code = "import sys, drivers.broadband.driver; print('speedtest' in sys.modules, 'urllib.request' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert ran.stdout.split() == ["False", "False"], ran.stderr


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_recorded_report_makes_its_outcome(case: Path) -> None:
    report = parse_report(json.loads((case / "child.json").read_text("utf-8")))
    outcome = evaluate(report, "ethernet", 1500, RequiredRate(8.0, 0.9), 262_144)
    assert json.loads(msgspec.json.encode(outcome)) == json.loads((case / "outcome.json").read_text("utf-8"))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
EXCHANGE = st.fixed_dictionaries(
    {
        "step": st.sampled_from(["latency", "index", "download", "upload", "?"]),
        "url": st.text(max_size=30),
        "final_url": st.text(max_size=30),
        "status": st.none() | st.integers(-1, 999),
        "content_type": st.text(max_size=20),
        "length": st.none() | st.integers(),
        "head": st.sampled_from(["", "test=test\n", "<html>"]) | st.text(max_size=64),
        "received": st.integers(),
        "ended": st.sampled_from(["whole", "early", "stopped", "error", ""]),
        "error": st.text(max_size=20),
        "answered_s": st.none() | st.floats(0, 100),
        "samples": st.lists(st.tuples(st.floats(0, 100), st.integers(0, 1 << 40)), max_size=6),
        "nic_rx_bytes": st.none() | st.integers(),
        "cpu_wait_s": st.none() | st.floats(0, 100),
    }
)


@given(
    st.lists(EXCHANGE, max_size=5),
    st.dictionaries(
        st.sampled_from(["mini", "ping_ms", "sent_bytes", "nic_settled_bytes", "speedtest_bytes"]), SCALARS
    ),
)
def test_any_report_is_judged_or_refused(exchanges: list[dict[str, Any]], rest: dict[str, Any]) -> None:
    try:
        report = parse_report(rest | {"exchanges": exchanges})
    except BadReport:
        return
    outcome = evaluate(report, "ethernet", 1500, RequiredRate(8.0, 0.9), 262_144)
    assert (outcome.rate is None) == (outcome.reason is not None)


def test_the_ramp_is_not_counted() -> None:
    """A second in which the bucket's 1 MB came in a burst, then 5 Mbit/s."""
    samples = ((0.1, 1_000_000), *((0.1 + step / 10, 1_000_000 + 62_500 * step) for step in range(1, 21)))
    assert goodput_mbps(samples) == pytest.approx(5.0, rel=0.01)
    assert goodput_mbps(((0.2, 1_000_000),)) == pytest.approx(40.0)
    assert goodput_mbps(()) is None


def test_rates_are_carried_as_they_are() -> None:
    rate = Rate(9.0, 1.0, 9.4, 10.0, "measured", 10.0)
    assert Rate.carried(rate.measures | {"uptime_s": 100.0}, 160.0) == rate._replace(age_s=70.0, last_age_s=70.0)
    hostile = dict.fromkeys([*rate.measures, "uptime_s"], "x")
    assert Rate.carried(hostile | {"uptime_s": 1}, 2.0) == Rate(last="x")
    assert Reason("rate_ok") == Reason("rate_ok", {})
