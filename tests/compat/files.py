"""The files of commit c3d9b2d, copied for a test, and what is expected of them (made by make_c3d9b2d.py, never computed here)."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

FILES = Path(__file__).parent / "c3d9b2d"
SCRIPTS = tomllib.loads((FILES.parents[2] / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
NAME = "450225-GXBRS0001B-1"
PRIVATE = ("export.key", "cards.key")  # git keeps no mode 0600
Place = tuple[str, int]  # outbox id, seq


@cache
def expected(name: str) -> Any:
    return json.loads((FILES / f"expected/{name}.json").read_text("utf-8"))


def copy_of(what: str, to: Path) -> Path:
    """A folder or file of the old station, to be changed."""
    source = FILES / what
    if not source.is_dir():
        return Path(shutil.copy(source, to))
    shutil.copytree(source, to, dirs_exist_ok=True)
    for name in PRIVATE:
        if (to / name).exists():
            (to / name).chmod(0o600)
    return to


def plain(thing: Any) -> Any:
    """As JSON holds it."""
    return json.loads(msgspec.json.encode(thing))


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def rows_of(file: Path, sql: str) -> list[dict[str, Any]]:
    """Of an SQLite file, read only."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=20)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(sql)]


def run(command: str, *arguments: str | Path, code: int = 0, **environment: str) -> str:
    """The command as the distribution declares it; gives what it printed."""
    module, _, name = SCRIPTS[command].partition(":")
    script = f"from {module} import {name}; {name}()"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def lacks(old: Any, new: Any, where: str = "") -> list[str]:
    """Where `new` has no value of the kind that `old` has: keys that are gone, other types. More keys are fine.

    The keys of open tables (measures, evidence, …) depend on the device and are not compared.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        gone = [f"{where}.{key} is gone" for key in old if key not in new]
        return gone + [
            word
            for key in old.keys() & new.keys()
            if key not in OPEN
            for word in lacks(old[key], new[key], f"{where}.{key}")
        ]
    if isinstance(old, list) and isinstance(new, list):
        return [word for one in new[:20] for word in lacks(old[0], one, f"{where}[]")] if old and new else []
    if old is None or new is None or (isinstance(old, int | float) and isinstance(new, int | float)):
        return []
    return [] if type(old) is type(new) else [f"{where} was {type(old).__name__}, is {type(new).__name__}"]


OPEN = frozenset({"measures", "params", "evidence", "context", "verdicts", "options", "could_not_look"})
