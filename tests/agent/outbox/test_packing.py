"""The contents of a parcel: all waiting rows and no others, in one file or several, and the clock entries they need."""

from pathlib import Path
from typing import Any

import pytest
from support import parcels

from agent.host.keys import ExportKeyError, public_key, sign
from agent.outbox.outbox import Outbox
from agent.outbox.packing import SealPoint, pieces
from common.parcel import Manifest, PackedRow, ParcelReader, verify_seal
from drivers.reading import YinongError


def content(path: Path) -> tuple[Manifest, list[PackedRow]]:
    with path.open("rb") as file:
        verify_seal(file)
        reading = ParcelReader(file)
        return reading.manifest, list(reading.rows())


def test_all_that_waits_is_in_it_and_nothing_changes_in_the_outbox(outbox: Outbox, clock: Any, tmp_path: Path) -> None:
    parcels.note(outbox, clock, "start")
    parcels.scan(outbox, clock, *"abcde")
    parcels.receipted(outbox, 2)
    before = outbox.depth()
    (file,) = parcels.packed(outbox, clock, tmp_path / "stick")
    manifest, rows = content(file)
    assert [(row.outbox, row.seq, row.leaf) for row in rows] == [("0123456789ab", seq, "scan") for seq in (3, 4, 5, 6)]
    assert [row.body for row in rows] == [row.body for row in outbox.waiting(0, 99)]
    assert (manifest.sender, manifest.fingerprint, manifest.rows) == (parcels.TERMINAL, "f00d00000001", 4)
    assert [(span.first, span.last) for span in manifest.spans] == [(3, 6)]
    assert outbox.depth() == before


def test_if_nothing_waits_there_is_no_parcel(outbox: Outbox, clock: Any, tmp_path: Path) -> None:
    assert parcels.packed(outbox, clock, tmp_path / "stick") == []
    parcels.note(outbox, clock, "start")
    parcels.receipted(outbox, 1)
    assert parcels.packed(outbox, clock, tmp_path / "stick") == []


def test_rows_of_every_outbox_id_of_the_file_are_in_it(clock: Any, tmp_path: Path) -> None:
    old = parcels.outbox_in(tmp_path)
    parcels.scan(old, clock, "before")
    old.close()
    box = parcels.outbox_in(tmp_path, "ba9876543210", "f00d00000002")
    parcels.scan(box, clock, "after", "after")
    (file,) = parcels.packed(box, clock, tmp_path / "stick")
    manifest, rows = content(file)
    assert [(row.outbox, row.seq) for row in rows] == [("0123456789ab", 1), ("ba9876543210", 1), ("ba9876543210", 2)]
    assert manifest.fingerprint == "f00d00000002" and len(manifest.spans) == 2
    box.close()


def test_a_receipted_entry_that_corrects_a_waiting_capture_s_clock_goes_with_it(
    outbox: Outbox, clock: Any, tmp_path: Path
) -> None:
    clock.known = "unsynced"
    parcels.note(outbox, clock, "start")
    parcels.note(outbox, clock, "clock_synced", at="2026-03-02T09:00:00.000+08:00", mono_ms=1)
    parcels.note(outbox, clock, "link_up")
    parcels.receipted(outbox, 3)
    parcels.scan(outbox, clock, "early")
    (file,) = parcels.packed(outbox, clock, tmp_path / "stick")
    manifest, rows = content(file)
    assert sorted(row.seq for row in rows) == [2, 4]
    assert [(span.first, span.last) for span in manifest.spans] == [(4, 4)] and manifest.rows == 2


def test_a_clock_entry_that_waits_itself_is_in_it_once(outbox: Outbox, clock: Any, tmp_path: Path) -> None:
    clock.known = "unsynced"
    parcels.scan(outbox, clock, "early")
    parcels.note(outbox, clock, "clock_synced", at="2026-03-02T09:00:00.000+08:00", mono_ms=1)
    assert [row.seq for row in content(parcels.packed(outbox, clock, tmp_path / "stick")[0])[1]] == [1, 2]


