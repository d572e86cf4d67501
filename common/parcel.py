"""A parcel: the rows that the county has not receipted, in one signed file that is carried by hand. Pure: format and checks.

    first gzip member    line 1 the manifest, then one line a row: outbox, seq, leaf, and the body's bytes as committed
    second gzip member   one line of fixed length, the seal: the terminal's key, the first member's SHA-256, the signature over it

`zcat` prints all of it. The seal covers the bytes of the file as they are, so a damaged or foreign file is refused before
anything is unpacked; the second member has only one valid (uncompressed) encoding, so no byte of a parcel can be changed.
"""

import gzip
import re
import struct
import zlib
from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, BinaryIO, Literal, NamedTuple

import msgspec
from msgspec import Meta

from common.clock import ClockQuality
from common.messages import At, Boot, Count, OutboxId, Seq
from common.station import BadStation, Terminal
from drivers.reading import YinongError

SUFFIX = ".yinong"
MAX_LINE_BYTES = 4 << 20
_CHUNK = 1 << 20
_SIGNED = b"yinong-parcel-1\0"  # prefix of the digest, so that a signature is valid for parcels only
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


class BadParcel(YinongError):  # noqa: N818
    """The file is not a complete, genuine parcel: nothing of it may be used."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Waiting rows of one outbox id, without a gap."""

    outbox: OutboxId
    first: Seq
    last: Seq


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The parcel's first line: the terminal, the rows, and the clock at packing."""

    parcel: Literal[1] = 1  # version of the format
    division: str
    number: str  # 桂BRS0001B
    terminal: str
    fingerprint: str  # of the hardware that wrote the newest of the rows
    version: str  # of yinong-agent
    boot: Boot
    at: At
    mono_ms: Count
    clock: ClockQuality
    spans: tuple[Span, ...]
    rows: Count  # of the spans, and receipted journal entries that are needed to correct clocks
    content: str  # SHA-256 of all row lines: the same for two parcels with the same rows

    @property
    def sender(self) -> Terminal:
        """Raises BadStation."""
        return Terminal.of(self.division, self.number, self.terminal)


class PackedRow(NamedTuple):
    """A row as it was committed."""

    outbox: str
    seq: int
    leaf: str
    body: bytes


class Seal(NamedTuple):
    """The end of a parcel; all in hex."""

    key: str  # Ed25519 public key of the terminal
    digest: str  # SHA-256 of the first member as it is in the file
    signature: str

    def encoded(self) -> bytes:
        """The second gzip member: one stored block, so that it has only one encoding."""
        line = f'{{"key":"{self.key}","sha256":"{self.digest}","signature":"{self.signature}"}}\n'.encode()
        stored = struct.pack("<BHH", 1, len(line), len(line) ^ 0xFFFF)
        return _GZIP_HEADER + stored + line + struct.pack("<II", zlib.crc32(line), len(line))


SEAL_BYTES = len(Seal("0" * 64, "0" * 64, "0" * 128).encoded())
_SEAL_LINE = re.compile(rb'\{"key":"([0-9a-f]{64})","sha256":"([0-9a-f]{64})","signature":"([0-9a-f]{128})"\}\n')


def signed_text(digest: str) -> bytes:
    """The bytes that the terminal's key signs for a first member with this SHA-256."""
    return _SIGNED + bytes.fromhex(digest)


def key_digits(key: str) -> str:
    """A public key's fingerprint for people: six groups of five digits (100 bits), to be read out on the telephone."""
    number = int.from_bytes(sha256(bytes.fromhex(key)).digest()) % 10**30
    return " ".join(f"{number:030}"[at : at + 5] for at in range(0, 30, 5))


def file_name(manifest: Manifest, key: str) -> str:
    """ASCII, without characters that FAT forbids; the same for the same rows and key."""
    spans = [f"{span.outbox}_{span.first}-{span.last}" for span in manifest.spans]
    more = [f"and-{len(spans) - 3}-more"] if len(spans) > 3 else []
    return "_".join([manifest.sender.name, *more, *spans[-3:], key_digits(key)[:5]]) + SUFFIX


