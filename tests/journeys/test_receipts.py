"""Receipts, whatever happens at either end: the real broker, the real recorder, the real daemon and its file."""

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from support.broker import Broker
from support.daemon import TERMINAL, Daemon, Gun, Recorder, until
from support.mqtt_county import County

from agent.host.fingerprint import fingerprint


class Station:
    """A terminal with a gun, and waiting for its rows."""

    def __init__(self, daemon: Daemon, gun: Gun) -> None:
        self.daemon, self._gun = daemon, gun
        self.scanned: list[str] = []

    def scan(self, *texts: str) -> None:
        self.scanned += texts
        for text in texts:
            self._gun.scan(text)
        until(
            lambda: [row["text"] for row in self.daemon.rows("scan")][-1:] == [texts[-1]],
            lambda: self.daemon.process.log,
        )

    def start(self) -> None:
        self._gun.reset()
        self.daemon.start()
        self._gun.wait_until_opened()

    def until_receipted(self, recorder: Recorder | None = None) -> None:
        until(
            lambda: self.daemon.depth()["waiting"] == 0,
            lambda: f"{self.daemon.depth()}\n{self.daemon.process.log}\n{recorder.process.log if recorder else ''}",
            60,
        )

    def until_stored(self, recorder: Recorder) -> None:
        until(
            lambda: sorted(recorder.texts()) == sorted(self.scanned),
            lambda: f"{recorder.texts()}\n{self.daemon.process.log}",
            60,
        )


@pytest.fixture
def station(tmp_path: Path, broker: Broker):
    with Gun() as gun, Daemon(tmp_path, broker.port, tables=gun.table + TERMINAL) as daemon:
        gun.wait_until_opened()
        daemon.until_connected()
        yield Station(daemon, gun)


def recording(folder: Path, broker: Broker) -> Recorder:
    """A recorder restarted on the store in the folder."""
    (folder / "recorder.log").unlink(missing_ok=True)  # `Recorder` waits for `connected` in this log
    return Recorder(folder, broker.port)


def change(file: Path, sql: str, *values: Any) -> None:
    """Change a file of the running programs, as a fault of the disk does."""
    with contextlib.closing(sqlite3.connect(file, timeout=20)) as db:
        db.execute(sql, values)
        db.commit()


def stored(recorder: Recorder, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(f"file:{recorder.file}?mode=ro", uri=True, timeout=20)) as db:
        return db.execute(sql).fetchall()


def copy_of(file: Path, to: Path) -> None:
    for suffix in ("", "-wal"):
        part = file.with_name(file.name + suffix)
        if part.exists():
            shutil.copy(part, to.with_name(to.name + suffix))


def put(file: Path, to: Path) -> None:
    """Replace a file by another, with its WAL."""
    for suffix in ("", "-wal", "-shm"):
        to.with_name(to.name + suffix).unlink(missing_ok=True)
    copy_of(file, to)


def test_a_scan_whose_bytes_changed_on_the_flash_becomes_void_and_the_receipt_advances(
    tmp_path: Path, broker: Broker, station: Station
) -> None:
    station.scan("A-1", "A-2", "A-3")
    change(
        station.daemon.outbox_file,
        "UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), 'A-2', 'B-2') AS BLOB) WHERE CAST(body AS TEXT) LIKE '%A-2%'",
    )
    with recording(tmp_path, broker) as recorder:
        station.until_receipted(recorder)
        assert recorder.texts() == ["A-1", "A-3"], "a wrong code is worse than no code"
        voids = [row["details"] for row in recorder.rows("journal") if row["event"] == "void"]
    assert voids == [{"reason": "unreadable", "was": "scan"}]


