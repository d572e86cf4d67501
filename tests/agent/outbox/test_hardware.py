"""Decision 24: which hardware is the same terminal. The cases of its table, by name: small /sys trees, real outbox files."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support.hardware import Machine

from agent.outbox.opening import open_outbox
from agent.outbox.outbox import Outbox

MAC, WIFI_MAC, OTHER_MAC, THIRD_MAC = "00:e0:4c:36:01:0a", "3c:52:82:01:02:03", "00:e0:4c:36:77:1b", "3c:52:82:aa:bb:cc"
FIRST, SECOND = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
JUNK = "To be filled by O.E.M."


class Terminal(NamedTuple):
    """A machine, and the outbox file on its disk."""

    machine: Machine
    file: Path

    def start(self, new_id: str = SECOND) -> Outbox:
        return open_outbox(self.file, self.machine.fingerprint, new_id, "t", parts=self.machine.parts)

    def starts_as_itself(self) -> dict[str, str | int]:
        """Return the details of the opening."""
        named = _fingerprint_in(self.file)
        box = self.start()
        try:
            assert (box.opening.kind, box.id, box.fingerprint) == ("kept", FIRST, named)
            return box.opening.details
        finally:
            box.close()

    def starts_as_another(self) -> dict[str, str | int]:
        box = self.start()
        try:
            assert (box.opening.kind, box.id, box.fingerprint) == ("other_hardware", SECOND, self.machine.fingerprint)
            assert box.opening.details["before"] != box.opening.details["now"] == self.machine.fingerprint
            return box.opening.details
        finally:
            box.close()


def _fingerprint_in(file: Path) -> str:
    with sqlite3.connect(file) as db:
        (found,) = db.execute("SELECT fingerprint FROM outbox ORDER BY rowid DESC LIMIT 1").fetchone()
    db.close()
    return str(found)


def a_machine(folder: Path, mac: str = MAC, disk: str = "S1", serial: str = "P1") -> Machine:
    machine = Machine(folder)
    if mac:
        machine.card("eth0", mac)
    if disk:
        machine.disk("sda", disk)
    if serial:
        machine.write("class/dmi/id/product_serial", serial)
    return machine


@pytest.fixture
def began(tmp_path: Path) -> Callable[..., Terminal]:
    """A terminal whose outbox has begun; and the same file in another machine."""

    def began(**shown: str) -> Terminal:
        one = Terminal(a_machine(tmp_path / "one", **shown), tmp_path / "outbox.db")
        one.start(FIRST).close()
        return one

    return began


def moved(terminal: Terminal, **shown: str) -> Terminal:
    return terminal._replace(machine=a_machine(terminal.machine.root.with_name("two"), **shown))


Began = Callable[..., Terminal]

# the same terminal


def test_nothing_changed(began: Began) -> None:
    assert began().starts_as_itself() == {}


def test_a_card_whose_driver_comes_late_is_missing_and_then_there(began: Began) -> None:
    one = began()
    one.machine.card("wlan0", WIFI_MAC, real="pci0/0000:03:00.0")
    assert one.starts_as_itself() == {}
    one.machine.no_card("wlan0")
    assert one.starts_as_itself() == {}
    one.machine.no_card("eth0")
    assert one.starts_as_itself() == {}
    one.machine.card("wlan1", WIFI_MAC)
    assert one.starts_as_itself() == {}


def test_a_card_that_was_never_there_at_the_first_start_is_stored_from_the_second(began: Began) -> None:
    one = began(mac="", serial="")
    one.machine.card("eth0", MAC)
    one.starts_as_itself()
    one.machine.write("block/sda/device/serial", "S2")
    assert one.starts_as_itself() == {"agree": "mac", "differ": "disk"}


def test_a_wifi_stick_that_is_pulled_added_or_replaced_does_not_count(began: Began) -> None:
    one = began()
    for mac in (WIFI_MAC, THIRD_MAC):
        one.machine.card("wlx", mac, real=f"pci0/usb1/1-2/{mac}")
        assert one.starts_as_itself() == {}
        one.machine.no_card("wlx")
        assert one.starts_as_itself() == {}


@pytest.mark.parametrize("serial", ["P1", JUNK, ""])
def test_the_image_on_a_new_disk_in_the_same_terminal(began: Began, serial: str) -> None:
    one = began(serial=serial)
    one.machine.write("block/sda/device/serial", "S2")
    assert one.starts_as_itself()["differ"] == "disk"
    assert one.starts_as_itself() == {}, "the new disk is known from now on"


def test_a_network_card_that_was_replaced_if_disk_and_board_are_the_same(began: Began) -> None:
    assert moved(began(), mac=OTHER_MAC).starts_as_itself() == {"agree": "board disk", "differ": "mac"}


def test_a_firmware_update_that_writes_another_board_number(began: Began) -> None:
    assert moved(began(), serial="P2").starts_as_itself()["differ"] == "board"


def test_everything_unreadable_contradicts_nothing_and_forgets_nothing(began: Began) -> None:
    one = began()
    moved(one, mac="", disk="", serial="").starts_as_itself()
    other = Terminal(a_machine(one.machine.root.with_name("three"), mac=OTHER_MAC, disk="S2", serial="P2"), one.file)
    other.starts_as_another()


# another terminal


@pytest.mark.parametrize("junk", [JUNK, "Default string", "00000000", "FFFF-FFFF", "System Serial Number", "CHASSIS-7"])
def test_the_image_on_an_identical_model_with_the_same_junk_in_its_dmi(began: Began, junk: str) -> None:
    """The last is a filler that this program does not know: cards and disk outvote it."""
    details = moved(began(serial=junk), mac=OTHER_MAC, disk="S2", serial=junk).starts_as_another()
    assert details["agree"] == ("board" if junk == "CHASSIS-7" else "")


def test_the_image_on_an_identical_model_whose_card_comes_late(began: Began) -> None:
    moved(began(serial=JUNK), mac="", disk="S2", serial=JUNK).starts_as_another()


def test_the_disk_moved_to_another_terminal(began: Began) -> None:
    assert moved(began(), mac=OTHER_MAC, serial="P2").starts_as_another()["agree"] == "disk"


def test_the_disk_moved_to_another_terminal_with_junk_in_its_dmi(began: Began) -> None:
    moved(began(serial=JUNK), mac=OTHER_MAC, serial=JUNK).starts_as_another()


def test_a_moved_disk_is_known_when_the_new_terminals_card_shows_itself(began: Began) -> None:
    there = moved(began(serial=""), mac="", serial="")
    there.starts_as_itself()
    there.machine.card("eth0", OTHER_MAC)
    there.starts_as_another()


def test_the_main_board_replaced_looks_like_a_moved_disk(began: Began) -> None:
    assert moved(began(), mac=OTHER_MAC, serial="P2").starts_as_another()["differ"] == "board mac"


def test_a_card_that_moved_with_the_image_into_another_machine(began: Began) -> None:
    assert moved(began(), disk="S2", serial="P2").starts_as_another()["agree"] == "mac"


def test_the_same_board_number_alone_is_too_little_against_another_disk(began: Began) -> None:
    moved(began(mac=""), mac="", disk="S2").starts_as_another()


# what does not count


@pytest.mark.parametrize(
    "mac", ["52:54:00:00:00:01", "02:42:ac:11:00:02", "88:88:88:88:87:88", "00:00:00:00:00:00", "?"]
)
def test_a_virtual_random_or_unprogrammed_mac_does_not_count(began: Began, mac: str) -> None:
    one = began(mac=mac)
    moved(one, mac="52:54:00:99:99:99").starts_as_itself()
    assert not {part for part in one.machine.parts if part.startswith("mac")}


def test_cards_that_come_with_a_new_address_at_each_boot_fill_no_file(began: Began) -> None:
    one = began()
    for n in range(30):
        one.machine.card(f"wlan{n}", f"3c:52:82:00:00:{n:02x}")
        one.starts_as_itself()
        one.machine.no_card(f"wlan{n}")
    with sqlite3.connect(one.file) as db:
        (text,) = db.execute("SELECT parts FROM outbox").fetchone()
    db.close()
    assert len(text.splitlines()) == 8 + 2
    one.starts_as_itself()


def test_no_serial_number_is_in_the_file(began: Began) -> None:
    one = began(disk="SERIAL-OF-THE-DISK", serial="SERIAL-OF-THE-BOARD")
    assert all(re.fullmatch("(mac|disk|board) [0-9a-f]{8}", part) for part in one.machine.parts)
    content = one.file.read_bytes()
    assert b"SERIAL-OF" not in content
    assert MAC.encode() not in content


# files of earlier versions, damaged files, full disks


def of_an_earlier_version(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.executescript("ALTER TABLE outbox DROP COLUMN parts; PRAGMA user_version = 2")
    db.close()


def test_a_file_of_an_earlier_version_continues_if_its_fingerprint_is_this_one(began: Began) -> None:
    one = began()
    of_an_earlier_version(one.file)
    box = one.start()
    assert (box.opening.kind, box.id) == ("migrated", FIRST)
    box.close()
    one.machine.card("wlan0", WIFI_MAC, real="pci0/0000:03:00.0")
    one.starts_as_itself()


def test_a_file_of_an_earlier_version_with_another_fingerprint_is_of_another_terminal(began: Began) -> None:
    one = began()
    of_an_earlier_version(one.file)
    one.machine.card("wlan0", WIFI_MAC, real="pci0/0000:03:00.0")
    assert one.starts_as_another()["differ"] == "fingerprint"
    one.machine.no_card("wlan0")
    box = one.start()
    assert (box.opening.kind, box.id) == ("kept", SECOND)
    box.close()


@pytest.mark.parametrize("earlier", [False, True])
def test_a_damaged_file_leaves_the_terminal_its_fingerprint(began: Began, earlier: bool) -> None:
    one = began()
    named = one.machine.fingerprint
    box = one.start()
    box.db.execute("CREATE TABLE spoiled (x)")
    box.db.execute("INSERT INTO spoiled VALUES (zeroblob(20000))")
    (page,) = box.db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'spoiled'").fetchone()
    box.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    box.close()
    if earlier:
        of_an_earlier_version(one.file)
    else:
        one.machine.card("wlan0", WIFI_MAC, real="pci0/0000:03:00.0")
    content = bytearray(one.file.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    one.file.write_bytes(content)
    box = one.start()
    assert (box.opening.kind, box.id, box.fingerprint) == ("corrupt", SECOND, named)
    box.close()


def test_a_new_epoch_is_of_the_same_terminal(began: Began) -> None:
    one = began()
    box = one.start()
    box.start_epoch("cccccccccccc")
    box.close()
    one.machine.card("wlan0", WIFI_MAC, real="pci0/0000:03:00.0")
    box = one.start()
    assert (box.opening.kind, box.id) == ("kept", "cccccccccccc")
    box.close()


def test_a_file_without_space_for_a_new_part_keeps_no_terminal_from_starting(began: Began) -> None:
    one = began()
    one.machine.card("wlan0", WIFI_MAC, real="pci0/0000:03:00.0")
    with sqlite3.connect(one.file) as db:  # the row fills its page to the last byte
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        for length in range(3800, 4096):
            db.execute("SAVEPOINT longer")
            db.execute("UPDATE outbox SET store = ?", ("x" * length,))
            if db.execute("PRAGMA page_count").fetchone()[0] > pages:
                db.execute("ROLLBACK TO longer")
                break
    db.close()
    before = one.file.read_bytes()
    named = one.machine.fingerprint
    box = open_outbox(one.file, named, SECOND, "t", pages * 4096, one.machine.parts)
    assert (box.opening.kind, box.id) == ("kept", FIRST)
    box.close()
    assert one.file.read_bytes() == before, "there was no room"
    one.starts_as_itself()
