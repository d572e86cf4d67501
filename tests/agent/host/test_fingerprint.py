"""Two terminals cloned from one disk have different fingerprints; the same one keeps its own."""

import re
from pathlib import Path

import pytest
from support.hardware import Machine

from agent.host.fingerprint import fingerprint


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    one = Machine(tmp_path / "one")
    one.card("eth0", "52:54:00:00:00:01")
    one.disk("sda", "S1")
    one.write("class/dmi/id/product_serial", "P1")
    return one


def test_it_is_twelve_hex_digits_and_holds_no_serial_number(machine: Machine) -> None:
    assert re.fullmatch("[0-9a-f]{12}", machine.fingerprint)


def test_a_clone_of_the_disk_in_another_machine_is_another_one(machine: Machine, tmp_path: Path) -> None:
    clone = Machine(tmp_path / "two")
    clone.card("eth0", "52:54:00:00:00:02")
    clone.disk("sda", "S1")
    clone.write("class/dmi/id/product_serial", "P1")
    assert clone.fingerprint != machine.fingerprint


def test_another_disk_or_board_is_another_one(machine: Machine) -> None:
    before = machine.fingerprint
    machine.write("block/sda/device/serial", "S2")
    assert machine.fingerprint != before
    machine.write("block/sda/device/serial", "S1")
    assert machine.fingerprint == before
    machine.write("class/dmi/id/product_serial", "P2")
    assert machine.fingerprint != before


def test_pluggable_parts_change_nothing(machine: Machine) -> None:
    before = machine.fingerprint
    machine.card("wlan-stick", "00:11:22:33:44:55", real="pci0/usb1/1-2/1-2:1.0")
    machine.card("docker0", "02:42:00:00:00:01", real=None, permanent=False)
    machine.card("wlan0-random", "06:00:00:00:00:01", real="pci0/0000:03:00.0", permanent=False)
    machine.card("lo", "00:00:00:00:00:00", real=None)
    machine.disk("sdb", "STICK", real="pci0/usb1/1-3")
    machine.device("block/loop0/x", "virtual/loop0")
    assert machine.fingerprint == before


def test_other_names_for_the_same_parts_change_nothing(machine: Machine, tmp_path: Path) -> None:
    renamed = Machine(tmp_path / "two")
    renamed.card("enp2s0", "52:54:00:00:00:01")
    renamed.disk("sdc", "S1")
    renamed.write("class/dmi/id/product_serial", "P1")
    assert renamed.fingerprint == machine.fingerprint


@pytest.mark.parametrize("file", ["device/cid", "device/wwid", "serial"])
def test_cards_and_virtual_disks_have_their_serial_in_another_file(tmp_path: Path, file: str) -> None:
    one, other = Machine(tmp_path / "one"), Machine(tmp_path / "two")
    one.disk("mmcblk0", "C1", file=file)
    other.disk("mmcblk0", "C2", file=file)
    assert one.fingerprint != other.fingerprint


def test_a_machine_without_readable_parts_has_one_too(tmp_path: Path) -> None:
    assert Machine(tmp_path / "one").fingerprint == Machine(tmp_path / "two").fingerprint


def test_it_is_the_same_at_each_call_on_this_machine() -> None:
    assert fingerprint() == fingerprint()
