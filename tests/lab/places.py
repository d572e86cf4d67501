"""Where the lab stores its files, by which key, and how it prints its progress."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

LAB = Path(__file__).resolve().parent
CHECKOUT = LAB.parents[1]
CACHE = Path(os.environ.get("LAB_CACHE", CHECKOUT / ".cache/lab"))
RUN = CACHE / "run"  # one folder for each running machine: sockets, console.log, disk
# Before a command: it ends when the process that started it ends, for whatever reason.
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")

_started = time.monotonic()
# The context in which `say` prints: under pytest (conftest.py) past its capturing, so that figures appear at once.
aloud: Callable[[], AbstractContextManager[object]] = nullcontext


class LabError(Exception):
    """The lab itself cannot do what was requested; a test with this error fails with its reason."""


def say(*words: object) -> None:
    """One line of progress, with the seconds since the start."""
    with aloud():
        print(f"lab {time.monotonic() - _started:6.1f}s ", *words, flush=True)


def remove_stale() -> None:
    """Remove folders of machines whose process is gone: left by failed runs for inspection."""
    for folder in RUN.glob("*-*"):
        if not Path(f"/proc/{folder.name.rpartition('-')[2]}").exists():
            shutil.rmtree(folder)


def key_of(parts: Iterable[str | bytes | Path]) -> str:
    """A hash of contents: of texts, and of files and folders with names, modes and bytes."""
    digest = hashlib.sha256()
    for part in parts:
        for piece in _pieces(part):
            digest.update(len(piece).to_bytes(8, "big") + piece)
    return digest.hexdigest()[:16]


def _pieces(part: str | bytes | Path) -> Iterator[bytes]:
    if isinstance(part, str):
        yield part.encode()
    elif isinstance(part, bytes):
        yield part
    elif part.is_dir():
        for file in sorted(p for p in part.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            yield str(file.relative_to(part)).encode()
            yield from _pieces(file)
    else:
        yield f"{part.stat().st_mode & 0o777:o}".encode()
        yield part.read_bytes()


def made(kind: str, key: str, make: Callable[[Path], None], *, what: str) -> Path:
    """The folder `.cache/lab/<kind>/<key>`, created by `make(folder)` if it is missing; older keys are removed.

    Whole or not there: it is made under another name and renamed. Two runs at once wait for each other.
    """
    shelf = CACHE / kind
    shelf.mkdir(parents=True, exist_ok=True)
    folder = shelf / key
    with _alone(shelf):
        if folder.is_dir():
            return folder
        for old in shelf.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
        half_made = shelf / f"{key}.half-made"
        half_made.mkdir()
        say(f"{what} ({kind} {key}) ...")
        began = time.monotonic()
        make(half_made)
        half_made.rename(folder)
        say(f"{what}: done in {time.monotonic() - began:.1f} s")
    return folder


@contextmanager
def _alone(shelf: Path) -> Generator[None]:
    with (shelf / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
