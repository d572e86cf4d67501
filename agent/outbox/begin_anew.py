"""Rows under a new outbox id: the same places, the same messages, other numbers in their bytes."""

import sqlite3
from typing import Any
from zlib import crc32

import msgspec

from agent.outbox import voids
from agent.outbox.voids import Place


def renumber(db: sqlite3.Connection, old: Place, new: Place) -> None:
    """Give every row above `new.base` its number under the new id. In a transaction of the caller."""
    rows = db.execute("SELECT id, body FROM entry WHERE id > ? ORDER BY id", (new.base,)).fetchall()
    for place, body in rows:
        changed = _renumbered(bytes(body), place, old, new)
        if changed is not None:
            db.execute("UPDATE entry SET body = ?, crc = ? WHERE id = ?", (changed, crc32(changed), place))


def _renumbered(body: bytes, place: int, old: Place, new: Place) -> bytes | None:
    """None where it cannot be read: its CRC gives it up when it is sent."""
    try:
        message: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    message |= {"outbox": new.outbox, "seq": place - new.base}
    if isinstance(message.get("details"), dict):
        message["details"] |= _moved(message["details"], message["event"] == voids.VOID, old, new)
    return msgspec.json.encode(message)


def _moved(details: dict[str, Any], void: bool, old: Place, new: Place) -> dict[str, Any]:
    """What an entry says of other rows (a void of its neighbours, `capture_voided` of a capture), where those moved too."""
    shift = new.base - old.base
    if void and "from" in details:
        return {"from": max(1, details["from"] - shift), "to": details["to"] - shift}
    if details.get("outbox") == old.outbox and details.get("seq", 0) > shift:
        return {"outbox": new.outbox, "seq": details["seq"] - shift}
    return {}
