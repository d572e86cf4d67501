"""`export`: writes what the county has not receipted to a USB stick, for stations without a line for weeks.

(`scans export` is different: captures for the shop's own use, in common formats.)
"""

import base64
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, cast

import msgspec

from agent.cli import stick
from agent.cli.config import settings_of
from agent.cli.output import Terms, print_json
from agent.control.export import TERMINAL
from agent.control.socket import Line, NoDaemon, send_request
from agent.host.keys import PRIVATE, public_key, sign
from agent.outbox.opening import read_only
from agent.outbox.packing import ParcelHeader, SealPoint, pieces
from common.clock import SystemClock
from common.parcel import BadParcel, Seal, key_digits
from common.station import Terminal
from drivers.reading import YinongError

ANSWER_S = 120  # timeout between two pieces, for the daemon of a slow terminal

NEXT = (
    """下一步：
  1. 安全弹出 U 盘，再拔下来。
  2. 把 U 盘交给乡镇或县运营中心的工作人员。
  3. 记录还留在本机，县运营中心签收后才算送到；在此之前可以随时再导出。""",
    """next:
  1. eject the stick, then pull it out.
  2. hand it to the township or the county's operations center.
  3. the records stay on this terminal until the county has receipted them; export again whenever you like.""",
)


class WrittenParcel(msgspec.Struct, frozen=True, kw_only=True):
    """A parcel that is on the stick."""

    path: str
    rows: int
    scans: int
    was_there: bool  # it was there already, with the same rows


class Source(NamedTuple):
    """What is to be written: of each parcel its header, then its bytes."""

    key: str
    pieces: Iterator[ParcelHeader | bytes]


def export(
    say: Terms, config: Path, socket: Path, to: Path | None, outbox: Path | None, terminal: str | None, *, as_json: bool
) -> int:
    """Exit code 0 also if nothing waits. No row counts as delivered because of it: only the county's receipt does that."""
    folder = to or _find_stick(say)
    new_key = outbox is not None and public_key(outbox) is None
    if outbox is not None:
        source = _from_file(outbox, Terminal.parse(terminal) if terminal else None)
    else:
        source = _from_daemon(say, socket) or _from_configured(say, config)
    written = [_write_parcel(say, folder, source.key, begun, data) for begun, data in _parcels(source.pieces)]
    if as_json:
        print_json({"parcels": written, "key": source.key, "fingerprint": key_digits(source.key)})
    else:
        _report(say, folder, written, source.key)
        if new_key:
            zh = f"注意：{PRIVATE} 没有一起拷来，已另做一把密钥：县运营中心导入时要用 --trust 加上面的核对码。"
            en = f"note: its key ({PRIVATE}) was not copied with it, a new one was made: the county has to --trust its digits."
            print(say(zh, en))
    return 0


def _find_stick(say: Terms) -> Path:
    found = stick.drives()
    folders = list(stick.mounted(found))
    if len(folders) == 1:
        return folders[0]
    if folders:
        names = " ".join(map(str, folders))
        raise YinongError(
            say(f"插着不止一个 U 盘，请用 --to 指定：{names}", f"more than one stick, name one by --to: {names}")
        )
    if found:
        names = " ".join(drive.device for drive in found)
        raise YinongError(
            say(
                f"U 盘已插上（{names}）但还没有打开：请先在文件管理器里点开，或用 --to 指定文件夹",
                f"the stick is plugged in ({names}) but not mounted: open it in the file manager first, or give --to FOLDER",
            )
        )
    zh = "没有检测到 U 盘：请插上 U 盘再做一次，或用 --to 指定文件夹"
    raise YinongError(say(zh, "no stick found: plug one in and try again, or give --to FOLDER"))


def _parcels(stream: Iterator[ParcelHeader | bytes]) -> Iterator[tuple[ParcelHeader, Iterator[bytes]]]:
    number = 0

    def parcel_number(piece: ParcelHeader | bytes) -> int:
        nonlocal number
        number += isinstance(piece, ParcelHeader)
        return number

    for _, group in groupby(stream, parcel_number):
        data = cast(Iterator[bytes], group)  # after the header
        yield cast(ParcelHeader, next(data)), data


