"""The LED screen's driver on trees of sysfs."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.catalogue import reason_codes, sentence
from drivers.led_screen import driver
from drivers.led_screen import judge as judge_module
from drivers.led_screen.driver import LedScreen, find
from drivers.led_screen.edid import Doubt
from drivers.reading import CannotLook, Condition, Reading

MakeEdid = Callable[..., bytes]
SURVEY = {"surveyed_by": "韦某", "surveyed_on": "2025-03-01"}


def connector(root: Path, name: str, status: str, edid: bytes = b"", modes: str = "") -> Path:
    path = root / "sys/class/drm" / f"card0-{name}"
    path.mkdir(parents=True, exist_ok=True)
    (path / "status").write_text(status + "\n")
    (path / "edid").write_bytes(edid)
    (path / "modes").write_text(modes)
    (path / "enabled").write_text("enabled\n")
    return path


@pytest.fixture
def tv(make_edid: MakeEdid) -> bytes:
    return make_edid(name="TV 65", serial="A1", cm=(143, 80), mm=(1428, 803))


@pytest.fixture
def monitor(make_edid: MakeEdid) -> bytes:
    return make_edid(name="24B2W1", serial="B2", cm=(53, 30), mm=(527, 296))


async def seen(root: Path, previous: Reading | None = None, **options: Any) -> Reading:
    return await msgspec.convert({"id": "screen", **options}, LedScreen).look(root, previous)


async def test_a_connected_tv_works_and_reports_its_area(tmp_path: Path, tv: bytes) -> None:
    connector(tmp_path, "HDMI-A-1", "connected", tv, "3840x2160\n1920x1080\n")
    connector(tmp_path, "DP-1", "disconnected")
    reading = await seen(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.WORKING, "connected")
    assert reading.measures["area_m2"] == pytest.approx(1.1467, rel=0.015)
    assert (reading.measures["width_px"], reading.measures["height_px"]) == (3840, 2160)


async def test_a_pulled_cable_is_absent_though_the_kernel_says_enabled(tmp_path: Path) -> None:
    connector(tmp_path, "HDMI-A-1", "disconnected")
    reading = await seen(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.ABSENT, "no_screen")
    assert reading.evidence[0].raw == {"HDMI-A-1": "disconnected"}


async def test_a_machine_without_graphics_driver_is_unknown_not_absent(tmp_path: Path) -> None:
    with pytest.raises(CannotLook) as caught:
        await seen(tmp_path)
    assert caught.value.reading.reason.code == "no_drm"


async def test_of_several_displays_the_largest_counts(tmp_path: Path, tv: bytes, monitor: bytes) -> None:
    connector(tmp_path, "DP-1", "connected", monitor)
    connector(tmp_path, "HDMI-A-1", "connected", tv)
    assert (await seen(tmp_path)).reason.params["name"] == "TV 65"
    assert (await seen(tmp_path, connector="DP-1")).reason.params["name"] == "24B2W1"


async def test_a_display_of_known_size_is_preferred_to_one_of_unknown_size(
    tmp_path: Path, monitor: bytes, make_edid: MakeEdid
) -> None:
    connector(tmp_path, "DP-1", "connected", make_edid(name="PJ"))
    connector(tmp_path, "HDMI-A-1", "connected", monitor)
    assert (await seen(tmp_path)).reason.params["name"] == "24B2W1"


async def test_a_laptops_own_panel_is_not_the_led_screen_unless_named(tmp_path: Path, monitor: bytes) -> None:
    connector(tmp_path, "eDP-1", "connected", monitor)
    connector(tmp_path, "HDMI-A-1", "disconnected")
    assert (await seen(tmp_path)).condition is Condition.ABSENT
    assert (await seen(tmp_path, connector="eDP-1")).condition is Condition.WORKING


async def test_a_named_connector_that_is_empty_or_not_there_is_absent(tmp_path: Path, tv: bytes) -> None:
    connector(tmp_path, "HDMI-A-1", "connected", tv)
    connector(tmp_path, "DP-1", "disconnected")
    assert (await seen(tmp_path, connector="DP-1")).reason.code == "unplugged"
    assert (await seen(tmp_path, connector="DP-9")).reason.code == "connector_missing"


async def test_a_connector_whose_state_the_card_cannot_detect_is_unknown(tmp_path: Path) -> None:
    connector(tmp_path, "VGA-1", "unknown")
    for name in ("auto", "VGA-1"):
        with pytest.raises(CannotLook) as caught:
            await seen(tmp_path, connector=name)
        assert caught.value.reading.reason.code == "status_unknown"


async def test_an_edid_that_is_lost_while_connected_is_a_fault_until_it_returns(tmp_path: Path, tv: bytes) -> None:
    connector(tmp_path, "HDMI-A-1", "connected", tv)
    good = await seen(tmp_path)
    connector(tmp_path, "HDMI-A-1", "connected", b"")
    lost = await seen(tmp_path, good)
    assert (lost.condition, lost.reason.code) == (Condition.FAULTY, "edid_lost")
    assert (await seen(tmp_path, lost)).condition is Condition.FAULTY
    connector(tmp_path, "HDMI-A-1", "connected", tv)
    assert (await seen(tmp_path, lost)).condition is Condition.WORKING


async def test_a_display_that_never_gave_an_edid_needs_attention_only(tmp_path: Path) -> None:
    connector(tmp_path, "VGA-1", "connected", b"", "1024x768\n")
    reading = await seen(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.ATTENTION, "edid_missing")
    assert (reading.measures["area_m2"], reading.measures["width_px"]) == (None, 1024)


async def test_a_walls_area_comes_from_pixels_and_pitch_not_from_its_sending_card(
    tmp_path: Path, monitor: bytes
) -> None:
    connector(tmp_path, "HDMI-A-1", "connected", monitor)
    unsurveyed = await seen(tmp_path, kind="led_wall")
    assert (unsurveyed.reason.code, unsurveyed.measures["area_m2"]) == ("wall_not_surveyed", None)
    wall = await seen(tmp_path, kind="led_wall", width_px=640, height_px=320, pitch_mm=2.5, **SURVEY)
    assert (wall.condition, wall.reason.code, wall.measures["area_m2"]) == (
        Condition.WORKING,
        "connected_surveyed",
        1.28,
    )
    assert (wall.measures["width_mm"], wall.measures["width_px"]) == (1600, 640)
    assert wall.evidence[1].source == "韦某"


async def test_a_surveyed_size_overrides_the_displays_own(tmp_path: Path, tv: bytes, make_edid: MakeEdid) -> None:
    for edid in (tv, make_edid(name="PJ")):
        connector(tmp_path, "HDMI-A-1", "connected", edid)
        reading = await seen(tmp_path, width_mm=2000, height_mm=1000, **SURVEY)
        assert (reading.condition, reading.measures["area_m2"]) == (Condition.WORKING, 2.0)


async def test_a_tv_named_like_a_sending_card_is_sized_when_configured_as_tv(
    tmp_path: Path, make_edid: MakeEdid
) -> None:
    connector(tmp_path, "HDMI-A-1", "connected", make_edid(name="COLORLIGHT", cm=(143, 80), mm=(1428, 803)))
    assert (await seen(tmp_path)).measures["area_m2"] is None
    assert (await seen(tmp_path, kind="tv")).measures["area_m2"] == 1.1467


@pytest.mark.parametrize(
    "options",
    [
        {"width_px": 640, "height_px": 320, **SURVEY},
        {"width_mm": 1600, **SURVEY},
        {"width_mm": 1600, "height_mm": 800},
        {"width_mm": 1600, "height_mm": 800, "surveyed_by": "韦某"},
        SURVEY,
        {"width_mm": 1600, "height_mm": 800, "width_px": 1, "height_px": 1, "pitch_mm": 2.5, **SURVEY},
        {"kind": "projector"},
        {"pitch_mm": 0},
        {"colour": "red"},
    ],
)
def test_a_wrong_table_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"id": "screen", **options}, LedScreen)


def test_found_displays_carry_their_connector_and_identity(tmp_path: Path, tv: bytes, monitor: bytes) -> None:
    connector(tmp_path, "HDMI-A-1", "connected", tv)
    connector(tmp_path, "eDP-1", "connected", monitor)
    connector(tmp_path, "DP-1", "disconnected")
    found = {f.options["connector"]: f for f in find(tmp_path)}
    assert set(found) == {"HDMI-A-1", "eDP-1"}
    assert (found["HDMI-A-1"].identity, found["HDMI-A-1"].label) == ("XYZ-0102-A1", "XYZ TV 65")
    assert "电脑自带的屏" in found["eDP-1"].note


def test_every_reason_has_its_sentence_in_both_languages() -> None:
    own = {"connected", "connected_surveyed", "connected_check_size", "wall_not_surveyed", "edid_missing", "edid_lost"}
    own |= {"no_screen", "unplugged", "connector_missing", "status_unknown", "no_drm", *Doubt.__args__}
    assert own == reason_codes("led_screen") - reason_codes("")
    for code in own:
        reason = judge_module.Reason(code)
        assert sentence("led_screen", reason, "zh").says != sentence("led_screen", reason, "en").says


def test_the_sample_loads_and_shows_every_default() -> None:
    text = (Path(driver.__file__).parent / "sample.toml").read_text("utf-8")
    table = tomllib.loads(text)["device"][0]
    assert table.pop("class") == "led_screen"
    assert msgspec.convert(table, LedScreen) == LedScreen(id=table["id"])
    assert all(f"{name} = " in text for name in LedScreen.__struct_fields__)
