"""Fixture of the configuration's tests: loads a text as a file."""

import pytest
from support.minimal_toml import ONE

from agent.configuration.settings import load


@pytest.fixture
def toml(tmp_path):
    """`toml(text)` loads a file of that text, with this folder as its root and the terminal as the only device class."""

    def loaded(text, *, classes=ONE, environ=None):
        (tmp_path / "agent.toml").write_text(text, "utf-8")
        return load(tmp_path / "agent.toml", tmp_path, classes=classes, environ=environ or {})

    return loaded