def test_from_a_file_with_a_damaged_page_all_readable_rows_are_sent(
    tmp_path: Path, broker: Broker, station: Station
) -> None:
    station.scan(*(f"S-{n}-" + "x" * 400 for n in range(40)))
    station.daemon.stop()
    content = bytearray(station.daemon.outbox_file.read_bytes())
    page = content.index(b'"S-20-') // 4096
    content[page * 4096 : (page + 1) * 4096] = bytes(4096)
    station.daemon.outbox_file.write_bytes(content)
    with recording(tmp_path, broker) as recorder:
        station.start()
        station.until_receipted(recorder)
        stored_texts, journal = recorder.texts(), recorder.rows("journal")
    [start] = [row["details"] for row in journal if row["event"] == "start" and row["details"]["outbox"] == "corrupt"]
    assert start["outbox_details"]["lost"] == sum(
        row["details"].get("to", 0) - row["details"].get("from", 0) + 1 for row in journal if row["event"] == "void"
    )
    assert 25 < len(stored_texts) < 40
    assert set(stored_texts) < set(station.scanned)


def test_a_message_that_the_recorder_rejects_is_set_aside_and_counts_as_received(
    tmp_path: Path, broker: Broker, station: Station
) -> None:
    station.scan("before")
    change(
        station.daemon.outbox_file,
        "UPDATE entry SET leaf = 'device/of/the/day/after/tomorrow', crc = NULL WHERE CAST(body AS TEXT) LIKE '%before%'",
    )
    with recording(tmp_path, broker) as recorder:
        station.scan("after")
        station.until_receipted(recorder)
        aside = stored(recorder, "SELECT leaf, why FROM set_aside")
        assert recorder.texts() == ["after"]
    assert aside == [("device/of/the/day/after/tomorrow", "the contract has no such topic")]


@pytest.mark.parametrize("restored", [True, False], ids=["from a backup", "as a new store"])
def test_a_recorder_that_lost_what_it_had_gets_it_again_from_the_archive_and_stores_it_once(
    tmp_path: Path, broker: Broker, station: Station, restored: bool
) -> None:
    with recording(tmp_path, broker) as recorder:
        station.scan("1", "2", "3")
        station.until_receipted(recorder)
    backup = tmp_path / "backup.db"
    copy_of(recorder.file, backup)
    with recording(tmp_path, broker) as recorder:
        station.scan("4", "5", "6")
        station.until_receipted(recorder)
        store = station.daemon.depth()["store"]
    if restored:
        put(backup, recorder.file)
    else:
        put(tmp_path / "no such file", recorder.file)
        recorder.file.unlink(missing_ok=True)
    with recording(tmp_path, broker) as recorder:
        station.scan("7")
        station.until_stored(recorder)
        station.until_receipted(recorder)
        assert recorder.texts() == ["1", "2", "3", "4", "5", "6", "7"], "each once, in order"
        assert stored(recorder, "SELECT count(*) FROM conflict") == [(0,)]
    events = [row["event"] for row in station.daemon.rows("journal")]
    assert "sent_again" in events
    assert (station.daemon.depth()["store"] == store) is restored


def test_the_same_number_with_other_bytes_is_a_conflict_that_is_stored_and_blocks_nothing(
    tmp_path: Path, broker: Broker, station: Station
) -> None:
    station.scan("theirs")
    [(place, body)] = _rows(station.daemon.outbox_file, "theirs")
    with recording(tmp_path, broker) as recorder:
        station.until_receipted(recorder)
        assert recorder.texts() == ["theirs"]
        other = bytes(body).replace(b"theirs", b"others")
        change(station.daemon.outbox_file, "UPDATE entry SET body = ?, crc = NULL WHERE id = ?", other, place)
        resend(station.daemon.outbox_file, place)
        station.daemon.stop()
        station.start()
        until(lambda: stored(recorder, "SELECT body FROM conflict"), lambda: recorder.process.log, 60)
        station.scanned = ["theirs"]
        station.scan("next")
        station.until_stored(recorder)
        station.until_receipted(recorder)
        assert [bytes(body) for (body,) in stored(recorder, "SELECT body FROM conflict")] == [other]
    assert "conflicts 1" in recorder.process.log


