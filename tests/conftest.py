"""Shared fixtures of all tests."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from support.broker import Broker
from support.hand_clock import HandClock

hypothesis.settings.register_profile("any machine", deadline=None)  # a busy machine is slow, not wrong
hypothesis.settings.load_profile("any machine")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running mosquitto on loopback, without passwords (`tests/support/broker.py`)."""
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture
def secured_broker(tmp_path: Path) -> Iterator[Broker]:
    """A running mosquitto that holds everybody to the shipped ACL file; `add_user` first."""
    with Broker(tmp_path, secured=True) as running:
        yield running


@pytest.fixture
def clock() -> HandClock:
    return HandClock()
