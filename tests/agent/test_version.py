"""The version that the daemon reports is the distribution's."""

import tomllib
from pathlib import Path

from agent import VERSION


def test_the_version_that_the_daemon_reports_is_that_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == VERSION
