"""The terminal's disk is full, out of inodes, read-only or slow: no acknowledged scan is lost."""

import json
import os
import time
from pathlib import Path

from support.broker import Broker
from support.daemon import TERMINAL, Daemon, Gun, Recorder, SystemdSocket, until
from support.flash import FailingDisk, SmallDisk, flushed, slow_flash
from support.mqtt_county import County

CLOSED_PORT = 1


def events(daemon: Daemon) -> list[str]:
    return [row["event"] for row in daemon.rows("journal")]


def texts(daemon: Daemon) -> list[str]:
    return [row["text"] for row in daemon.rows("scan")]


def test_scans_wait_for_a_full_disk_in_memory_and_are_all_stored_when_it_has_space(
    tmp_path: Path, broker: Broker
) -> None:
    scanned: list[str] = []
    with (
        SmallDisk(tmp_path, megabytes=64) as disk,
        SystemdSocket(tmp_path) as systemd,
        Gun() as gun,
        Daemon(
            tmp_path,
            CLOSED_PORT,
            tables=gun.table,
            outbox_folder=disk.path,
            environment={"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "2000000"},
        ) as daemon,
    ):
        gun.wait_until_opened()

        def scan(count: int) -> None:
            for _ in range(count):
                scanned.append(f"S{len(scanned)}-" + "x" * 1000)
                gun.scan(scanned[-1])
                time.sleep(0.002)

        scan(5)
        until(lambda: texts(daemon) == scanned, lambda: daemon.process.log)
        while "a scan waits for the outbox" not in daemon.process.log:
            disk.fill()
            scan(20)
            assert len(scanned) < 6000, "the disk never became full"
            until(  # else the test runs ahead of the daemon
                lambda: daemon.count("scan") == len(scanned) or "a scan waits for the outbox" in daemon.process.log,
                lambda: f"{len(scanned)}\n{daemon.process.log}",
            )
        assert disk.free_bytes < 64 << 10
        scan(20)
        until(
            lambda: systemd.count("") or any("等待保存" in line for line in systemd.received),
            lambda: f"{systemd.received}\n{daemon.process.log}",
        )
        before = len(texts(daemon))
        assert before < len(scanned)
        assert scanned[:before] == texts(daemon)
        disk.free()
        until(lambda: texts(daemon) == scanned, lambda: f"{len(texts(daemon))} of {len(scanned)}\n{daemon.process.log}")
        until(lambda: "disk_has_room" in events(daemon), lambda: f"{events(daemon)}\n{daemon.process.log}", 40)
        assert [event for event in events(daemon) if event == "disk_full"] == ["disk_full"], events(daemon)
        assert daemon.stop() == 0
        text = daemon.config.read_text("utf-8").replace(f"port = {CLOSED_PORT}\n", f"port = {broker.port}\n")
        daemon.config.write_text(text, "utf-8")
        with Recorder(tmp_path, broker.port) as recorder:
            gun.reset()
            daemon.start()
            until(lambda: daemon.depth()["waiting"] == 0, lambda: f"{daemon.depth()}\n{daemon.process.log}", 40)
            assert recorder.texts() == scanned


def test_without_free_inodes_the_daemon_keeps_running_and_also_starts(tmp_path: Path) -> None:
    with (
        SmallDisk(tmp_path, megabytes=64, inodes=40) as disk,
        Gun() as gun,
        Daemon(tmp_path, CLOSED_PORT, tables=gun.table, outbox_folder=disk.path) as daemon,
    ):
        gun.wait_until_opened()
        disk.take_inodes()
        gun.scan("while it ran")
        until(lambda: texts(daemon) == ["while it ran"], lambda: daemon.process.log)
        assert daemon.stop() == 0
        disk.take_inodes()
        assert os.statvfs(disk.path).f_favail == 0
        gun.reset()
        daemon.start()
        gun.wait_until_opened()
        gun.scan("after a start")
        until(lambda: texts(daemon) == ["while it ran", "after a start"], lambda: daemon.process.log)
        until(lambda: "disk_nearly_full" in events(daemon), lambda: f"{events(daemon)}\n{daemon.process.log}", 40)
        disk.free_inodes()
        until(lambda: "disk_has_room" in events(daemon), lambda: f"{events(daemon)}\n{daemon.process.log}", 40)
        assert len(list(disk.path.glob("*.reserve-*"))) == 2, "the ballast files are allocated again"


def test_a_disk_that_became_read_only_does_not_end_the_daemon_and_loses_nothing_stored(
    tmp_path: Path, broker: Broker
) -> None:
    with (
        FailingDisk(tmp_path) as disk,
        Gun() as gun,
        County(broker.host, broker.port) as county,
        Daemon(tmp_path, broker.port, tables=gun.table, outbox_folder=disk.path) as daemon,
    ):
        gun.wait_until_opened()
        gun.scan("before")
        until(lambda: texts(daemon) == ["before"], lambda: daemon.process.log)
        county.wait_for(lambda c: c.of("scan"))
        disk.fail()
        gun.scan("on a read-only disk")
        until(lambda: "a scan waits for the outbox" in daemon.process.log, lambda: daemon.process.log)
        assert daemon.request(ask="status")["link"]["up"], "it stays connected"
        assert "on a read-only disk" not in [json.loads(h.payload)["captures"][0]["text"] for h in county.of("scan")]
        daemon.stop()
        process = daemon.launch()
        assert process.wait() == 74
        assert "打不开记录库" in process.log
        disk.mend()
        gun.reset()
        daemon.start()
        gun.wait_until_opened()
        gun.scan("after")
        until(lambda: texts(daemon) == ["before", "after"], lambda: daemon.process.log)


def test_a_flash_that_takes_half_a_second_to_flush_blocks_neither_the_gun_nor_the_heartbeat(
    tmp_path: Path, broker: Broker
) -> None:
    with (
        Gun() as gun,
        County(broker.host, broker.port) as county,
        Daemon(tmp_path, broker.port, tables=gun.table + TERMINAL, environment=slow_flash(tmp_path, ms=500)) as daemon,
    ):
        gun.wait_until_opened()
        county.wait_for(lambda c: c.of("heartbeat"))
        flushes = len(flushed(tmp_path))
        for n in range(200):
            gun.scan(f"S{n}")
            time.sleep(0.01)
        until(lambda: len(texts(daemon)) == 200, lambda: f"{len(texts(daemon))}\n{daemon.process.log}", 40)
        flushes = len(flushed(tmp_path)) - flushes
        scans = daemon.rows("scan")
        county.wait_for(lambda c: sum(len(json.loads(h.payload)["captures"]) for h in c.of("scan")) == 200)
    assert [scan["text"] for scan in scans] == [f"S{n}" for n in range(200)], "not a key was lost"
    assert all(scan["damage"] is None for scan in scans)
    assert flushes < 40, "scans during a flush are committed together"
    read = [scan["start_mono_ms"] for scan in scans]
    assert read[-1] - read[0] < flushes * 500, "read as they were typed, not as they were flushed"