def _write_parcel(say: Terms, folder: Path, key: str, begun: ParcelHeader, data: Iterator[bytes]) -> WrittenParcel:
    path, was_there = folder / begun.name, False
    try:
        was_there = stick.content_of(path) == (key, begun.content)
    except (OSError, BadParcel):
        pass  # missing or unusable: written again; a fault of the stick is reported then
    if not was_there:
        stick.write(say, folder, begun.name, data)
    return WrittenParcel(path=str(path), rows=begun.rows, scans=begun.scans, was_there=was_there)


def _from_daemon(say: Terms, socket: Path) -> Source | None:
    """None if no daemon runs."""
    lines = send_request(socket, {"ask": "export"}, ANSWER_S)
    try:
        first = _checked(next(lines))
    except NoDaemon:
        return None
    except StopIteration:
        raise YinongError(_broke_off(say)) from None

    def stream() -> Iterator[ParcelHeader | bytes]:
        for line in lines:
            if "parcel" in _checked(line):
                yield ParcelHeader(**line["parcel"])
            elif "bytes" in line:
                yield base64.b64decode(line["bytes"])
            elif "answer" in line:
                return
        raise YinongError(_broke_off(say))

    return Source(str(first["key"]), stream())


def _checked(line: Line) -> Line:
    if "error" in line:
        raise YinongError(line["error"])
    return line


def _broke_off(say: Terms) -> str:
    return say("监测程序中断了回应，请再做一次", "the running daemon broke off its answer: do it again")


def _from_configured(say: Terms, config: Path) -> Source:
    settings = settings_of(say, config)
    return _from_file(Path(settings.outbox.path), settings.terminal)


def _from_file(outbox: Path, terminal: Terminal | None) -> Source:
    """From the file, which is only read; `terminal` None: as stored in the file."""
    with read_only(outbox) as box:
        stored = box.state(TERMINAL)
    if terminal is None and stored is None:
        raise YinongError(
            f"{outbox} 没有写明是哪台电脑的：请加 --terminal 450225-GXBRS0001B-1 / "
            "the file does not say whose it is: add --terminal, like 450225-GXBRS0001B-1"
        )
    who = terminal or Terminal.parse((stored or b"").decode("ascii", "replace"))

    key = sign(outbox, None).key

    def stream() -> Iterator[ParcelHeader | bytes]:
        with read_only(outbox) as box:
            for piece in pieces(box, who, key, SystemClock()):
                if isinstance(piece, SealPoint):
                    signed = sign(outbox, piece.digest)
                    yield Seal(signed.key, piece.digest, signed.signature).encoded()
                elif piece:
                    yield piece

    return Source(key, stream())


def _report(say: Terms, folder: Path, written: list[WrittenParcel], key: str) -> None:
    if not written:
        print(
            say(
                "没有需要送交的记录，县运营中心已全部签收。",
                "nothing to export: the county has receipted everything.",
            )
        )
    for one in written:
        rows = say(f"{one.rows} 条记录，其中扫码 {one.scans} 条", f"{one.rows} records, {one.scans} of them scans")
        if one.was_there:
            print(say(f"U 盘上已有，没有重复写：{one.path}（{rows}）", f"already on the stick: {one.path} ({rows})"))
        else:
            print(
                say(
                    f"已写入 U 盘并核对：{one.path}（{rows}）", f"written to the stick and checked: {one.path} ({rows})"
                )
            )
    if written and stick.is_on_this_disk(folder):
        print(
            say(f"注意：{folder} 在本机硬盘上，不是 U 盘！", f"note: {folder} is on this terminal's disk, on no stick!")
        )
    if written:
        print(say(*NEXT))
    print(
        say(
            f"本机核对码（县运营中心核对时，请逐位念出）：{key_digits(key)}",
            f"this terminal's fingerprint (read it out when the county asks): {key_digits(key)}",
        )
    )
