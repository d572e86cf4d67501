"""One fixture per device: a lab test requests what it needs, and each has its own station, one second old."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import places
from lab.agent import NAME, PASSWORD, Agent
from lab.camera import Camera
from lab.county import County
from lab.guns import CdcGun, FtdiGun, KeyboardGun, PosGun
from lab.installed import installed
from lab.machine import Frozen
from lab.network import Network
from lab.printers import NetworkPrinter, UsbPrinter
from lab.screen import Screen
from lab.sound import Microphone, Speaker
from lab.station import Station, clone, forget
from lab.turns import Turns, longest_first
from lab.usb import SYMBOL_KEYBOARD


def pytest_configure(config: pytest.Config) -> None:
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture:
        places.aloud = capture.global_and_fixture_disabled


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Turns:
    return Turns(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = longest_first(items)


@pytest.fixture(scope="session")
def frozen() -> Frozen:
    """The station with the agent installed, parked. Built here if `python tests/lab build` has not been run."""
    return installed()


@pytest.fixture
def station(frozen: Frozen, request: pytest.FixtureRequest) -> Iterator[Station]:
    """A running station for this test, with one processor or as many as it requests; the console log is kept if it fails."""
    running = clone(frozen, processors=getattr(request, "param", 1))
    failed_before = request.session.testsfailed
    yield running
    if request.session.testsfailed == failed_before:
        forget(running)
    else:
        running.end()


@pytest.fixture
def gun(station: Station) -> KeyboardGun:
    """A Honeywell 1900 in keyboard mode."""
    return KeyboardGun(station, "gun")


@pytest.fixture
def second_gun(station: Station) -> KeyboardGun:
    """A Symbol (Zebra) in keyboard mode."""
    return KeyboardGun(station, "second", SYMBOL_KEYBOARD)


@pytest.fixture
def cdc_gun(station: Station) -> CdcGun:
    """A Newland on a serial line over USB."""
    return CdcGun(station)


@pytest.fixture
def ftdi_gun(station: Station) -> Iterator[FtdiGun]:
    """A gun behind an FTDI bridge."""
    gun = FtdiGun(station)
    yield gun
    gun.close()


@pytest.fixture
def pos_gun(station: Station) -> PosGun:
    """A Honeywell 1900 in HID POS mode."""
    return PosGun(station)


@pytest.fixture
def usb_printer(station: Station) -> UsbPrinter:
    """A Pantum M6760DW on USB, with paper."""
    return UsbPrinter(station)


@pytest.fixture
def network_printer(station: Station) -> NetworkPrinter:
    """The same make on the counter's network."""
    return NetworkPrinter(station)


@pytest.fixture
def camera(station: Station) -> Camera:
    """A camera with a moving picture."""
    return Camera(station)


@pytest.fixture
def microphone(station: Station) -> Microphone:
    return Microphone(station)


@pytest.fixture
def speaker(station: Station) -> Speaker:
    return Speaker(station)


@pytest.fixture
def screen(station: Station) -> Screen:
    """A 65-inch TV on the cable."""
    return Screen(station)


@pytest.fixture
def network(station: Station) -> Network:
    """The village's line, working and unshaped."""
    return Network(station)


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    """The county's broker with the shipped rules, and its recorder."""
    with County(tmp_path, {NAME: PASSWORD}) as running:
        yield running


@pytest.fixture
def agent(station: Station, county: County) -> Agent:
    """The agent's service, configured for that county and not started yet."""
    return Agent(station, county)
