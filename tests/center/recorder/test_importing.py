"""Parcels at the county: stored once, in the same way as MQTT messages; imported whole or rejected whole."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import parcels
from support.broker import Broker
from support.messages_of import NAME, OTHER, Probe, capture, device, journal, recording, scan, state, url_of

from agent.outbox.outbox import Outbox
from center.recorder.importing import ImportedParcel, RejectedParcel, import_parcels
from center.store.intake import Arrived, Parsed, parse, parse_row
from center.store.parcels import keys_of
from center.store.store import Store
from common.clock import SystemClock
from common.messages import topic
from common.parcel import key_digits
from common.receipts import Contiguous
from common.station import Terminal

TERMINAL = Terminal.parse(NAME)
OUTBOX = "0123456789ab"
CLOCK = SystemClock()
CENTER = str(Path(sys.executable).parent / "yinong-center")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Outbox]:
    """A terminal's outbox with a start and four captures that wait."""
    one = parcels.outbox_in(tmp_path / "terminal")
    parcels.note(one, CLOCK, "start")
    parcels.scan(one, CLOCK, "a", "b", "c", "d")
    yield one
    one.close()


@pytest.fixture
def key(store: Store, box: Outbox) -> str:
    """The terminal's key, which it reported in its birth."""
    key = parcels.sign(box.path, None).key
    born(store, key)
    return key


def born(store: Store, key: str | None, name: str = NAME) -> tuple[Terminal, ...]:
    return store.ingest([parse(Arrived(topic(name, "state"), state(name=name, export_key=key)))]).changed_keys


def imported(store: Store, *paths: Path, trust: tuple[str, ...] = ()) -> ImportedParcel:
    (one,) = import_parcels(store, paths, trust)
    assert isinstance(one, ImportedParcel), one
    return one


def rejected(store: Store, *paths: Path, trust: tuple[str, ...] = ()) -> str:
    (one,) = import_parcels(store, paths, trust)
    assert isinstance(one, RejectedParcel), one
    return one.why


def rows(
    folder: Path, query: str = "SELECT outbox, seq, leaf, body, late FROM entry ORDER BY outbox, seq"
) -> list[tuple]:
    with closing(sqlite3.connect(folder / "center.db")) as db:
        return db.execute(query).fetchall()


def upto(one: ImportedParcel) -> dict[str, int]:
    return {head.outbox: head.upto for head in one.result.heads}


def test_a_parcel_is_stored_byte_for_byte_late_and_reaches_its_last_row(
    store: Store, box: Outbox, key: str, tmp_path: Path
) -> None:
    one = imported(store, *parcels.packed(box, CLOCK, tmp_path / "stick"))
    assert (one.result.stored, one.result.duplicates, one.result.conflicts, one.result.set_aside) == (5, 0, 0, 0)
    assert upto(one) == {OUTBOX: 5} and one.gaps == [] and one.first_imported_at is None
    assert rows(tmp_path) == [(OUTBOX, row.seq, row.leaf, row.body, 1) for row in box.waiting(0, 9)]


def test_imported_twice_is_stored_once_and_reported(store: Store, box: Outbox, key: str, tmp_path: Path) -> None:
    files = parcels.packed(box, CLOCK, tmp_path / "stick")
    imported(store, *files)
    again = imported(store, *files)
    assert (again.result.stored, again.result.duplicates) == (0, 5) and again.first_imported_at is not None
    assert len(rows(tmp_path)) == 5 and upto(again) == {OUTBOX: 5}


def test_an_old_parcel_changes_nothing_that_arrived_since(store: Store, box: Outbox, key: str, tmp_path: Path) -> None:
    files = parcels.packed(box, CLOCK, tmp_path / "stick")
    for row in box.waiting(0, 9):
        store.ingest([parse_row(TERMINAL, *row[1:5])])
    store.ingest([parse(Arrived(topic(NAME, "device/printer/main"), device(6, "faulty")))])
    present = rows(tmp_path, "SELECT leaf, outbox, seq, body FROM latest ORDER BY leaf")
    last_heard = rows(tmp_path, "SELECT last_heard FROM terminal")
    one = imported(store, *files)
    assert one.result.stored == 0 and upto(one) == {OUTBOX: 6}
    assert rows(tmp_path, "SELECT leaf, outbox, seq, body FROM latest ORDER BY leaf") == present
    assert rows(tmp_path, "SELECT last_heard FROM terminal") == last_heard, "a stick is no sign of life"


def test_rows_missing_before_a_parcel_are_listed_and_the_head_does_not_advance(
    store: Store, box: Outbox, key: str, tmp_path: Path
) -> None:
    parcels.receipted(box, 3)  # by a store that is gone
    one = imported(store, *parcels.packed(box, CLOCK, tmp_path / "stick"))
    assert one.result.stored == 2 and upto(one) == {OUTBOX: 0}
    assert one.gaps == [(OUTBOX, 1, 3)]


