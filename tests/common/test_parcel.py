"""The parcel's format: any rows come back as they were committed, and a changed or missing byte is always detected."""

import io
import subprocess
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import parcels

from common.messages import Capture
from common.parcel import (
    SEAL_BYTES,
    BadParcel,
    Manifest,
    PackedRow,
    ParcelReader,
    Seal,
    Span,
    file_name,
    key_digits,
    row_line,
    signed_text,
    verify_seal,
)

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw().hex()
OUTBOX = "0123456789ab"

json_bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(msgspec.json.encode)
bodies = json_bodies | st.binary(max_size=200)  # the second: a row damaged by the disk


def made(rows: list[tuple[str, bytes]], key: Ed25519PrivateKey = KEY) -> bytes:
    """A parcel of these leaves and bodies."""
    lines = b"".join(row_line(PackedRow(OUTBOX, seq, leaf, body)) for seq, (leaf, body) in enumerate(rows, 1))
    spans = (Span(outbox=OUTBOX, first=1, last=len(rows)),) if rows else ()
    manifest = Manifest(
        division="450225",
        number="桂BRS0001B",
        terminal="1",
        fingerprint="f",
        version="0",
        boot="01234567",
        mono_ms=1,
        at="2026-03-02T09:00:00.000+08:00",
        clock="synced",
        spans=spans,
        rows=len(rows),
        content=sha256(lines).hexdigest(),
    )
    pack = zlib.compressobj(6, zlib.DEFLATED, 31)
    body = pack.compress(msgspec.json.encode(manifest) + b"\n" + lines) + pack.flush()
    digest = sha256(body).hexdigest()
    public = key.public_key().public_bytes_raw().hex()
    return body + Seal(public, digest, key.sign(signed_text(digest)).hex()).encoded()


def read(data: bytes) -> list[tuple[str, bytes]]:
    file = io.BytesIO(data)
    assert verify_seal(file).key == PUBLIC
    return [(row.leaf, row.body) for row in ParcelReader(file).rows()]


@given(st.lists(st.tuples(st.sampled_from(["scan", "journal", "device/printer/main"]), bodies), max_size=20))
def test_any_rows_come_back_byte_for_byte(rows: list[tuple[str, bytes]]) -> None:
    assert read(made(rows)) == rows


ROWS = [("journal", b'{"event":"start"}'), ("scan", '{"text":"沃柑\\u001d1"}'.encode()), ("scan", b"\x00broken\n")]


def test_a_file_cut_at_any_byte_is_refused() -> None:
    whole = made(ROWS)
    for end in range(len(whole)):
        with pytest.raises(BadParcel):
            read(whole[:end])
    assert read(whole) == ROWS


def test_any_changed_byte_is_refused() -> None:
    whole = made(ROWS)
    for at in range(len(whole)):
        for flip in (1, 0x20, 0x80, 0xFF):
            with pytest.raises(BadParcel):
                read(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400), st.sampled_from([made(ROWS), made([])]), st.data())
def test_bytes_inserted_anywhere_are_refused(more: bytes, whole: bytes, data: Any) -> None:
    at = data.draw(st.integers(0, len(whole)))
    changed = whole[:at] + more + whole[at:]
    if changed != whole:
        with pytest.raises(BadParcel):
            read(changed)


def test_the_rows_of_another_seal_are_refused() -> None:
    whole, other = made(ROWS), made(ROWS[:1])
    with pytest.raises(BadParcel, match="not what was sealed"):
        read(whole[:-SEAL_BYTES] + other[-SEAL_BYTES:])


def test_a_seal_that_another_key_signed_is_refused() -> None:
    whole = made(ROWS)
    digest = sha256(whole[:-SEAL_BYTES]).hexdigest()
    forged = Seal(PUBLIC, digest, Ed25519PrivateKey.generate().sign(signed_text(digest)).hex())
    with pytest.raises(BadParcel, match="tampered"):
        read(whole[:-SEAL_BYTES] + forged.encoded())


