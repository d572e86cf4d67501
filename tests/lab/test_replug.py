"""Each USB device unplugged and plugged in twenty times in a row: no change is missed, nothing leaks."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from lab.agent import NAME, PASSWORD, Agent
from lab.county import County
from lab.guns import AnyGun, CdcGun, FtdiGun, KeyboardGun, PosGun
from lab.machine import Frozen
from lab.places import say
from lab.printers import UsbPrinter
from lab.station import Station, clone, forget
from lab.usb import udev_takes_its_time
from lab.witness import Witness, summary

TIMES = 20
TABLES: dict[str, dict[str, Any]] = {
    "gun": {"class": "scan_gun", "usb": "0c2e:0b61"},
    "cdc_gun": {"class": "scan_gun", "usb": "1eab:1a06"},
    "ftdi_gun": {"class": "scan_gun", "usb": "0403:6001"},
    "pos_gun": {"class": "scan_gun", "usb": "0c2e:0b67", "source": "hidpos"},
    "usb_printer": {"class": "printer"},
}


class Rig(NamedTuple):
    """A station whose service runs with all of them configured. None is plugged in: polling an open gun is expensive."""

    station: Station
    agent: Agent
    county: County
    devices: dict[str, AnyGun | UsbPrinter]


@pytest.fixture(scope="module")
def rig(frozen: Frozen, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with County(tmp_path_factory.mktemp("rig"), {NAME: PASSWORD}) as county:
        station = clone(frozen, "rig")
        try:
            ftdi_gun = FtdiGun(station)
            devices = {
                "gun": KeyboardGun(station, "gun"), "cdc_gun": CdcGun(station), "ftdi_gun": ftdi_gun,
                "pos_gun": PosGun(station), "usb_printer": UsbPrinter(station),
            }  # fmt: skip
            agent = Agent(station, county)
            agent.configure(*({"id": name, **table} for name, table in TABLES.items()))
            for device in devices.values():
                device.unplug()
            agent.start()
            yield Rig(station, agent, county, devices)
            ftdi_gun.close()
        finally:
            forget(station)


@pytest.mark.parametrize("which", TABLES)
def test_replugged_twenty_times_every_change_is_in_the_outbox_and_nothing_leaks(which: str, rig: Rig) -> None:
    station, agent, county, devices = rig
    device, device_class = devices[which], TABLES[which]["class"]
    device.plug()
    county.waits_for("the device", lambda: _condition(county, device_class, which) == "working")
    _is_open(device, agent)
    before, began = agent.descriptors(), agent.pid
    turns = Witness(station).replugs(device, f"{device_class}/{which}", TIMES)
    say(f"{which}: from the kernel's event to the outbox {summary(turns)} (emulated; a terminal's budget is 1000 ms)")
    gone, back = {turn.readings for turn in turns if turn.absent}, {turn.readings for turn in turns if not turn.absent}
    assert all(turn.seen for turn in turns)
    assert {len(readings) for readings in gone | back} == {1}, (gone, back)  # one row for a change, no flicker
    assert {readings[0][0] for readings in back} == {"working"}, back
    _is_open(device, agent)
    station.wait_for(f"test $(ls /proc/{began}/fd | wc -l) -le {before}", "as few descriptors as before")
    assert (agent.pid, agent.restarts()) == (began, 0)
    _scans(which, device, county)
    device.unplug()


def test_a_gun_whose_permissions_come_late_is_not_reported_as_forbidden(
    station: Station, gun: KeyboardGun, agent: Agent, county: County
) -> None:
    """The node exists before udev's rules have set its group: long before, on a busy terminal."""
    gun.unplug()
    udev_takes_its_time(station)
    agent.configure({"class": "scan_gun", "id": "main", "usb": gun.identity.vendor_product})
    agent.start()
    county.waits_for("the gun's absence", lambda: county.condition("scan_gun") == "absent")
    gun.plug()
    county.waits_for("the gun", lambda: county.condition("scan_gun") == "working")
    assert county.conditions("scan_gun") == [("absent", "not_connected"), ("working", "ready_keyboard")]
    agent.opens(gun.by_id)


def _condition(county: County, device_class: str, name: str) -> str:
    """The newest condition of it at the county."""
    conditions = [m["condition"] for m in county.messages("device") if (m["class"], m["id"]) == (device_class, name)]
    return conditions[-1] if conditions else ""


def _is_open(device: AnyGun | UsbPrinter, agent: Agent) -> None:
    if not isinstance(device, UsbPrinter):
        agent.opens(device.device_file)


def _scans(which: str, device: AnyGun | UsbPrinter, county: County) -> None:
    """A gun still reads after all that."""
    if isinstance(device, UsbPrinter):
        return
    device.scan_plain("6901234567892")
    county.waits_for(
        "a scan after the last plug",
        lambda: [scan["text"] for scan in county.messages("scan") if scan["gun"] == which] == ["6901234567892"],
    )
