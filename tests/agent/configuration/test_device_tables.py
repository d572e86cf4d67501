"""The `[[device]]` tables: the drivers that they configure, and the tables that are wrong."""

import tomllib
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from agent.configuration.device_tables import read_devices
from drivers.table import DeviceClass


class Lamp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device of these tests, with one option of each kind that drivers have."""

    id: str
    address: str = "auto"
    watts: Annotated[int, Meta(ge=1, le=100)] = 40
    colours: tuple[str, ...] = ()
    width_mm: float | None = None

    def __post_init__(self) -> None:
        if self.watts > 60 and self.address == "auto":
            raise ValueError("超过 60 瓦须写明 address / above 60 W give an address")


class LampClass(DeviceClass):
    """A device class with the struct of this module."""

    def driver_type(self):
        return Lamp


LAMPS = {"lamp": LampClass("lamp", "", 60, 5)}
GONE = {"gone": DeviceClass("gone", "drivers.no_such_module:Gone", 60, 5)}


def read(text, classes=LAMPS):
    """Drivers, (id, error) of the disabled ones, and path -> English of the mistakes."""
    mistakes = []
    devices = read_devices(tomllib.loads(text).get("device"), classes, lambda *mistake: mistakes.append(mistake))
    assert all(kind.name in classes for kind, _ in devices.configured)
    disabled = [(device.id, device.reason.params["error"]) for device in devices.disabled]
    assert all(device.reason.code == "table_wrong" for device in devices.disabled)
    return [driver for _, driver in devices.configured], disabled, {path: en for path, _, _, en in mistakes}


def lamp(*options):
    return "\n".join(["[[device]]", 'class = "lamp"', *options, ""])


def test_good_tables_give_their_drivers_in_order():
    drivers, disabled, mistakes = read(
        lamp('id = "b"', "watts = 60", "width_mm = 3") + lamp('id = "a"', 'colours = ["red"]')
    )
    assert drivers == [Lamp(id="b", watts=60, width_mm=3.0), Lamp(id="a", colours=("red",))]
    assert (disabled, mistakes) == ([], {})


def test_no_table_at_all_gives_one_device_of_each_class():
    assert read("")[0] == [Lamp(id="main")]
    assert read("device = []")[0] == []


def test_a_mistake_in_one_devices_table_disables_that_device_alone():
    drivers, disabled, mistakes = read(
        lamp('id = "good"') + lamp('id = "bright"', "watts = 100") + lamp("watts = 101", "colours = [1, 2]")
    )
    assert drivers == [Lamp(id="good")]
    assert disabled[0] == ("bright", "device[2]：超过 60 瓦须写明 address / above 60 W give an address")
    assert disabled[1][0] == "lamp-3"
    assert list(mistakes) == [
        "device[2]",
        "device[3].id",
        "device[3].watts",
        "device[3].colours[1]",
        "device[3].colours[2]",
    ]


def test_an_unknown_option_disables_the_device_although_the_rest_is_right():
    drivers, disabled, mistakes = read(lamp('id = "a"', "wats = 50"))
    assert (drivers, disabled[0][0]) == ([], "a")
    assert mistakes == {"device[1].wats": "there is no such option; did you mean watts?"}


def test_two_devices_of_a_class_cannot_share_an_id_and_the_first_stays():
    drivers, disabled, mistakes = read(lamp('id = "a"', "watts = 50") + lamp('id = "a"'))
    assert (drivers, disabled) == ([Lamp(id="a", watts=50)], [])
    assert mistakes == {"device[2].id": "is taken by [[device]] number 1"}


def test_two_classes_may_use_the_same_id():
    classes = LAMPS | {"torch": LampClass("torch", "", 60, 5)}
    assert read(lamp('id = "a"') + '[[device]]\nclass = "torch"\nid = "a"', classes)[2] == {}


@pytest.mark.parametrize("bad", ['"A"', '""', '"a/b"', '"a b"', "7", '"é"', '"' + "a" * 33 + '"', '"a\\n"', '"+"'])
def test_an_id_must_fit_into_a_topic(bad):
    drivers, disabled, mistakes = read(lamp(f"id = {bad}"))
    assert (drivers, disabled[0][0], list(mistakes)) == ([], "lamp-1", ["device[1].id"])


@pytest.mark.parametrize("name", ['"lmap"', "7", '"broadband"'])
def test_an_unknown_class_is_a_mistake_and_no_device(name):
    drivers, disabled, mistakes = read(f'[[device]]\nclass = {name}\nid = "a"\nx = 1')
    assert (drivers, disabled, list(mistakes)) == ([], [], ["device[1].class"])
    assert "lamp" in mistakes["device[1].class"]


def test_a_driver_that_cannot_be_loaded_disables_its_device_and_no_other():
    drivers, disabled, mistakes = read('[[device]]\nclass = "gone"\nid = "b"\n' + lamp('id = "a"'), LAMPS | GONE)
    assert (drivers, disabled[0][0]) == ([Lamp(id="a")], "b")
    assert "no_such_module" in mistakes["device[1].class"]


def test_the_error_of_a_disabled_device_is_short_enough_to_be_shown():
    _, disabled, _ = read(lamp('id = "a"', *(f"wrong_{n} = 1" for n in range(50))))
    assert len(disabled[0][1]) <= 300
