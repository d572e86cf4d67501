"""The service as installed: its account, its sandbox, its start, its stop, and its state in systemd. One station for all."""

import re
from collections.abc import Iterator

import pytest
from lab.agent import NAME, PASSWORD, UNIT, Agent
from lab.county import County
from lab.machine import Frozen
from lab.station import Station, clone, forget

STATE = "/var/lib/yinong-agent"


@pytest.fixture(scope="module")
def agent(frozen: Frozen, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with County(tmp_path_factory.mktemp("service"), {NAME: PASSWORD}) as county:
        station = clone(frozen, "service")
        try:
            yield Agent(station, county)
        finally:
            forget(station)


@pytest.fixture
def station(agent: Agent) -> Station:
    return agent.station


@pytest.fixture
def county(agent: Agent) -> County:
    return agent.county


@pytest.fixture
def running(agent: Agent) -> Agent:
    """Running from the previous test, or started."""
    if agent.station.tried(f"systemctl is-active -q {UNIT}").code:
        agent.start()
    return agent


def test_the_service_starts_runs_as_its_own_user_and_reports_its_status(station: Station, running: Agent) -> None:
    shown = station.run(f"systemctl status --no-pager {UNIT}")
    print(shown)
    assert "active (running)" in shown
    assert re.search(r'Status: "\S', shown)
    assert station.run(f"ps -o user= -p {running.pid}").strip() == "yinong"
    groups = station.run(f"grep ^Groups /proc/{running.pid}/status").split()[1:]
    names = set(station.run(f"getent group {' '.join(groups)} | cut -d: -f1").split())
    assert {"input", "dialout", "lp", "video", "audio"} <= names
    assert station.run(f"grep ^CapEff /proc/{running.pid}/status").split()[1].strip("0") == ""


def test_the_journal_is_quiet_and_has_no_traceback(station: Station, running: Agent) -> None:
    station.run("sleep 5")
    this_run = f"_SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value {UNIT})"
    log = station.run(f"journalctl --no-pager -o cat {this_run}")
    print(log)
    assert "link_up" in log
    assert "Traceback" not in log
    assert "no_hotplug" not in log
    assert len(log.splitlines()) < 60


def test_a_clean_stop_publishes_closing(station: Station, running: Agent, county: County) -> None:
    running.stop()
    assert station.run(f"systemctl show -p Result --value {UNIT}") == "success"
    county.waits_for(
        "the farewell",
        lambda: county.rows("select 1 from latest where leaf = 'state' and cast(body as text) like '%\"closing\"%'"),
    )


def test_the_first_start_makes_the_key_of_parcels_and_tells_the_county(
    station: Station, agent: Agent, county: County
) -> None:
    before = county.rows("select key from export_key")
    station.run(f"systemctl stop {UNIT}; rm -f {STATE}/export.*")
    agent.start()
    station.wait_for(f"test -s {STATE}/export.pub", "the key", timeout_s=60)
    assert station.run(f"stat -c '%a %U' {STATE}/export.key") == "600 yinong"
    key = station.run(f"cat {STATE}/export.pub")
    assert (key,) not in before
    county.waits_for("the new key", lambda: (key,) in county.rows("select key from export_key"))


def test_a_clean_stop_takes_seconds_also_with_a_dead_broker(station: Station, running: Agent, county: County) -> None:
    county.broker.kill()
    try:
        running.stop()
    finally:
        county.broker.start()
    assert station.run(f"systemctl show -p Result --value {UNIT}") == "success"


def test_systemd_finds_the_sandbox_tight(station: Station) -> None:
    output = station.run(f"systemd-analyze security --no-pager {UNIT}")
    print(output)
    level = re.search(r"Overall exposure level.*: ([0-9.]+)", output)
    assert level and float(level[1]) <= 3.5
    assert station.tried(f"systemd-analyze verify {UNIT}").err == ""


def test_a_wrong_configuration_is_reported_and_not_tried_for_ever(station: Station, agent: Agent) -> None:
    station.run("sed -i 's/450225/45022/' /etc/yinong-agent/agent.toml")
    try:
        assert station.tried(f"systemctl restart {UNIT}").code
        assert station.run(f"systemctl show -p ExecMainStatus --value {UNIT}") == "78"
        assert station.run(f"systemctl is-failed {UNIT} || true") == "failed"
        assert "station.division" in agent.log()
    finally:
        agent.configure()


def test_without_a_broker_password_it_starts_all_the_same(station: Station) -> None:
    """The last test: there is no password from here on."""
    station.run("rm /etc/credstore/yinong-agent.broker-password")
    station.run(f"systemctl restart {UNIT}", timeout_s=120)
    assert station.run(f"systemctl is-active {UNIT}") == "active"


def test_unprivileged_ping_works_for_the_account(station: Station) -> None:
    program = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP); print('may')"
    assert station.python(program, user="yinong") == "may"
