"""Rules of the terminal that a recorded tree cannot show: thresholds, times, child processes, hostile files."""

import asyncio
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.flash import SmallDisk, slow_flash

from drivers.reading import CannotLook, Condition, Reading
from drivers.terminal import mounts, rare, system
from drivers.terminal.driver import Terminal
from drivers.terminal.kept import CarriedState, Units, carried_state
from drivers.terminal.mounts import Space, fullness
from drivers.terminal.part import Part, combined
from drivers.timesync import TimeSync, kernel_time_sync

ROOMY = Terminal(id="main", disk_full_mb=0, disk_nearly_full_mb=0)


def machine(root: Path, **files: str) -> Path:
    """A tree with `/proc/uptime`, and other files by their path with `__` for `/`."""
    for name, content in {"proc__uptime": "5000.0 1.0\n", **files}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def kept_of(reading: Reading) -> CarriedState:
    return carried_state(reading, 1e9)


def codes(part: Part) -> list[str]:
    return [finding.code for finding in part.findings]


@pytest.mark.parametrize(
    ("space", "code"),
    [
        (Space("/", 32000, 5000, 90), []),
        (Space("/", 32000, 999, 90), ["disk_nearly_full"]),
        (Space("/", 32000, 199, 90), ["disk_full"]),
        (Space("/", 500, 199, 90), []),  # a small partition does not count as full all the time
        (Space("/", 500, 49, 90), ["disk_nearly_full"]),
        (Space("/", 500, 9, 90), ["disk_full"]),
        (Space("/", 32000, 5000, 4), ["disk_nearly_full"]),
        (Space("/", 32000, 5000, 0), ["disk_full"]),
        (Space("/", 32000, 5000, None), []),  # btrfs has no number of inodes
        (Space("/", 0, 0, None), []),  # overlay of nothing
    ],
)
def test_full_and_nearly_full_by_megabytes_share_and_inodes(space: Space, code: list[str]) -> None:
    assert codes(fullness("root", space, 200, 1000)) == code


async def test_a_full_disk_is_faulty_and_a_nearly_full_one_works(tmp_path: Path) -> None:
    root = machine(tmp_path)
    free_mb = mounts.space(tmp_path, "/")
    assert free_mb is not None
    part = fullness("root", free_mb._replace(free_mb=1), 200, 1000)
    assert combined([part]).condition is Condition.FAULTY
    part = fullness("root", free_mb._replace(free_mb=201, size_mb=100_000), 200, 1000)
    assert combined([part]).condition is Condition.ATTENTION
    assert (await ROOMY.look(root)).condition is Condition.WORKING


async def test_without_proc_the_machines_state_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(CannotLook) as caught:
        await ROOMY.look(tmp_path)
    assert caught.value.reading.condition is Condition.UNKNOWN
    assert caught.value.reading.reason.code == "no_proc"


@pytest.mark.parametrize("uptime", ["nan 1", "1e400 1", "-1 1", "", "x"])
async def test_an_invalid_uptime_is_refused(tmp_path: Path, uptime: str) -> None:
    with pytest.raises(CannotLook):
        await ROOMY.look(machine(tmp_path, proc__uptime=uptime))


@pytest.mark.parametrize(
    ("life_time", "pre_eol_info", "worn", "used"),
    [
        ("0x01 0x07", "0x01", False, 70),
        ("0x08 0x01", "0x01", True, 80),
        ("0x0b 0x01", "0x01", True, 110),  # beyond its life
        ("0x01 0x01", "0x02", True, 10),
        ("0x00 0x00", "0x00", False, None),  # not defined by this chip
        ("0xff junk", "", False, None),
    ],
)
async def test_emmc_wear(tmp_path: Path, life_time: str, pre_eol_info: str, worn: bool, used: int | None) -> None:
    device = "sys__block__mmcblk0__device__"
    root = machine(tmp_path, **{device + "life_time": life_time, device + "pre_eol_info": pre_eol_info})
    machine(tmp_path, sys__block__mmcblk0boot0__device__life_time="0x0b 0x0b")  # the boot area is no disk of its own
    reading = await ROOMY.look(root)
    assert (reading.reason.code == "disk_worn") is worn
    assert reading.measures.get("disk_life_used_percent") == used


