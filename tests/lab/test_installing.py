"""The installation script on a terminal with an earlier installation, and on one without."""

import pytest
from lab.agent import Agent
from lab.installed import SOURCE
from lab.station import Station

pytestmark = [pytest.mark.settled, pytest.mark.long]


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
