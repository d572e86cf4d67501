"""The video driver on trees of sysfs and procfs; the real ioctls are tried on the kernel's test camera in the lab."""

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.cameras import holders, nodes, resolve
from drivers.reading import CannotLook, Condition, Reading
from drivers.video import driver
from drivers.video.driver import Video, find
from drivers.video.sound import sound

STATUS = "state: RUNNING\nowner_pid   : 451\ntrigger_time: 88.1\n-----\nhw_ptr      : {}\nappl_ptr    : 0\n"


def usb_camera(root: Path, first: int, serial: str = "SN0001", port: str = "1-2") -> None:
    """The two nodes of a USB camera."""
    usb = root / "sys/devices/pci0000:00" / port
    interface = usb / f"{port}:1.0"
    interface.mkdir(parents=True)
    (usb / "idVendor").write_text("046d\n")
    (usb / "idProduct").write_text("0825\n")
    if serial:
        (usb / "serial").write_text(serial + "\n")
    for index in (0, 1):
        entry = root / "sys/class/video4linux" / f"video{first + index}"
        entry.mkdir(parents=True)
        (entry / "name").write_text("HD Webcam: HD Webcam\n")
        (entry / "index").write_text(f"{index}\n")
        (entry / "device").symlink_to(interface)


def node_file(root: Path, name: str) -> Path:
    """A `/dev` entry that is no device: opening it works, asking it does not."""
    path = root / "dev" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def pcm(root: Path, name: str, *states: str) -> list[Path]:
    paths: list[Path] = []
    for number, state in enumerate(states):
        path = root / "proc/asound" / name / f"sub{number}/status"
        path.parent.mkdir(parents=True)
        path.write_text(state)
        paths.append(path)
    return paths


def process(root: Path, pid: int, name: str, *opened: str) -> None:
    folder = root / "proc" / str(pid) / "fd"
    folder.mkdir(parents=True)
    (folder.parent / "comm").write_text(name + "\n")
    for number, target in enumerate(opened):
        (folder / str(number)).symlink_to(target)


async def seen(root: Path, **options: Any) -> Reading:
    return await msgspec.convert({"id": "camera", **options}, Video).look(root)


async def test_a_terminal_without_camera_reads_absent(tmp_path: Path) -> None:
    reading = await seen(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.ABSENT, "no_camera")
    assert (reading.measures["microphones"], reading.measures["speakers"]) == (0, 0)


async def test_a_configured_camera_that_is_not_there_is_absent_though_another_is(tmp_path: Path) -> None:
    usb_camera(tmp_path, 0)
    reading = await seen(tmp_path, device="/dev/v4l/by-id/usb-other-video-index0")
    assert (reading.condition, reading.reason.code) == (Condition.ABSENT, "device_missing")


async def test_a_listed_camera_without_device_file_could_not_be_checked(tmp_path: Path) -> None:
    usb_camera(tmp_path, 0)
    reading = await seen(tmp_path)
    assert (reading.condition, reading.reason.code) == (Condition.UNKNOWN, "no_node")
    assert reading.reason.params["name"] == "HD Webcam: HD Webcam"


async def test_a_configured_file_that_is_no_camera_is_called_so(tmp_path: Path) -> None:
    node_file(tmp_path, "video0")
    reading = await seen(tmp_path, device="/dev/video0")
    assert (reading.condition, reading.reason.code) == (Condition.ABSENT, "not_a_camera")


async def test_a_child_that_answers_nonsense_is_a_driver_error_not_a_fault_of_the_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usb_camera(tmp_path, 0)
    monkeypatch.setattr("sys.executable", "/bin/true")
    with pytest.raises(CannotLook) as caught:
        await seen(tmp_path)
    assert caught.value.reading.reason.code == "driver_failed"


async def test_a_child_that_hangs_makes_the_camera_faulty_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usb_camera(tmp_path, 0)
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    hanging.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(hanging))
    reading = await seen(tmp_path, budget_s=2)
    assert (reading.condition, reading.reason.code) == (Condition.FAULTY, "wedged")


@pytest.mark.parametrize(
    "options", [{"device": "video0"}, {"device": "/etc/passwd"}, {"budget_s": 60}, {"microphone": "yes"}, {"fps": 5}]
)
def test_a_wrong_table_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"id": "camera", **options}, Video)


def test_a_usb_camera_is_found_once_under_its_serial_and_fixed_name(tmp_path: Path) -> None:
    usb_camera(tmp_path, 0)
    usb_camera(tmp_path, 10, serial="", port="1-4.1")
    by_id = node_file(tmp_path, "video0").parent / "v4l/by-id"
    by_id.mkdir(parents=True)
    (by_id / "usb-046d_0825_SN0001-video-index0").symlink_to("../../video0")
    first, second = find(tmp_path)
    assert (first.identity, first.options["device"]) == (
        "usb-046d:0825-SN0001",
        "/dev/v4l/by-id/usb-046d_0825_SN0001-video-index0",
    )
    assert (second.identity, second.options["device"]) == ("usb-046d:0825-port-1-4.1", "/dev/video10")
    assert [node.path for node in nodes(tmp_path)] == ["/dev/video0", "/dev/video1", "/dev/video10", "/dev/video11"]
    assert resolve(tmp_path, str(first.options["device"])) == "/dev/video0"


def test_the_process_that_holds_the_camera_is_named(tmp_path: Path) -> None:
    process(tmp_path, 12, "bash", "/dev/null")
    process(tmp_path, 451, "wemeetapp", "/dev/null", "/dev/video1")
    process(tmp_path, 452, "chrome", "/dev/video10")
    assert holders(tmp_path, "/dev/video1") == ([(451, "wemeetapp")], 0)


async def test_a_microphone_whose_position_moves_is_in_use_and_one_that_stands_still_is_not(tmp_path: Path) -> None:
    moving, _ = pcm(tmp_path, "card0/pcm0c", STATUS.format(480), "closed\n")
    pcm(tmp_path, "card1/pcm0p", STATUS.format(7))
    pcm(tmp_path, "card1/pcm0c", "closed\n")

    async def hardware() -> None:  # runs between the two readings
        moving.write_text(STATUS.format(960))

    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(sound(tmp_path))
        tasks.create_task(hardware())
    found = listening.result()
    assert (found.microphones, found.speakers) == (2, 1)
    assert (found.microphone_in_use, found.speaker_in_use) == (True, False)


async def test_closed_streams_and_a_missing_sound_system_are_not_in_use(tmp_path: Path) -> None:
    assert (await sound(tmp_path)).microphones == 0
    pcm(tmp_path, "card0/pcm0c", "closed\n")
    found = await sound(tmp_path)
    assert (found.microphones, found.microphone_in_use) == (1, False)


def test_the_sample_loads_and_shows_every_default() -> None:
    text = (Path(driver.__file__).parent / "sample.toml").read_text("utf-8")
    table = tomllib.loads(text)["device"][0]
    assert table.pop("class") == "video"
    assert msgspec.convert(table, Video) == Video(id=table["id"])
    assert all(f"{name} = " in text for name in Video.__struct_fields__)
