"""Wheels: those of the agent's dependencies (built once, baked into the image) and the project's own (built at each run)."""

import subprocess
import sys
import tomllib
from pathlib import Path

from lab.places import CACHE, CHECKOUT, LabError, key_of, made, say

_CONSTRAINTS = CHECKOUT / "config/constraints.txt"
_SOURCES = ("common", "agent", "drivers", "center", "pyproject.toml", "README.md", "LICENSE")


def dependencies() -> list[str]:
    """What a terminal needs besides the agent itself: the base dependencies, no extra."""
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]


def wheelhouse_key() -> str:
    return key_of([*dependencies(), _CONSTRAINTS])


def wheelhouse() -> Path:
    """A folder of wheels of everything the agent depends on, pinned by the constraints file."""
    if sys.version_info[:2] != (3, 11):
        raise LabError(f"the virtual station runs Python 3.11, so its wheels need 3.11, not {sys.version.split()[0]}")

    def build(folder: Path) -> None:
        _pip_wheel(folder, "--constraint", _CONSTRAINTS, *dependencies())

    return made("wheels", wheelhouse_key(), build, what="wheels of the dependencies")


def project_wheel() -> Path:
    """The wheel of the checkout as it is now."""
    key = key_of(path for name in _SOURCES if (path := CHECKOUT / name).exists())

    def build(folder: Path) -> None:
        _pip_wheel(folder, "--no-deps", "--no-build-isolation", CHECKOUT)

    return next(made("project", key, build, what="wheel of the project").glob("*.whl"))


def _pip_wheel(folder: Path, *arguments: str | Path) -> None:
    log = CACHE / "pip-wheel.log"
    command = [sys.executable, "-m", "pip", "wheel", "--wheel-dir", folder, *arguments]
    with log.open("w") as out:
        ended = subprocess.run(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, check=False)
    if ended.returncode:
        say(log.read_text()[-3000:])
        raise LabError(f"pip wheel failed; the whole output is in {log}")
