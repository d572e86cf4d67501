"""Which gun: fake sysfs trees, as links and files the way the kernel lays them out."""

from pathlib import Path

import msgspec
import pytest

from drivers.catalogue import reason_codes, sentence
from drivers.reading import CannotLook, Condition, DriverError, Reason
from drivers.scan_gun import driver
from drivers.scan_gun.driver import ScanGun, find
from drivers.scan_gun.identity import candidates, matching

KEYBOARD = "10000 7 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe"
POWER_BUTTON = "8000 10000000000000 0"


class Machine:
    def __init__(self, root: Path) -> None:
        self.root = root

    def usb(self, port: str, ids: str, product: str = "", serial: str = "") -> Path:
        device = self.root / "sys/devices/pci0000:00/usb1" / port
        device.mkdir(parents=True)
        vendor, model = ids.split(":")
        for name, text in (("idVendor", vendor), ("idProduct", model), ("product", product), ("serial", serial)):
            if text:
                (device / name).write_text(text + "\n")
        return device

    def node(self, kind: str, entry_name: str, parent: Path | None, **files: str | bytes) -> None:
        device = (parent or self.root / "sys/devices/virtual") / f"{entry_name}-device"
        device.mkdir(parents=True)
        for path, content in files.items():
            file = device / path.replace("__", "/")
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        entry = self.root / "sys/class" / kind / entry_name
        entry.mkdir(parents=True)
        (entry / "device").symlink_to(device)
        node = self.root / "dev" / ("input" if kind == "input" else "") / entry_name
        node.parent.mkdir(parents=True, exist_ok=True)
        node.write_bytes(b"")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.node("input", "event0", None, name="Power Button", capabilities__key=POWER_BUTTON)
    made.node("input", "event1", None, name="AT Translated Set 2 keyboard", capabilities__key=KEYBOARD)
    return made


def honeywell(machine: Machine, port: str = "1-2", event: str = "event5", serial: str = "19123B0001") -> None:
    usb = machine.usb(port, "0c2e:0b6a", "1900 Barcode Scanner", serial)
    machine.node("input", event, usb / f"{port}:1.0", name="Honeywell 1900", capabilities__key=KEYBOARD)


async def test_no_gun_at_all_is_absent(tmp_path):
    reading = await ScanGun(id="gun").look(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.ABSENT, "no_gun_found")


async def test_a_keyboard_is_no_gun_unless_a_table_names_it(machine):
    reading = await ScanGun(id="gun").look(machine.root)
    assert (reading.condition, reading.reason.code) == (Condition.UNKNOWN, "not_configured")
    assert [e.raw["likely"] for e in reading.evidence] == ["maybe"]


async def test_of_a_gun_with_two_interfaces_the_serial_one_or_the_configured_one_is_used(machine):
    honeywell(machine)
    machine.node("tty", "ttyACM0", machine.root / "sys/devices/pci0000:00/usb1/1-2/1-2:1.1")
    for source, number, taken in (("auto", 2, "serial"), ("serial", 1, "serial"), ("evdev", 1, "evdev")):
        reading = await ScanGun(id="gun", usb="0c2e:0b6a", source=source).look(machine.root)
        assert (reading.reason.params["number"], reading.reason.params["source"]) == (number, taken)
    with pytest.raises(DriverError) as neither:
        await ScanGun(id="gun", usb="0c2e:0b6a", source="hidpos").look(machine.root)
    assert neither.value.reading.reason.code == "not_connected"


async def test_a_gun_is_known_by_vendor_product_and_serial(machine):
    honeywell(machine)
    reading = await ScanGun(id="gun", usb="0C2E:0b6a:19123B0001").look(machine.root)
    assert (reading.condition, reading.reason.code) == (Condition.WORKING, "ready_keyboard")
    assert reading.evidence[0].raw["identity"] == "usb:0c2e:19123B0001"
    with pytest.raises(DriverError) as other:
        await ScanGun(id="gun", usb="0c2e:0b6a:OTHER").look(machine.root)
    assert other.value.reading.condition == Condition.ABSENT


async def test_the_same_gun_in_another_mode_is_found_by_its_serial_number(machine):
    usb = machine.usb("1-2", "0c2e:0b64", "1900", "19123B0001")
    machine.node("tty", "ttyACM0", usb / "1-2:1.0")
    reading = await ScanGun(id="gun", usb="0c2e:0b6a:19123B0001").look(machine.root)
    assert (reading.condition, reading.reason.code) == (Condition.WORKING, "ready")
    assert reading.evidence[0].raw["identity"] == "usb:0c2e:19123B0001"


