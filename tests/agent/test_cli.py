"""The command `yinong-agent` as a person runs it: words, exit codes, the documented JSON, and errors in one line."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from daemon import ALWAYS_OPEN, COMMANDS, TERMINAL, Daemon

CASES = Path(__file__).parents[1] / "drivers"
DEVICE = {
    "class", "id", "condition", "reason", "params", "says", "remedy", "measures", "evidence", "at", "clock",
}  # fmt: skip
ITEM = {"item", "verdict", "because", "params", "says", "remedy"}
ABSENT_GUN = '[[device]]\nclass = "scan_gun"\nid = "main"\nport = "/dev/none"\n'
NO_PAGE = '[[device]]\nclass = "web_page"\nid = "main"\n'


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: str | Path, lang: str = "zh_CN.UTF-8", **environment: str) -> Ran:
    """Without a terminal, in a language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "YINONG"))}
    done = subprocess.run(
        [COMMANDS / "yinong-agent", *map(str, arguments)], capture_output=True, timeout=60, check=False,
        env={**kept, "LANG": lang, "PYTHONIOENCODING": "utf-8", **environment},
    )  # fmt: skip
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


class Files:
    """A configuration and a socket that nobody listens at."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "none.sock"
        self.folder = folder

    def config(self, tables: str, *, number: str = "桂BRS0001B") -> Path:
        file = self.folder / "agent.toml"
        file.write_text(
            f'[station]\ndivision = "450225"\nnumber = "{number}"\n[broker]\nhost = "127.0.0.1"\ntls = false\n'
            f'{ALWAYS_OPEN}[outbox]\npath = "{self.folder}/outbox.db"\n{tables}',
            "utf-8",
        )
        return file


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def nobody() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def daemon(tmp_path: Path, nobody: int) -> Iterator[Daemon]:
    with Daemon(tmp_path, nobody, tables=TERMINAL + ABSENT_GUN) as running:
        running.device("terminal/main")
        running.device("scan_gun/main")
        yield running


def one_line(ran: Ran) -> str:
    """An error as every error is shown: one line on stderr, nothing else, exit code 2."""
    assert ran.code == 2, ran
    assert "Traceback" not in ran.err
    (line,) = [line for line in ran.err.splitlines() if not line.startswith(("已检查", "looked at"))]
    return line


# language


def test_help_speaks_chinese_and_english() -> None:
    assert "look at everything once" in run("--help", lang="en_US.UTF-8").out
    assert "检查一遍所有设备" in run("--help", "--lang=zh", lang="en_US.UTF-8").out


def test_the_language_may_stand_before_or_after_the_command(files: Files) -> None:
    for arguments in (("--lang", "en", "status"), ("status", "--lang=en")):
        assert "no daemon runs" in run(*arguments, "--socket", files.socket).out
    assert "没有运行中的程序" in run("status", "--socket", files.socket).out


# check


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
def test_checks_exit_code_says_met_not_met_or_could_not_look(files: Files, tables: str, number: str, code: int) -> None:
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


def test_a_device_that_is_none_is_one_line(files: Files, daemon: Daemon) -> None:
    for where in (daemon.socket, files.socket):
        assert "nonesuch" in one_line(run("check", "nonesuch", "--config", daemon.config, "--socket", where))


def test_a_device_whose_table_is_wrong_is_shown_without_a_daemon_too(files: Files) -> None:
    config = files.config(TERMINAL + '[[device]]\nclass = "printer"\nid = "office"\ncolour = 1\n')
    ran = run("check", "--json", "--config", config, "--socket", files.socket)
    printer = ran.json["devices"][1]
    assert (printer["id"], printer["condition"], printer["reason"]) == ("office", "unknown", "table_wrong")
    assert "colour" in ran.err


def test_without_a_configuration_the_station_is_unknown_and_its_devices_are_looked_at(files: Files) -> None:
    missing = files.folder / "none.toml"
    ran = run("check", "terminal", "--json", "--config", missing, "--socket", files.socket)
    assert ran.json["station"] is None
    assert [one["class"] for one in ran.json["devices"]] == ["terminal"]
    assert "按缺省方式" in ran.err


def test_measure_without_broadband_is_one_line(files: Files) -> None:
    ran = run("measure", "--config", files.config(TERMINAL), "--socket", files.socket)
    assert ran.err.splitlines()[-1] == "没有配置宽带"
    assert ran.code == 2


# status, outbox


def test_status_without_a_daemon_is_said_and_has_exit_code_2(files: Files) -> None:
    ran = run("status", "--socket", files.socket)
    assert (ran.code, ran.err) == (2, "")
    assert str(files.socket) in ran.out


def test_status_of_a_daemon_without_a_link_has_exit_code_1(daemon: Daemon) -> None:
    ran = run("status", "--socket", daemon.socket)
    assert ran.code == 1
    assert "桂BRS0001B" in ran.out
    assert "未连接县中心" in ran.out
    form = run("status", "--json", "--socket", daemon.socket).json
    assert set(form) >= {"station", "version", "link", "heartbeat", "outbox", "flash", "devices"}


def test_status_tells_what_was_written_to_flash_and_when_the_budget_is_met(daemon: Daemon) -> None:
    flash = run("status", "--json", "--socket", daemon.socket).json["flash"]
    if flash["day_bytes"] is None:
        pytest.skip("this kernel keeps no account of I/O")
    assert flash["budget_bytes"] == 30_000_000
    assert not flash["met"]
    assert "写入闪存" in run("status", "--socket", daemon.socket).out
    assert "of 30 MB" in run("--lang", "en", "status", "--socket", daemon.socket).out


def test_outbox_is_read_from_the_file_where_no_daemon_runs(files: Files, daemon: Daemon) -> None:
    asked = run("outbox", "--json", "--config", daemon.config, "--socket", daemon.socket)
    assert asked.code == 0
    daemon.kill()
    peeked = run("outbox", "--json", "--config", daemon.config, "--socket", daemon.socket)
    assert peeked.code == 0
    assert peeked.json == asked.json
    assert "待县中心签收" in run("outbox", "--config", daemon.config, "--socket", daemon.socket).out


@pytest.mark.parametrize("content", [None, b"", b"no database"])
def test_an_outbox_that_is_none_is_one_line(files: Files, content: bytes | None) -> None:
    if content is not None:
        (files.folder / "outbox.db").write_bytes(content)
    ran = run("outbox", "--config", files.config(TERMINAL), "--socket", files.socket)
    assert "outbox.db" in one_line(ran)


@pytest.mark.parametrize("command", ["status", "check"])
def test_a_socket_that_can_be_none_is_one_line(files: Files, command: str) -> None:
    config = () if command == "status" else ("--config", files.config(TERMINAL))
    ran = run(command, *config, "--socket", "/" + "x" * 200)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert "AF_UNIX path too long" in ran.err


# config check


def test_six_mistakes_are_six(files: Files) -> None:
    text = (
        '[station]\ndivision = "4502"\nnumber = "桂BRS0001Q"\n[broker]\nhost = "127.0.0.1"\nport = 99999\ntls = false\n'
        '[delivery]\nacknowledge = "maybe"\n[log]\nlevle = "info"\n[[device]]\nclass = "printer"\nid = "a"\ncolour = 1\n'
    )
    config = files.folder / "agent.toml"
    config.write_text(text, "utf-8")
    ran = run("config", "check", "--config", config)
    assert ran.code == 2
    assert "有 6 处错误" in ran.out
    for n, path in enumerate(
        ("station.division", "station.number", "broker.port", "delivery.acknowledge", "log.levle", "device[1].colour"),
        1,
    ):
        line = next(line for line in ran.out.splitlines() if line.startswith(f"{n}. "))
        assert path in line, f"{n}: {line}"
    form = run("config", "check", "--json", "--config", config).json
    assert [mistake["path"] for mistake in form["mistakes"]] == [
        "station.division", "station.number", "broker.port", "delivery.acknowledge", "log.levle", "device[1].colour",
    ]  # fmt: skip


def test_a_mistake_in_a_device_alone_is_1_and_none_is_0(files: Files) -> None:
    wrong = files.config('[[device]]\nclass = "printer"\nid = "a"\ncolour = 1\n')
    assert run("config", "check", "--config", wrong).code == 1
    ran = run("config", "check", "--config", files.config(TERMINAL), "--lang", "en")
    assert (ran.code, "no mistakes" in ran.out) == (0, True)


def test_the_file_is_found_by_the_environment_too(files: Files) -> None:
    ran = run("config", "check", YINONG_AGENT_CONFIG=str(files.folder / "elsewhere.toml"))
    assert ran.code == 2
    assert "elsewhere.toml" in ran.out


# inspect, replay


def test_a_recorded_edid_becomes_the_reading_that_it_gives() -> None:
    edid = next((CASES / "led_screen/cases/monitor_24_inch").rglob("edid*"))
    ran = run("inspect", "screen", edid, "--json")
    assert ran.code == 0
    assert set(ran.json) == DEVICE
    assert ran.json["class"] == "led_screen"
    assert ran.json["measures"]["area_m2"] == pytest.approx(0.16, abs=0.05)
    assert "area_m2" in run("inspect", "screen", edid).out


@pytest.mark.parametrize("what", ["screen", "printer"])
def test_what_cannot_be_read_is_one_line_and_what_means_nothing_is_a_reading(files: Files, what: str) -> None:
    assert "nonesuch" in one_line(run("inspect", what, files.folder / "nonesuch"))
    assert "folder" in one_line(run("inspect", what, _folder(files)))
    (files.folder / "noise").write_bytes(bytes(range(256)))
    ran = run("inspect", what, files.folder / "noise", "--json")
    assert "Traceback" not in ran.err
    assert ran.code == 0
    assert ran.json["condition"] in ("faulty", "unknown", "attention", "unreachable")


def _folder(files: Files) -> Path:
    folder = files.folder / "a-folder"
    folder.mkdir(exist_ok=True)
    return folder


def test_a_scan_can_be_read_by_hand() -> None:
    ran = run("inspect", "scan", "6901234567892", "--json")
    assert ran.code == 0
    assert set(ran.json) == DEVICE


@pytest.mark.parametrize("content", [b"\xff\xfe", b'{"t": 1, "hex": "0g"}\n', None])
def test_a_recording_that_is_none_is_one_line(files: Files, content: bytes | None) -> None:
    if content is not None:
        (files.folder / "r.jsonl").write_bytes(content)
    assert one_line(run("replay", files.folder / "r.jsonl", "--source", "serial"))


def test_a_recording_is_replayed_as_json_lines(files: Files) -> None:
    (files.folder / "r.jsonl").write_text('{"t": 1.0, "hex": "36393031323334353637383932 0d"}\n')
    ran = run("replay", files.folder / "r.jsonl", "--source", "serial")
    assert ran.code == 0
    assert [json.loads(line)["text"] for line in ran.out.splitlines()] == ["6901234567892"]


# others


def test_devices_lists_what_is_here_with_tables_that_load(files: Files) -> None:
    import tomllib

    ran = run("devices", "--json")
    assert ran.code in (0, 2)
    for found in ran.json["devices"]:
        (table,) = tomllib.loads(found["toml"])["device"]
        assert table["class"] == found["class"]


def test_an_unknown_command_is_an_error_without_a_traceback() -> None:
    ran = run("reboot")
    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_no_arguments_show_the_help() -> None:
    assert "config" in run().out + run().err


def test_a_reader_that_goes_away_is_no_error(daemon: Daemon) -> None:
    command = f"{COMMANDS}/yinong-agent status --json --socket {daemon.socket} | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
    assert done.stdout == b"{"
    assert b"Traceback" not in done.stderr


def test_scans_are_shown_live_and_counted(tmp_path: Path, nobody: int) -> None:
    from daemon import Gun, until

    with Gun() as gun, Daemon(tmp_path, nobody, tables=gun.table) as daemon:
        gun.wait_until_opened()
        shown = subprocess.Popen(
            [COMMANDS / "yinong-agent", "scan", "--json", "--count", "2", "--socket", str(daemon.socket)],
            stdout=subprocess.PIPE,
        )
        sent = 0

        def scanned_until_it_ended() -> bool:
            nonlocal sent
            sent += 1
            gun.scan(f"S-{sent}")
            return shown.poll() is not None

        until(scanned_until_it_ended, lambda: "scan does not end")
        out, _ = shown.communicate(timeout=10)
        assert shown.returncode == 0
        captures = [json.loads(line) for line in out.splitlines()]
    assert len(captures) == 2
    assert captures[0]["number"] + 1 == captures[1]["number"]
    assert {"gun", "text", "raw", "start", "end", "seq", "charset"} <= set(captures[0])


def test_devices_tells_the_same_through_the_daemon_and_by_itself(files: Files, daemon: Daemon) -> None:
    asked = run("devices", "--json", "--socket", daemon.socket)
    looked = run("devices", "--json", "--socket", files.socket)
    assert asked.code == looked.code == 0
    assert asked.json == looked.json
    assert asked.json["devices"][0]["class"] == "terminal"
    assert asked.json["devices"][0]["toml"].startswith('[[device]]\nclass = "terminal"\n')
