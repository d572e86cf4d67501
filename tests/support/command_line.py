"""The command `yinong-agent` as a person runs it, and the forms of its JSON."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from support.daemon import ALWAYS_OPEN, COMMANDS

DEVICE = {
    "class", "id", "condition", "reason", "params", "says", "remedy", "who", "measures", "evidence", "at", "clock",
}  # fmt: skip
ABSENT_GUN = '[[device]]\nclass = "scan_gun"\nid = "main"\nport = "/dev/none"\n'


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
        [COMMANDS / "yinong-agent", *map(str, arguments)],
        capture_output=True,
        timeout=60,
        check=False,
        env={**kept, "LANG": lang, "PYTHONIOENCODING": "utf-8", **environment},
    )
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


def one_line(ran: Ran) -> str:
    """An error as every error is shown: one line on stderr, nothing else, exit code 2."""
    assert ran.code == 2, ran
    assert "Traceback" not in ran.err
    (line,) = [line for line in ran.err.splitlines() if not line.startswith(("已检查", "checked"))]
    return line
