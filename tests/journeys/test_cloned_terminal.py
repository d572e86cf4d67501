"""A disk was copied into a second terminal and both run: each has an outbox id of its own, and there is no session takeover."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support.broker import Broker
from support.daemon import NAME, TERMINAL, Daemon, Gun, Recorder, until
from support.hardware import Machine

QUIET_S = 5  # five times the longest reconnect delay after a session takeover

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or subprocess.run(["unshare", "--mount", "true"]).returncode != 0,
    reason="other hardware needs root: a mount namespace of its own",
)


def test_two_terminals_from_one_disk_are_both_stored_warned_and_stay_connected(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    conf = broker.folder / "mosquitto.conf"
    conf.write_text(conf.read_text("utf-8").replace("connection_messages false", "connection_messages true"), "utf-8")
    first_machine, second_machine = _machine(tmp_path / "one", 1), _machine(tmp_path / "two", 2)
    with broker, Gun() as gun, Gun() as other_gun, Recorder(tmp_path, broker.port) as recorder:
        first = Daemon(tmp_path / "a", broker.port, tables=gun.table + TERMINAL, hardware=first_machine)
        second = Daemon(tmp_path / "b", broker.port, tables=other_gun.table + TERMINAL, hardware=second_machine)
        with first:
            gun.wait_until_opened()
            first.until_connected()
            gun.scan("before the copy")
            until(lambda: recorder.texts() == ["before the copy"], lambda: recorder.process.log)
            first.stop()
        for part in first.folder.glob("outbox.db*"):
            shutil.copy(part, second.folder)
        gun.reset()
        began = len(_connects(broker))
        with first, second:
            for one, its_gun in ((first, gun), (second, other_gun)):
                its_gun.wait_until_opened()
                one.until_connected()
            for n in range(20):
                gun.scan(f"first-{n}")
                other_gun.scan(f"second-{n}")
                time.sleep(
                    0.2
                )  # a terminal is receipted once a second at most: so that each gets more than one receipt
            for one in (first, second):
                until(lambda one=one: _warning(one), lambda one=one: f"no warning\n{one.process.log}")
                until(lambda one=one: one.depth()["waiting"] == 0, lambda one=one: f"{one.depth()}\n{one.process.log}")
            time.sleep(QUIET_S)
            connects = _connects(broker)[began:]
            ids = {first.depth()["outbox"], second.depth()["outbox"]}
            warnings = [_warning(one) for one in (first, second)]
        stored, journal = recorder.rows("scan"), recorder.rows("journal")
    assert len(connects) == len(set(connects)) == 2, "each connected once, with an identity of its own"
    assert len(ids) == 2
    assert {row["outbox"] for row in stored} == ids
    expected = ["before the copy", *(f"{who}-{n}" for who in ("first", "second") for n in range(20))]
    assert sorted(row["text"] for row in stored) == sorted(expected)
    assert all("有两台电脑使用同一个终端编号" in words for words in warnings)
    assert {row["outbox"] for row in journal if row["event"] == "twin"} == ids, "both report it to the county"


def _machine(folder: Path, number: int) -> Path:
    """A terminal's hardware: the folder that replaces its /sys."""
    machine = Machine(folder)
    machine.card("eth0", f"00:1b:21:00:00:{number:02x}")
    machine.disk("sda", f"SERIAL-{number}")
    return machine.root / "sys"


def _connects(broker: Broker) -> list[str]:
    """Client ids of terminals in the order in which they connected, by the broker's log."""
    lines = [line for line in broker.log.splitlines() if "New client connected" in line]
    return [client for line in lines if NAME in (client := line.partition(" as ")[2].split()[0])]


def _warning(daemon: Daemon) -> str:
    """The warning about another terminal with the same name; empty if there is none."""
    troubles: list[dict[str, Any]] = daemon.request(ask="status", lang="zh")["link"]["troubles"]
    return next((one["says"] for one in troubles if one["code"] == "namesake"), "")
