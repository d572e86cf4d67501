"""For tests of parcels: an outbox with rows in it, and its parcels as files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agent.host.keys import sign
from agent.outbox.opening import open_outbox
from agent.outbox.outbox import Outbox
from agent.outbox.packing import ParcelHeader, SealPoint, pieces
from agent.outbox.stamps import draft, journal, sequenced
from common.clock import Clock
from common.messages import Capture, Receipt
from common.parcel import Seal
from common.station import Terminal

TERMINAL = Terminal.parse("450225-GXBRS0001B-1")
OTHER = Terminal.parse("450225-GXBRS0002B-1")


def outbox_in(folder: Path, outbox: str = "0123456789ab", fingerprint: str = "f00d00000001") -> Outbox:
    folder.mkdir(parents=True, exist_ok=True)
    return open_outbox(folder / "outbox.db", fingerprint, outbox, "t")


def scan(box: Outbox, clock: Clock, *texts: str, **other: Any) -> None:
    """Captures, committed as the daemon does."""
    for number, text in enumerate(texts, 1):
        given: dict[str, Any] = {
            **sequenced(clock), "gun": "main", "identity": "usb:1", "number": number, "source": "serial", "text": text,
            "raw": text.encode().hex(), "charset": "utf-8", "charset_because": "plain", "symbology": None,
            "start_mono_ms": 1, "end_mono_ms": clock.mono_ms(),
        }  # fmt: skip
        box.append([draft(clock, "scan", Capture(**{**given, **other}))])


def note(box: Outbox, clock: Clock, event: str, **details: object) -> None:
    box.append([journal(clock, event, **details)])


def receipted(box: Outbox, upto: int, outbox: str = "0123456789ab") -> None:
    receipt = Receipt(at="2026-03-02T09:00:00.000+08:00", store="s", outbox=outbox, upto=upto)
    assert box.apply_receipt(receipt) == "advanced"


def packed(
    box: Outbox, clock: Clock, folder: Path, terminal: Terminal = TERMINAL, part_bytes: int = 1 << 30
) -> list[Path]:
    """The parcels of all waiting rows, as files in the folder, sealed with the outbox's key."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[bytes]] = {}
    key, name = sign(box.path, None).key, ""
    for piece in pieces(box, terminal, key, clock, part_bytes):
        if isinstance(piece, ParcelHeader):
            name = piece.name
            files[name] = []
        elif isinstance(piece, SealPoint):
            files[name].append(Seal(key, piece.digest, sign(box.path, piece.digest).signature).encoded())
        elif piece:
            files[name].append(piece)
    return _written(folder, files.items())


def _written(folder: Path, files: Iterable[tuple[str, list[bytes]]]) -> list[Path]:
    written: list[Path] = []
    for name, data in files:
        (folder / name).write_bytes(b"".join(data))
        written.append(folder / name)
    return written