async def test_a_newland_without_serial_is_found_in_another_mode_by_its_family(machine):
    usb = machine.usb("1-3", "1eab:1a06", "HR32")
    machine.node("tty", "ttyACM0", usb / "1-3:1.0")
    assert (await ScanGun(id="gun", usb="1eab:1a03").look(machine.root)).reason.code == "ready"
    with pytest.raises(DriverError):
        await ScanGun(id="gun", usb="1eab:2203").look(machine.root)


async def test_two_guns_of_one_model_without_serials_are_distinguished_by_their_ports(machine):
    honeywell(machine, "1-2", "event5", "")
    honeywell(machine, "1-3", "event6", "")
    both = await ScanGun(id="gun", usb="0c2e:0b6a").look(machine.root)
    assert (both.condition, both.reason.code, both.reason.params["number"]) == (Condition.ATTENTION, "several_match", 2)
    one = await ScanGun(id="gun", usb="0c2e:0b6a", usb_port="1-3").look(machine.root)
    assert one.condition == Condition.WORKING
    assert one.evidence[0].source.endswith("event6")


async def test_a_configured_link_leads_to_its_gun(machine):
    honeywell(machine)
    link = machine.root / "dev/input/by-id/usb-Honeywell-event-kbd"
    link.parent.mkdir()
    link.symlink_to("../event5")
    reading = await ScanGun(id="gun", port="/dev/input/by-id/usb-Honeywell-event-kbd").look(machine.root)
    assert reading.evidence[0].raw["identity"] == "usb:0c2e:19123B0001"


async def test_a_node_without_permission_is_unknown_not_absent(machine, monkeypatch):
    honeywell(machine)
    monkeypatch.setattr(driver.os, "access", lambda path, mode: False)  # root may read everything
    with pytest.raises(CannotLook) as refused:
        await ScanGun(id="gun", usb="0c2e:0b6a").look(machine.root)
    assert refused.value.reading.reason.code == "no_permission"


def test_find_lists_likely_guns_first_with_a_table_that_finds_them_again(machine):
    honeywell(machine)
    usb = machine.usb("1-4", "1eab:1a10", "NLS-HR32")
    machine.node(
        "hidraw", "hidraw0", usb / "1-4:1.0", report_descriptor=bytes.fromhex("058c0902a101"), uevent="HID_NAME=x y\n"
    )
    machine.node("hidraw", "hidraw1", usb / "1-4:1.1", report_descriptor=bytes.fromhex("05010906a101"))
    cable = machine.usb("1-5", "1a86:7523", "USB Serial")
    machine.node("tty", "ttyUSB0", cable / "1-5:1.0")
    found = find(machine.root)
    assert [f.identity.rsplit("/", 1)[-1] for f in found] == [
        "usb:0c2e:19123B0001",
        "usb:1eab@1-4",
        "event1",
        "usb:1a86@1-5",
    ]
    assert "CDC" in found[0].note
    for f in found[:2]:
        table = msgspec.convert({"id": "x", **f.options}, ScanGun)
        fits = matching(candidates(machine.root), table.usb, table.usb_port)
        assert {c.identity for c in fits} == {f.identity}


@pytest.mark.parametrize(
    "wrong",
    [{"usb": "0c2e"}, {"usb_port": "left"}, {"baud": 1}, {"charset": "klingon"}, {"suffix": "完"}, {"speed": 9600}],
)
def test_a_wrong_table_is_refused_with_its_path(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"id": "gun", **wrong}, ScanGun)


def test_the_sample_loads_and_holds_every_option_with_its_default():
    import tomllib

    (table,) = tomllib.loads((Path(driver.__file__).parent / "sample.toml").read_text("utf-8"))["device"]
    assert table.pop("class") == "scan_gun"
    given = msgspec.convert(table, ScanGun)
    assert set(table) == set(ScanGun.__struct_fields__)
    assert given == ScanGun(id="gun")


def test_every_reason_has_words_in_both_languages():
    own = {
        "ready",
        "ready_keyboard",
        "several_match",
        "not_configured",
        "no_gun_found",
        "not_connected",
        "held_by_other",
        "cannot_open",
    }
    source = Path(driver.__file__).read_text("utf-8")
    assert all(f'"{code}"' in source for code in own)
    assert own <= reason_codes("scan_gun")
    for code in own:
        for lang in ("zh", "en"):
            assert sentence("scan_gun", Reason(code), lang).says != code