def test_the_same_places_with_other_bytes_are_conflicts_as_over_mqtt(
    store: Store, box: Outbox, key: str, tmp_path: Path
) -> None:
    store.ingest([parse(Arrived(topic(NAME, "journal"), journal(1, "stop")))])
    one = imported(store, *parcels.packed(box, CLOCK, tmp_path / "stick"))
    assert (one.result.stored, one.result.conflicts) == (4, 1) and upto(one) == {OUTBOX: 5}


def test_a_row_that_breaks_the_contract_is_set_aside_and_holds_its_place(
    store: Store, box: Outbox, key: str, tmp_path: Path
) -> None:
    box.db.execute("UPDATE entry SET body = ?, crc = NULL WHERE id = 3", (b"\x00 no JSON",))
    one = imported(store, *parcels.packed(box, CLOCK, tmp_path / "stick"))
    assert (one.result.stored, one.result.set_aside) == (5, 1) and upto(one) == {OUTBOX: 5}
    assert rows(tmp_path, "SELECT body FROM set_aside") == [(b"\x00 no JSON",)]


def test_an_imported_row_is_parsed_as_over_mqtt() -> None:
    for leaf, body, sent in (
        ("journal", journal(3), journal(3)),
        ("device/printer/main", device(3), device(3)),
        ("scan", capture(3), scan(capture(3))),
    ):
        wire = parse(Arrived(topic(NAME, leaf), sent, late=True))
        assert parse_row(TERMINAL, OUTBOX, 3, leaf, body) == wire
    misplaced = parse_row(TERMINAL, OUTBOX, 4, "journal", journal(3))
    assert [(row.seq, row.rejected) for row in misplaced.rows] == [(4, True)] and len(misplaced.set_aside) == 1
    state_in_a_parcel = parse_row(TERMINAL, OUTBOX, 4, "state", state("closing"))
    assert state_in_a_parcel.values == () and state_in_a_parcel.state is None and state_in_a_parcel.rows[0].rejected


def test_a_parcel_of_a_terminal_that_never_reported_its_key_is_imported_by_its_fingerprint_only(
    store: Store, box: Outbox, tmp_path: Path
) -> None:
    files = parcels.packed(box, CLOCK, tmp_path / "stick")
    digits = key_digits(parcels.sign(box.path, None).key)
    why = rejected(store, *files)
    assert digits in why and "--trust" in why and "never reported a key" in why
    assert digits in rejected(store, *files, trust=(key_digits("00" * 32),))
    assert rows(tmp_path) == []
    one = imported(store, *files, trust=(digits.replace(" ", "-"),))
    assert one.result.stored == 5 and [known.vouched for known in one.keys] == [True]
    imported(store, *files)  # from now on it is known
    born(store, one.keys[0].key)
    assert [known.vouched for known in imported(store, *files).keys] == [False], (
        "its own report overrides the operator's word"
    )


def test_another_station_s_key_does_not_sign_for_this_one(store: Store, box: Outbox, tmp_path: Path) -> None:
    key = parcels.sign(box.path, None).key
    born(store, "11" * 32)
    born(store, key, OTHER)
    why = rejected(store, *parcels.packed(box, CLOCK, tmp_path / "stick"))
    assert key_digits("11" * 32) in why and key_digits(key) in why
    assert rows(tmp_path) == []


def test_a_changed_key_does_not_replace_the_old_one_and_is_shown(
    store: Store, box: Outbox, key: str, tmp_path: Path
) -> None:
    before = parcels.packed(box, CLOCK, tmp_path / "before")
    (box.path.parent / "export.key").unlink()
    other = parcels.sign(box.path, None).key
    after = parcels.packed(box, CLOCK, tmp_path / "after")
    assert key_digits(key) in rejected(store, *after)
    assert born(store, key) == () and born(store, None) == ()
    assert born(store, other) == (TERMINAL,) and born(store, other) == ()
    one = imported(store, *after)
    assert [known.key for known in one.keys] == [key, other]
    assert imported(store, *before).result.duplicates == 5, "a parcel signed with the old key is still valid"