class _RowLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    outbox: OutboxId
    seq: Seq
    leaf: Annotated[str, Meta(min_length=1)]
    body: msgspec.Raw = msgspec.Raw()
    base64: bytes | None = None  # if the body is not JSON in one line: damaged by the disk


def row_line(row: PackedRow) -> bytes:
    """The row as a line that decodes to exactly the committed bytes."""
    if b"\n" not in row.body:
        line = (
            msgspec.json.encode(_RowLine(outbox=row.outbox, seq=row.seq, leaf=row.leaf, body=msgspec.Raw(row.body)))
            + b"\n"
        )
        try:
            if _parse_row(line) == row:
                return line
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    return msgspec.json.encode(_RowLine(outbox=row.outbox, seq=row.seq, leaf=row.leaf, base64=row.body)) + b"\n"


def _parse_row(line: bytes) -> PackedRow:
    one = msgspec.json.decode(line, type=_RowLine)
    return PackedRow(one.outbox, one.seq, one.leaf, bytes(one.body) if one.base64 is None else one.base64)


def verify_seal(file: BinaryIO) -> Seal:
    """Check that the parcel is complete and signed by the key in its seal; return the seal. Raises BadParcel, OSError.

    The caller must check whose key it is: anybody can create a key.
    """
    size = file.seek(0, 2)
    if size <= SEAL_BYTES:
        raise BadParcel("文件不完整 / the file is cut short")
    file.seek(size - SEAL_BYTES)
    end = file.read(SEAL_BYTES)
    found = _SEAL_LINE.search(end)
    seal = Seal(found[1].decode(), found[2].decode(), found[3].decode()) if found else None
    if seal is None or seal.encoded() != end:
        raise BadParcel(
            "文件不完整，或不是数据包：末尾没有封签 / the file is cut short or no parcel: no seal at its end"
        )
    digest, left = sha256(), size - SEAL_BYTES
    file.seek(0)
    while left and (chunk := file.read(min(_CHUNK, left))):
        digest.update(chunk)
        left -= len(chunk)
    if left or digest.hexdigest() != seal.digest:
        raise BadParcel("文件已损坏：内容与封签不符 / the file is damaged: its content is not what was sealed")
    _verify_signature(seal)
    return seal


def _verify_signature(seal: Seal) -> None:
    from cryptography.exceptions import InvalidSignature  # loaded only if there is a parcel to check
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(seal.key))
        key.verify(bytes.fromhex(seal.signature), signed_text(seal.digest))
    except (InvalidSignature, ValueError) as error:
        raise BadParcel("签名不对：文件被改动过 / the signature is wrong: the file was tampered with") from error


class ParcelReader:
    """Reads a parcel after `verify_seal`. Every read may raise BadParcel and OSError."""

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        self._lines = gzip.GzipFile(fileobj=file, mode="rb")
        try:
            self.manifest = msgspec.json.decode(self._line(), type=Manifest)
            self.terminal = self.manifest.sender
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, BadStation) as error:
            raise BadParcel(f"无法识别的数据包 / a parcel of an unknown form: {error}") from error

    def rows(self) -> Iterator[PackedRow]:
        """All rows in order; the parcel was complete if this ends without an error."""
        content, count, left = sha256(), 0, _row_count(self.manifest.spans)
        while (line := self._line()) and not _SEAL_LINE.fullmatch(line):
            try:
                row = _parse_row(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise BadParcel(f"第 {count + 1} 条记录无法识别 / row {count + 1} makes no sense: {error}") from error
            content.update(line)
            count += 1
            left -= any(
                span.outbox == row.outbox and span.first <= row.seq <= span.last for span in self.manifest.spans
            )
            yield row
        if (content.hexdigest(), count, left) != (self.manifest.content, self.manifest.rows, 0):
            raise BadParcel("记录与清单不符 / the rows are not those of the manifest")

    def _line(self) -> bytes:
        try:
            line = self._lines.readline(MAX_LINE_BYTES)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise BadParcel(f"文件已损坏 / the file is damaged: {error}") from error
        if line and not line.endswith(b"\n"):
            raise BadParcel("有一行过长 / a line is too long")
        return line


def _row_count(spans: tuple[Span, ...]) -> int:
    return sum(span.last - span.first + 1 for span in spans)
