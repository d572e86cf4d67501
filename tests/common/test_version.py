"""The version that the daemon reports: the distribution's number, and the day on which the changes say it was released."""

import re
import tomllib
from pathlib import Path

from common.version import RELEASED, VERSION

ROOT = Path(__file__).parents[2]


def test_the_version_that_the_daemon_reports_is_that_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == VERSION


def test_the_newest_changes_are_those_of_this_version_and_dated_with_its_day() -> None:
    newest = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest
    assert newest[1] == VERSION
    assert newest[2] in ("unreleased", RELEASED)