def test_a_folder_stands_for_the_parcels_in_it_and_one_bad_file_does_not_affect_the_others(
    store: Store, box: Outbox, key: str, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    (good,) = parcels.packed(box, CLOCK, stick)
    (stick / "a.yinong").write_bytes(good.read_bytes()[:-7])
    (stick / "x.yinong.part").write_bytes(b"not finished")
    (stick / "._b.yinong").write_bytes(b"a shadow")
    (stick / "holiday.jpg").write_bytes(b"...")
    outcomes = list(import_parcels(store, [stick, tmp_path / "none.yinong"], ()))
    assert [(one.path.name, type(one)) for one in outcomes] == [
        (good.name, ImportedParcel),
        ("a.yinong", RejectedParcel),
        ("none.yinong", RejectedParcel),
    ]


def test_nothing_of_a_rejected_parcel_is_stored(store: Store, box: Outbox, key: str, tmp_path: Path) -> None:
    (good,) = parcels.packed(box, CLOCK, tmp_path / "stick")
    whole = good.read_bytes()
    for at in range(0, len(whole), 37):
        good.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        rejected(store, good)
    assert rows(tmp_path) == [] and rows(tmp_path, "SELECT * FROM parcel") == []


async def test_a_running_recorder_receipts_imported_rows_without_a_birth(
    store: Store, box: Outbox, key: str, broker: Broker, tmp_path: Path
) -> None:
    files = parcels.packed(box, CLOCK, tmp_path / "stick")
    probe = Probe(broker)
    async with recording(broker, store), probe.on(topic(NAME, "receipt")):
        other = Store.open(url_of(tmp_path), CLOCK)  # as another process does
        imported(other, *files)
        other.close()
        await probe.receipted(5)
    assert store.imported_outboxes() == ()


async def test_a_recorder_that_starts_later_receipts_it_too(
    store: Store, box: Outbox, key: str, broker: Broker, tmp_path: Path
) -> None:
    imported(store, *parcels.packed(box, CLOCK, tmp_path / "stick"))
    probe = Probe(broker)
    async with probe.on(topic(NAME, "receipt")), recording(broker, store):
        await probe.receipted(5)


async def test_mqtt_and_import_at_the_same_time_lose_nothing(
    store: Store, box: Outbox, key: str, broker: Broker, tmp_path: Path
) -> None:
    """A recorder in this process receives messages of another terminal while the real command imports into the same file."""
    parcels.scan(box, CLOCK, *(f"{n:013}" for n in range(3000)))
    parcels.packed(box, CLOCK, tmp_path / "stick")
    command = [CENTER, "import", str(tmp_path / "stick"), "--store", url_of(tmp_path), "--lang", "en"]
    probe, seq = Probe(broker), 0
    async with recording(broker, store), probe.on("yinong/1/+/receipt"):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as importing:  # noqa: ASYNC220
            while importing.poll() is None:
                seq += 1
                await probe.send("journal", journal(seq), OTHER)
            assert importing.stdout and "stored 3005," in importing.stdout.read() and importing.returncode == 0
        await probe.receipted(seq, OTHER)
        await probe.receipted(3005)
    numbers = Contiguous()
    for row in rows(tmp_path, f"SELECT seq FROM entry WHERE station = '{Terminal.parse(OTHER).number.ascii}'"):
        numbers.add(row[0])
    assert numbers.upto == seq and seq > 0


def run(tmp_path: Path, *arguments: str, code: int) -> str:
    done = subprocess.run([CENTER, "import", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_command_prints_what_it_did_in_both_languages(store: Store, box: Outbox, key: str, tmp_path: Path) -> None:
    parcels.packed(box, CLOCK, tmp_path / "stick")
    url = ("--store", url_of(tmp_path))
    english = run(tmp_path, str(tmp_path / "stick"), *url, "--lang", "en", code=0)
    assert "stored 5, had already 0, conflicts 0, set aside 0" in english and "complete up to number 5" in english
    chinese = run(tmp_path, str(tmp_path / "stick"), *url, code=0)
    assert "已有 5 条" in chinese and "已导入过" in chinese and "不必重启" in chinese


def test_rejected_parcels_and_empty_folders_have_exit_code_1(store: Store, tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    url = ("--store", url_of(tmp_path))
    assert "这里没有数据包" in run(tmp_path, str(tmp_path / "stick"), *url, code=1)
    (tmp_path / "stick/x.yinong").write_bytes(b"x" * 2000)
    assert "拒收" in run(tmp_path, str(tmp_path / "stick"), *url, code=1)


def test_an_import_does_not_create_a_missing_store(tmp_path: Path) -> None:
    output = run(tmp_path, str(tmp_path), "--store", f"sqlite:///{tmp_path}/other.db", code=2)
    assert "is no store of ours" in output and not (tmp_path / "other.db").exists()


def test_a_store_from_before_parcels_is_migrated(tmp_path: Path) -> None:
    Store.open(url_of(tmp_path), CLOCK).close()
    with closing(sqlite3.connect(tmp_path / "center.db")) as db:
        db.executescript(
            "DROP TABLE export_key; DROP TABLE parcel; DROP TABLE brought; UPDATE schema_version SET version = 1"
        )
    store = Store.open(url_of(tmp_path), CLOCK)
    born(store, "11" * 32)
    with store.transaction() as (connection, _, _now):
        assert [known.key for known in keys_of(connection, TERMINAL)] == ["11" * 32]
    store.close()


def test_set_aside_as_bytes_keeps_every_body(box: Outbox) -> None:
    parsed = Parsed(rows=parse_row(TERMINAL, OUTBOX, 3, "device/printer/main", device(3)).rows)
    assert [(one.body, one.why) for one in parsed.as_set_aside("no").set_aside] == [(device(3), "no")]