def test_what_signs_a_parcel_signs_nothing_else() -> None:
    """A signature over the digest alone (made by the same key for another purpose) does not make a parcel."""
    whole = made(ROWS)
    digest = sha256(whole[:-SEAL_BYTES]).hexdigest()
    with pytest.raises(BadParcel, match="tampered"):
        read(whole[:-SEAL_BYTES] + Seal(PUBLIC, digest, KEY.sign(bytes.fromhex(digest)).hex()).encoded())


@pytest.mark.parametrize("rows", [2, 4])
def test_a_manifest_of_other_rows_is_refused(rows: int) -> None:
    lines = b"".join(row_line(PackedRow(OUTBOX, seq, *row)) for seq, row in enumerate(ROWS, 1))
    manifest = msgspec.json.decode(_unpacked(made(ROWS)).splitlines()[0], type=Manifest)
    wrong = msgspec.structs.replace(manifest, rows=rows)
    pack = zlib.compressobj(6, zlib.DEFLATED, 31)
    body = pack.compress(msgspec.json.encode(wrong) + b"\n" + lines) + pack.flush()
    digest = sha256(body).hexdigest()
    with pytest.raises(BadParcel, match="not those of the manifest"):
        read(body + Seal(PUBLIC, digest, KEY.sign(signed_text(digest)).hex()).encoded())


def _unpacked(data: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(data)


def test_a_person_reads_it_with_zcat(tmp_path: Path) -> None:
    file = tmp_path / "x.yinong"
    file.write_bytes(made(ROWS))
    ran = subprocess.run(["zcat", str(file)], capture_output=True, check=True)
    first, *rows, seal = [msgspec.json.decode(line) for line in ran.stdout.splitlines()]
    assert not ran.stderr
    assert first["number"] == "桂BRS0001B" and first["spans"] == [{"outbox": OUTBOX, "first": 1, "last": 3}]
    assert rows[1] == {"outbox": OUTBOX, "seq": 2, "leaf": "scan", "body": {"text": "沃柑\x1d1"}}
    assert seal["key"] == PUBLIC


def test_the_fingerprint_is_six_groups_of_five_digits_and_tells_keys_apart() -> None:
    one, other = key_digits(PUBLIC), key_digits("00" * 32)
    assert one != other and [len(group) for group in one.split()] == [5] * 6
    assert one.replace(" ", "").isdigit()


def test_the_name_fits_a_stick_formatted_as_fat(tmp_path: Path, clock: Any) -> None:
    boxes = [f"{n:012x}" for n in range(30)]
    for n, outbox in enumerate(boxes):
        box = parcels.outbox_in(tmp_path, outbox, f"f{n:011}")
        parcels.scan(box, clock, "6901234567892")
        box.close()
    box = parcels.outbox_in(tmp_path, boxes[-1], "f00000000029")
    (file,) = parcels.packed(box, clock, tmp_path / "stick")
    box.close()
    assert len(file.name) < 128 and file.name.isascii() and not set(file.name) & set('\\/:*?"<>| ')
    with file.open("rb") as data:
        verify_seal(data)
        reading = ParcelReader(data)
        assert {row.outbox for row in reading.rows()} == set(boxes)
        assert file_name(reading.manifest, verify_seal(data).key) == file.name


def test_a_row_of_a_capture_is_its_own_json(tmp_path: Path, clock: Any) -> None:
    box = parcels.outbox_in(tmp_path)
    parcels.scan(box, clock, "a\x1db", "沃柑")
    (file,) = parcels.packed(box, clock, tmp_path)
    with file.open("rb") as data:
        rows = list(ParcelReader(data).rows())
    assert [row.body for row in rows] == [row.body for row in box.waiting(0, 9)]
    assert [msgspec.json.decode(row.body, type=Capture).text for row in rows] == ["a\x1db", "沃柑"]
    box.close()
