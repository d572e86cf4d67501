"""Fixture for the poller tests: a poller over the devices of a test."""

from collections.abc import Callable
from typing import Any

import pytest
from support.scripted import Terminal

from agent.devices.watched import WatchedDevice
from agent.outbox.outbox import Outbox
from agent.outbox.writer import Writer


@pytest.fixture
def terminal(writer: Writer, outbox: Outbox, clock: Any) -> Callable[..., Terminal]:
    def made(*devices: WatchedDevice) -> Terminal:
        return Terminal(writer, outbox, clock, *devices)

    return made
