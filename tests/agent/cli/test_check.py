"""`check` and `measure`: texts, exit codes, and the same form with and without a daemon."""

from typing import Any

import pytest
from support.command_line import ABSENT_GUN, DEVICE, Files, one_line, run
from support.daemon import TERMINAL, Daemon

ITEM = {"item", "verdict", "because", "params", "says", "remedy", "who"}
NO_PAGE = '[[device]]\nclass = "web_page"\nid = "main"\n'


@pytest.mark.parametrize(
    ("tables", "number", "code"),
    [
        (TERMINAL, "桂BRS0001J", 0),
        (TERMINAL + ABSENT_GUN, "桂BRS0001B", 1),
        (TERMINAL + ABSENT_GUN, "桂BRS0001J", 0),
        (NO_PAGE, "桂BRS0001B", 2),
        ('[[device]]\nclass = "web_page"\nid = "main"\nadress = ""\n', "桂BRS0001B", 2),
    ],
)
def test_the_exit_code_is_met_not_met_or_could_not_check(files: Files, tables: str, number: str, code: int) -> None:
    ran = run("check", "--config", files.config(tables, number=number), "--socket", files.socket)
    assert ran.code == code, ran
    assert number in ran.out
    assert "建设标准" in ran.out


def _is_the_documented_form(report: Any) -> None:
    assert list(report) == ["station", "devices", "standard"]
    assert set(report["station"]) == {"division", "number", "terminal", "type", "name"}
    for device in report["devices"]:
        assert set(device) == DEVICE
    for item in report["standard"]:
        assert set(item) == ITEM


def test_check_json_has_the_same_form_with_and_without_a_daemon(files: Files, daemon: Daemon) -> None:
    asked = run("check", "--json", "--config", daemon.config, "--socket", daemon.socket)
    looked = run("check", "--json", "--config", daemon.config, "--socket", files.socket)
    assert asked.code == looked.code == 1
    for ran in (asked, looked):
        _is_the_documented_form(ran.json)
    assert [d["class"] for d in asked.json["devices"]] == [d["class"] for d in looked.json["devices"]]
    assert [(d["condition"], d["reason"], d["says"]) for d in asked.json["devices"][1:]] == [
        (d["condition"], d["reason"], d["says"]) for d in looked.json["devices"][1:]
    ]
    assert [i["item"] for i in asked.json["standard"]] == [i["item"] for i in looked.json["standard"]]
    english = run("check", "--json", "--lang", "en", "--config", daemon.config, "--socket", daemon.socket)
    assert english.json["devices"][1]["says"].isascii()


@pytest.mark.parametrize("device", ["main", "scan_gun/main"])
def test_one_device_can_be_checked_by_its_class_id_or_both(files: Files, daemon: Daemon, device: str) -> None:
    classes = {"terminal", "scan_gun"} if device == "main" else {"scan_gun"}
    for where in (daemon.socket, files.socket):
        ran = run("check", device, "--json", "--config", daemon.config, "--socket", where)
        assert {one["class"] for one in ran.json["devices"]} == classes
        assert {one["item"] for one in ran.json["standard"]} == classes


def test_an_unknown_device_is_one_line(files: Files, daemon: Daemon) -> None:
    for where in (daemon.socket, files.socket):
        assert "nonesuch" in one_line(run("check", "nonesuch", "--config", daemon.config, "--socket", where))


def test_a_device_whose_table_is_wrong_is_shown_without_a_daemon_too(files: Files) -> None:
    config = files.config(TERMINAL + '[[device]]\nclass = "printer"\nid = "office"\ncolour = 1\n')
    ran = run("check", "--json", "--config", config, "--socket", files.socket)
    printer = ran.json["devices"][1]
    assert (printer["id"], printer["condition"], printer["reason"]) == ("office", "unknown", "table_wrong")
    assert "colour" in ran.err


def test_without_a_configuration_the_station_is_unknown_and_its_devices_are_checked(files: Files) -> None:
    missing = files.folder / "none.toml"
    ran = run("check", "terminal", "--json", "--config", missing, "--socket", files.socket)
    assert ran.json["station"] is None
    assert [one["class"] for one in ran.json["devices"]] == ["terminal"]
    assert "按默认方式" in ran.err


def test_measure_without_broadband_is_one_line(files: Files) -> None:
    ran = run("measure", "--config", files.config(TERMINAL), "--socket", files.socket)
    assert ran.err.splitlines()[-1] == "没有设置宽带"
    assert ran.code == 2