@pytest.mark.parametrize(
    ("super_options", "meant", "expected"),
    [
        ("rw", False, []),
        ("ro,errors=remount-ro", False, ["read_only"]),
        ("rw,emergency_ro", False, ["read_only"]),
        ("rw,shutdown", False, ["read_only"]),
        ("ro", True, []),
        ("rw,errors=remount-ro", False, []),
    ],
)
def test_read_only_is_an_option_of_the_file_system_not_of_the_mount(
    tmp_path: Path, super_options: str, meant: bool, expected: list[str]
) -> None:
    line = f"27 1 8:1 / / ro,relatime - ext4 /dev/sda1 {super_options}\n"
    mounted = mounts.mounts(machine(tmp_path, proc__self__mountinfo=line))
    assert codes(mounts.writable(["/"], mounted, meant)) == expected


def test_a_squashfs_root_is_read_only_by_nature_but_its_records_must_be_writable(tmp_path: Path) -> None:
    lines = "1 0 7:0 / / ro - squashfs /dev/loop0 ro\n2 1 8:1 / /var/lib rw - ext4 /dev/sda1 ro\n"
    mounted = mounts.mounts(machine(tmp_path, proc__self__mountinfo=lines))
    part = mounts.writable(["/", "/var/lib/yinong-agent"], mounted, False)
    assert [finding.params for finding in part.findings] == [{"folder": "/var/lib"}]


def test_of_two_mounts_on_one_place_the_later_covers_the_earlier(tmp_path: Path) -> None:
    lines = "1 0 0:1 / / rw - rootfs rootfs ro\n2 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    mount = mounts.mount_of("/srv", mounts.mounts(machine(tmp_path, proc__self__mountinfo=lines)))
    assert mount is not None
    assert mount.kind == "ext4"


async def test_an_event_is_a_finding_for_a_while_and_then_ends(tmp_path: Path) -> None:
    root = machine(tmp_path, proc__vmstat="oom_kill 4\n")
    first = await ROOMY.look(root)
    assert first.condition is Condition.WORKING  # what was before the first look is not reported
    machine(tmp_path, proc__uptime="5060.0 1\n", proc__vmstat="oom_kill 5\n")
    second = await ROOMY.look(root, first)
    assert second.reason.code == "out_of_memory"
    machine(tmp_path, proc__uptime="5120.0 1\n")
    third = await ROOMY.look(root, second)
    assert third.reason.code == "out_of_memory"  # long enough to be believed
    machine(tmp_path, proc__uptime="8661.0 1\n")
    assert (await ROOMY.look(root, third)).condition is Condition.WORKING


async def test_counters_of_another_boot_are_not_compared(tmp_path: Path) -> None:
    before = await ROOMY.look(machine(tmp_path, proc__vmstat="oom_kill 0\n", proc__stat="cpu 100 0 0 100 0 0 0 0\n"))
    root = machine(
        tmp_path, proc__uptime="60.0 1\n", proc__vmstat="oom_kill 1\n", proc__stat="cpu 900 0 0 900 0 0 0 0\n"
    )
    after = await ROOMY.look(root, before)
    assert after.measures["cpu_busy_percent"] is None
    assert after.condition is Condition.WORKING