def test_captures_on_a_good_clock_need_no_other_entry(outbox: Outbox, clock: Any, tmp_path: Path) -> None:
    parcels.note(outbox, clock, "clock_synced", at="2026-03-02T09:00:00.000+08:00", mono_ms=1)
    parcels.receipted(outbox, 1)
    parcels.scan(outbox, clock, "x")
    assert [row.seq for row in content(parcels.packed(outbox, clock, tmp_path / "stick")[0])[1]] == [2]


def test_rows_that_exceed_one_file_go_into_several_each_complete_by_itself(
    outbox: Outbox, clock: Any, tmp_path: Path
) -> None:
    parcels.scan(outbox, clock, *(f"{n:013}" for n in range(50)))
    files = parcels.packed(outbox, clock, tmp_path / "stick", part_bytes=5000)
    assert len(files) > 3 and len(set(files)) == len(files)
    assert [row.seq for file in files for row in content(file)[1]] == list(range(1, 51))


def test_two_exports_of_the_same_rows_have_the_same_name_and_content(
    outbox: Outbox, clock: Any, tmp_path: Path
) -> None:
    parcels.scan(outbox, clock, "a", "b")
    (one,) = parcels.packed(outbox, clock, tmp_path / "one")
    clock._pass(clock.mono_ms() + 60_000)
    (other,) = parcels.packed(outbox, clock, tmp_path / "other")
    assert one.name == other.name and content(one)[0].content == content(other)[0].content
    assert content(one)[0].at != content(other)[0].at


def test_a_receipt_during_packing_removes_nothing_from_the_parcel(outbox: Outbox, clock: Any) -> None:
    parcels.scan(outbox, clock, "a", "b", "c")
    walk = pieces(outbox, parcels.TERMINAL, "0" * 64, clock)
    next(walk)
    parcels.receipted(outbox, 3)
    assert any(isinstance(piece, SealPoint) for piece in walk)


def test_rows_that_change_while_they_are_packed_end_it(outbox: Outbox, clock: Any) -> None:
    parcels.scan(outbox, clock, "a", "b", "c")
    walk = pieces(outbox, parcels.TERMINAL, "0" * 64, clock)
    next(walk)
    outbox.void_rows([2], "unreadable")
    with pytest.raises(YinongError, match="changed"):
        list(walk)


def test_a_row_that_the_disk_damaged_is_a_void_in_the_parcel(outbox: Outbox, clock: Any, tmp_path: Path) -> None:
    parcels.scan(outbox, clock, "a", "b", "c")
    outbox.db.execute("UPDATE entry SET body = CAST(replace(body, 'b', 'x') AS BLOB) WHERE id = 2")
    rows = content(parcels.packed(outbox, clock, tmp_path / "stick")[0])[1]
    assert [(row.seq, row.leaf) for row in rows] == [(1, "scan"), (2, "journal"), (3, "scan")]
    assert b'"void"' in rows[1].body


def test_the_key_is_private_and_its_public_half_is_text(tmp_path: Path) -> None:
    box = tmp_path / "outbox.db"
    assert public_key(box) is None
    key = sign(box, None).key
    assert public_key(box) == key == sign(box, "00" * 32).key
    assert (tmp_path / "export.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "export.pub").read_text() == f"{key}\n"
    (tmp_path / "export.pub").write_text("nonsense")
    assert public_key(box) is None and sign(box, None).key == key == public_key(box)


def test_a_public_half_without_its_key_is_no_key(tmp_path: Path) -> None:
    box = tmp_path / "outbox.db"
    key = sign(box, None).key
    (tmp_path / "export.key").unlink()
    assert public_key(box) is None
    assert sign(box, None).key not in (key, None) and public_key(box) != key


@pytest.mark.parametrize("spoil", ["others can read it", "short"])
def test_a_key_that_cannot_be_trusted_signs_nothing(tmp_path: Path, spoil: str) -> None:
    sign(tmp_path / "outbox.db", None)
    file = tmp_path / "export.key"
    if spoil == "short":
        file.write_bytes(b"123")
    else:
        file.chmod(0o640)
    with pytest.raises(ExportKeyError, match=r"export\.key"):
        sign(tmp_path / "outbox.db", "00" * 32)