def test_a_disk_in_a_new_terminal_sends_its_old_rows_under_their_old_id(
    tmp_path: Path, broker: Broker, station: Station
) -> None:
    station.scan("old")
    station.daemon.stop()
    change(station.daemon.outbox_file, "UPDATE outbox SET fingerprint = 'another machine', parts = NULL")
    with recording(tmp_path, broker) as recorder:
        station.start()
        station.scan("new")
        station.until_stored(recorder)
        station.until_receipted(recorder)
        ids = [row["outbox"] for row in recorder.rows("scan")]
        journal = recorder.rows("journal")
    assert len(set(ids)) == 2
    start = [
        row["details"] for row in journal if row["event"] == "start" and row["details"]["outbox"] == "other_hardware"
    ]
    assert [(one["outbox_details"]["before"], one["outbox_details"]["now"]) for one in start] == [
        ("another machine", fingerprint())
    ]


def test_a_recognised_terminal_keeps_the_name_that_its_outbox_began_with(
    tmp_path: Path, broker: Broker, station: Station
) -> None:
    """As after a first start without a network card: the hardware now has another hash."""
    station.scan("before")
    station.daemon.stop()
    change(station.daemon.outbox_file, "UPDATE outbox SET fingerprint = 'f1r57f1r57f1'")
    with recording(tmp_path, broker) as recorder, County(broker.host, broker.port) as county:
        station.start()
        station.scan("after")
        station.until_stored(recorder)
        station.until_receipted(recorder)
        county.wait_for(
            lambda received: [one for one in received.of("state") if one.json["fingerprint"] == "f1r57f1r57f1"]
        )
        assert {row["outbox"] for row in recorder.rows("scan")} == {station.daemon.depth()["outbox"]}


@pytest.mark.parametrize("offline", [False, True], ids=["seen at once", "after a day without a line"])
def test_a_restored_disk_image_causes_no_conflict_and_loses_nothing(
    tmp_path: Path, broker: Broker, station: Station, offline: bool
) -> None:
    image, file = tmp_path / "image.db", station.daemon.outbox_file
    with recording(tmp_path, broker) as recorder:
        station.scan("1", "2")
        station.until_receipted(recorder)
        station.daemon.stop()
        copy_of(file, image)
        station.start()
        station.scan(*(f"first-life-{n}" for n in range(20)))
        station.until_receipted(recorder)
        station.daemon.stop()
        put(image, file)
        if offline:
            broker.stop()
        station.start()
        station.scan("second-life")
        if offline:
            broker.start()
        station.until_stored(recorder)
        station.until_receipted(recorder)
        assert stored(recorder, "SELECT count(*) FROM entry WHERE CAST(body AS TEXT) LIKE '%second-life%'") == [(1,)]
        ids = {row["outbox"] for row in recorder.rows("scan")}
        events = [row for row in recorder.rows("journal") if row["event"] == "outbox_went_back"]
        state = stored(recorder, "SELECT outbox FROM latest WHERE leaf = 'state'")
    assert len(ids) == 2
    assert [row["details"]["outbox_before"] in ids for row in events] == [True]
    assert state == [(events[0]["outbox"],)], "a birth has named the new id"


def _rows(file: Path, text: str) -> list[tuple[int, bytes]]:
    with contextlib.closing(sqlite3.connect(file, timeout=20)) as db:
        return db.execute(
            "SELECT id, body FROM entry WHERE kind = 'scan' AND CAST(body AS TEXT) LIKE ?", (f"%{text}%",)
        ).fetchall()


def resend(file: Path, place: int) -> None:
    """Request it as `yinong-agent scans resend` does."""
    change(file, "INSERT INTO mark (key, value) VALUES (?, ?)", f"resend:{place}-{place}", str(place).encode())
