"""The service as installed: its account, its sandbox, its start, its stop, and what systemd says of it. One station for all."""

import re
from collections.abc import Iterator

import pytest
from lab.agent import UNIT, Agent
from lab.county import County
from lab.machine import Frozen
from lab.station import Station, clone, forget


@pytest.fixture(scope="module")
def terminal(frozen: Frozen) -> Iterator[Station]:
    running = clone(frozen, "service")
    yield running
    forget(running)


@pytest.fixture
def station(terminal: Station) -> Iterator[Station]:
    """As after the installation: each test configures it anew for a county of its own (`agent`)."""
    yield terminal
    terminal.run(
        f"systemctl stop {UNIT}; systemctl reset-failed; journalctl --rotate --vacuum-time=1s -q", timeout_s=60
    )


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


def test_unprivileged_ping_works_for_the_account(station: Station) -> None:
    program = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP); print('may')"
    assert station.python(program, user="yinong") == "may"