async def test_the_write_probe_reaches_the_disk_twice_an_hour_and_leaves_nothing(tmp_path: Path) -> None:
    root = machine(tmp_path)
    folder = root / "var/lib/yinong-agent"
    folder.mkdir(parents=True)
    asked: list[float | None] = []
    reading = None
    for uptime in (5000, 5060, 6799, 6800):
        machine(tmp_path, proc__uptime=f"{uptime}.0 1\n")
        reading = await ROOMY.look(root, reading)
        assert kept_of(reading).write == "ok"
        asked.append(kept_of(reading).write_at_s)
    assert asked == [5000.0, 5000.0, 5000.0, 6800.0]
    assert list(folder.iterdir()) == []


async def test_a_folder_that_cannot_be_written_is_reported_with_the_disks_own_error(tmp_path: Path) -> None:
    assert await rare.probe_write(Path("/proc/self/net")) not in {"ok", "not asked"}
    assert await rare.probe_write(tmp_path / "gone") == "ENOENT"
    for error, expected in [
        ("EROFS", ["write_failed"]),
        ("EIO", ["write_failed"]),
        ("timed out", ["write_failed"]),
        ("ENOSPC", ["disk_full"]),
        ("EACCES", []),
        ("ENOENT", []),
        ("ok", []),
    ]:
        assert codes(rare.write("/var/lib/yinong-agent", error)) == expected


async def test_a_write_that_the_disk_refused_is_repeated_at_every_look(tmp_path: Path) -> None:
    """One answer that is kept for half an hour would be believed as if it had been seen three times."""
    root = machine(tmp_path)
    folder = root / "var/lib/yinong-agent"
    folder.mkdir(parents=True)
    with SmallDisk(folder, megabytes=1) as disk:
        driver = Terminal(id="main", state_folder="/var/lib/yinong-agent/disk", disk_full_mb=0, disk_nearly_full_mb=0)
        disk.fill()
        full = await driver.look(root)
        assert (full.reason.code, kept_of(full).write) == ("disk_full", "ENOSPC")
        machine(tmp_path, proc__uptime="5060.0 1\n")
        again = await driver.look(root, full)
        assert kept_of(again).write_at_s == 5060.0
        disk.free()
        machine(tmp_path, proc__uptime="5120.0 1\n")
        assert kept_of(await driver.look(root, again)).write == "ok"


async def test_a_flush_that_takes_too_long_is_the_disks_a_slow_start_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in slow_flash(tmp_path, ms=3000).items():
        monkeypatch.setenv(name, value)
    assert await rare.probe_write(tmp_path, budget_s=1.5) == "timed out"
    assert await rare.probe_write(tmp_path, budget_s=0.001) == "not asked"


def fake_systemctl(folder: Path, body: str) -> str:
    script = folder / "systemctl"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return str(script)


async def test_failed_units_are_named(tmp_path: Path) -> None:
    listed = (
        "cups.service loaded failed failed CUPS Scheduler\nfwupd.service loaded failed failed Firmware update daemon"
    )
    body = f'case "$1" in is-system-running) echo degraded; exit 1;; --failed) echo "{listed}";; esac'
    units = await rare.query_units(fake_systemctl(tmp_path, body))
    assert units == Units("degraded", ("cups.service", "fwupd.service"))
    assert rare.units(units).findings[0].params == {"count": 2, "units": "cups.service, fwupd.service"}


async def test_a_running_system_has_no_failed_units(tmp_path: Path) -> None:
    units = await rare.query_units(fake_systemctl(tmp_path, '[ "$1" = is-system-running ] && echo running'))
    assert units == Units("running")
    assert rare.units(units).findings == []


async def test_a_systemctl_that_hangs_or_is_missing_is_no_evidence(tmp_path: Path) -> None:
    assert await rare.query_units(fake_systemctl(tmp_path, "exec sleep 600"), budget_s=0.2) is None
    assert await rare.query_units(str(tmp_path / "none")) is None
    assert rare.units(None) == Part()


