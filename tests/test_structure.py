"""The house's shape: what the daemon's process never loads, and files that fit a head."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.broker import Broker
from support.daemon import Gun, Process, until

from drivers.table import CLASSES

ROOT = Path(__file__).parents[1]
NEVER = {
    "typer",
    "click",
    "rich",
    "biip",
    "speedtest",
    "sqlalchemy",
    "cryptography",
    "zxingcpp",
    "PIL",
    "numpy",
    "requests",
    "aiohttp",
}
LONGEST = 350

# The daemon as the command runs it; the modules that it has loaded are written when it ends.
LISTS_ITS_MODULES = """
import json, sys
sys.argv = ["yinong-agent", "run", "--config", {config!r}, "--socket", {socket!r}]
from agent.cli.main import main
try:
    main()
finally:
    json.dump(sorted(sys.modules), open({modules!r}, "w"))
"""


def test_importing_the_daemon_loads_nothing_of_the_command_line_or_the_center() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import agent.daemon"],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "agent" in loaded
    assert not NEVER & loaded


def test_a_running_daemon_with_every_driver_has_loaded_none_of_it(tmp_path: Path, broker: Broker) -> None:
    modules = tmp_path / "modules.json"
    config, socket = tmp_path / "agent.toml", tmp_path / "s"
    with Gun() as gun:
        others = "".join(f'[[device]]\nclass = "{name}"\nid = "main"\n' for name in CLASSES if name != "scan_gun")
        config.write_text(
            '[station]\ndivision = "450225"\nnumber = "桂BRS0001B"\n'
            f'[broker]\nhost = "127.0.0.1"\nport = {broker.port}\ntls = false\n'
            f'[outbox]\npath = "{tmp_path}/outbox.db"\n{gun.table}{others}',
            "utf-8",
        )
        script = LISTS_ITS_MODULES.format(config=str(config), socket=str(socket), modules=str(modules))
        process = Process([sys.executable, "-c", script], tmp_path / "log", {})
        gun.wait_until_opened()
        gun.scan("x")
        every = len(CLASSES)

        def looked_at_all() -> bool:
            from agent.control.socket import NoDaemon, send_request

            try:
                (line,) = list(send_request(socket, {"ask": "status"}, 20))
            except NoDaemon:
                return False
            devices = line["answer"]["devices"]
            return len(devices) == every and all(one["reason"] != "not_looked_at" for one in devices)

        until(looked_at_all, lambda: process.log, 60)
        import signal

        assert process.end(signal.SIGTERM) == 0, process.log
    loaded = {name.partition(".")[0] for name in json.loads(modules.read_text())}
    assert {"agent", "drivers", "paho"} <= loaded
    assert not NEVER & loaded
    assert "Traceback" not in process.log


@pytest.mark.parametrize("package", ["common", "agent", "drivers", "center"])
def test_no_file_is_longer_than_a_head_holds(package: str) -> None:
    files = {path: len(path.read_text("utf-8").splitlines()) for path in (ROOT / package).rglob("*.py")}
    assert files
    assert {str(path.relative_to(ROOT)): lines for path, lines in files.items() if lines > LONGEST} == {}


def test_each_room_has_a_docstring_of_one_line_that_is_in_the_table_of_the_readme() -> None:
    table = (ROOT / "README.md").read_text("utf-8")
    rooms = [ROOT / package for package in ("common", "agent", "drivers", "center")]
    rooms += [file.parent for room in rooms if room.name != "drivers" for file in room.glob("*/__init__.py")]
    for room in rooms:
        docstring = (room / "__init__.py").read_text("utf-8")
        assert docstring.startswith('"""') and docstring.count("\n") == 1 and docstring.endswith('"""\n'), (
            f"{room}: a docstring of one line, and nothing else"
        )
        assert f"| [`{room.relative_to(ROOT)}/`]({room.relative_to(ROOT)}/) | {docstring[3:-4]} |" in table


SQL = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|REPLACE|CREATE|ALTER|DROP|PRAGMA|BEGIN|COMMIT|ROLLBACK|VACUUM|ATTACH)\b"
)


def sql_in(source: str) -> list[int]:
    """The lines that run SQL, or hold a statement outside a docstring."""
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in ("execute", "executemany", "executescript"))
        or (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
            and SQL.match(node.value)
        )
    ]


def test_sql_stands_in_the_outbox_alone() -> None:
    """What the file holds, and in which transaction it changes, is known by the room that owns it."""
    files = {path: path.relative_to(ROOT / "agent") for path in (ROOT / "agent").rglob("*.py")}
    inside = [path for path, name in files.items() if name.parts[0] == "outbox"]
    assert any(sql_in(path.read_text("utf-8")) for path in inside), "the check finds SQL if there is some"
    outside = {str(name): sql_in(path.read_text("utf-8")) for path, name in files.items() if path not in inside}
    assert {name: lines for name, lines in outside.items() if lines} == {}


def test_an_option_in_mb_is_read_in_bytes_outside_the_configuration() -> None:
    """A megabyte means 10^6 bytes, which `agent.configuration.settings` alone computes."""
    files = [path for path in (ROOT / "agent").rglob("*.py") if "configuration" not in path.parts]
    used = {
        str(path.relative_to(ROOT)): node.lineno
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and re.search(r"_mb(_|$)", node.attr)
    }
    assert used == {}
