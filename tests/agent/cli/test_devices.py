"""`devices`: what is plugged in, with tables that load."""

import tomllib

from support.command_line import Files, run
from support.daemon import Daemon


def test_devices_lists_what_is_here_with_tables_that_load(files: Files) -> None:
    ran = run("devices", "--json")
    assert ran.code in (0, 2)
    for found in ran.json["devices"]:
        (table,) = tomllib.loads(found["toml"])["device"]
        assert table["class"] == found["class"]


def test_devices_prints_the_same_with_and_without_a_daemon(files: Files, daemon: Daemon) -> None:
    asked = run("devices", "--json", "--socket", daemon.socket)
    looked = run("devices", "--json", "--socket", files.socket)
    assert asked.code == looked.code == 0
    assert asked.json == looked.json
    assert asked.json["devices"][0]["class"] == "terminal"
    assert asked.json["devices"][0]["toml"].startswith('[[device]]\nclass = "terminal"\n')