def test_an_unkept_clock_counts_only_after_a_while() -> None:
    unsynced, kept = TimeSync(5, 0x40), TimeSync(0, 0x2001)
    assert not unsynced.synced
    assert kept.synced
    assert not TimeSync(0, 0x40).synced
    assert codes(system.clock(unsynced, 899, 900)) == []
    assert codes(system.clock(unsynced, 900, 900)) == ["clock_unsynced"]
    assert codes(system.clock(kept, 900, 900)) == []
    assert system.clock(None, 900, 900) == Part()
    kernel = kernel_time_sync()
    assert kernel is None or 0 <= kernel.state <= 5


@pytest.mark.parametrize(
    ("running", "installed", "newest"),
    [
        ("6.1.0-9-amd64", ["6.1.0-10-amd64", "6.1.0-9-amd64"], "6.1.0-10-amd64"),
        ("6.1.0-25-amd64", ["6.9.0-1-rt-amd64", "6.1.0-25-amd64"], "6.1.0-25-amd64"),
        ("6.6.31+rpt-rpi-v8", ["6.6.51+rpt-rpi-v8", "6.6.51+rpt-rpi-2712"], "6.6.51+rpt-rpi-v8"),
        ("6.18.44-fc", [], "6.18.44-fc"),
    ],
)
def test_a_newer_kernel_of_the_same_flavour_makes_a_restart_due(
    running: str, installed: list[str], newest: str
) -> None:
    assert system.newest_kernel(installed, running) == newest


async def test_this_very_machine_can_be_looked_at_twice() -> None:
    terminal = Terminal(id="main")
    first = await terminal.look(Path("/"))
    second = await terminal.look(Path("/"), msgspec.json.decode(msgspec.json.encode(first), type=Reading))
    assert second.measures["cpu_count"]
    assert second.measures["root_free_mb"]
    assert second.measures["memory_total_mb"]


def test_a_wrong_table_is_refused_with_its_path() -> None:
    for table in (
        {"id": "main", "hot_c": 900},
        {"id": "main", "state_folder": "relative"},
        {"id": "main", "hott_c": 80},
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(table, Terminal)


FILES = ["proc/uptime", "proc/stat", "proc/loadavg", "proc/meminfo", "proc/vmstat", "proc/self/mountinfo", "proc/mounts",
         "proc/sys/kernel/tainted", "proc/sys/kernel/osrelease", "etc/os-release", "sys/class/thermal/thermal_zone0/temp",
         "sys/class/hwmon/hwmon0/temp1_input", "sys/fs/ext4/sda1/errors_count", "sys/block/mmcblk0/device/life_time",
         "sys/block/mmcblk0/device/pre_eol_info", "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count",
         "boot/vmlinuz-6.1.0-1-amd64", "sys/class/net/eth0/addr_assign_type"]  # fmt: skip
WORDS = st.sampled_from(
    ["cpu", "oom_kill", "MemTotal:", "-", "/", "ro", "0x0b", "-1", "1e400", "nan", "9" * 30, "\n", ":", "rw,ro"]
)
CONTENT = st.one_of(st.binary(max_size=60), st.lists(WORDS, max_size=14).map(lambda words: " ".join(words).encode()))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(FILES), CONTENT))
def test_no_content_of_any_file_crashes_the_look(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]
) -> None:
    root = tmp_path_factory.mktemp("hostile")
    for name, content in {"proc/uptime": b"100 1", **contents}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)

    async def twice() -> Reading:
        return await ROOMY.look(root, await ROOMY.look(root))

    try:
        assert msgspec.json.decode(msgspec.json.encode(asyncio.run(twice())), type=Reading)
    except CannotLook:
        assert contents.get("proc/uptime") is not None


def test_the_sample_names_every_option_with_its_default() -> None:
    table = tomllib.loads((Path(__file__).parents[3] / "drivers/terminal/sample.toml").read_text("utf-8"))["device"][0]
    assert table.pop("class") == "terminal"
    assert set(table) == set(Terminal.__struct_fields__)
    assert msgspec.convert(table, Terminal) == Terminal(id=table["id"])
