"""What is shown and stored at the counter: the agent's live view, forwarded at once; its outbox on the disk."""

import hashlib
import json
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

_AGENT = "/run/yinong-agent/agent.sock"
_OUTBOX = Path("/var/lib/yinong-agent/outbox.db")


def tell_on(host: str, port: int) -> None:
    """From now on forward the output of `yinong-agent scan` line by line to that port; return once the daemon has the request."""
    view = socket.socket(socket.AF_UNIX)
    view.connect(_AGENT)
    forward = socket.create_connection((host, port), 10)
    forward.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    view.sendall(b'{"ask": "scan"}\n')

    def go_on() -> None:
        with view, forward:
            while data := view.recv(1 << 16):
                forward.sendall(data)

    threading.Thread(target=go_on, daemon=True).start()


def waiting() -> int:
    """Number of rows without a receipt (`yinong-agent outbox` takes seconds on an emulated machine)."""
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.connect(_AGENT)
        daemon.sendall(b'{"ask": "outbox"}\n')
        return json.loads(daemon.makefile().readline())["answer"]["waiting"]


def kept(running: bool) -> dict[str, Any] | None:
    """The outbox on the disk; None if there is none yet. A row is [outbox, seq, kind, SHA-256 of its bytes, of interest].

    Where no daemon has it open it is read from a copy, so that nothing of what the cut left is changed.
    """
    if not _OUTBOX.exists():
        return None
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for suffix in () if running else ("", "-wal"):
            part = _OUTBOX.with_name(_OUTBOX.name + suffix)
            if part.exists():
                shutil.copy(part, folder)
        db = sqlite3.connect(f"file:{_OUTBOX}?mode=ro" if running else f"file:{folder}/{_OUTBOX.name}", uri=True)
        try:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox'").fetchone():
                return None
            db.execute("BEGIN")
            boxes = db.execute("SELECT id, base, upto FROM outbox ORDER BY base, rowid").fetchall()
            found = db.execute("SELECT id, kind, body FROM entry ORDER BY id").fetchall()
        finally:
            db.close()
    rows: list[list[Any]] = []
    for place, kind, body in found:
        box, base, _ = next(box for box in reversed(boxes) if box[1] < place)
        rows.append([box, place - base, kind, hashlib.sha256(body).hexdigest(), _of_interest(kind, json.loads(body))])
    return {"boxes": boxes, "rows": rows}


def mount(disk: str, folder: str, timeout_s: float = 30) -> list[str]:
    """Mount a disk that was just plugged in; return the kernel's log about its file system. Errors: OSError of mount."""
    end = time.monotonic() + timeout_s
    while not Path(disk).exists():
        if time.monotonic() > end:
            raise TimeoutError(f"no {disk}")
        time.sleep(0.01)
    before = len(_kernel_says())
    done = subprocess.run(["mount", "-o", "noatime", disk, folder], capture_output=True, text=True, check=False)
    words = [line for line in _kernel_says()[before:] if "EXT4" in line or "JBD2" in line]
    if done.returncode:
        raise OSError(f"{done.stderr.strip()} {words}")
    return words


def _kernel_says() -> list[str]:
    return subprocess.run(["dmesg", "-t"], capture_output=True, text=True, check=True).stdout.splitlines()


def _of_interest(kind: str, message: dict[str, Any]) -> Any:
    if kind == "scan":
        return [message["number"], message["text"], message.get("damage")]
    if kind == "journal":
        return [message["event"], message["boot"], message["details"]]
    return None
