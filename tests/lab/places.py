"""Where the lab keeps what, by what key, and how it says what it is doing."""

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
RUN = CACHE / "run"  # one folder a running machine: sockets, console.log, disk
# Before a command: it ends when who started it does, however that ends.
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")

_started = time.monotonic()
# How `say` is heard: under pytest (conftest.py) past what pytest captures, so that figures are seen as they come.
aloud: Callable[[], AbstractContextManager[object]] = nullcontext


class LabError(Exception):
    """The lab itself cannot do what it was asked; a test that meets it fails and says why."""


def say(*words: object) -> None:
    """One line of progress, with the seconds since the start."""
    with aloud():
        print(f"lab {time.monotonic() - _started:6.1f}s ", *words, flush=True)


def forget_the_dead() -> None:
    """Folders of machines whose process is gone: what failed runs have left to be looked at."""
    for folder in RUN.glob("*-*"):
        if not Path(f"/proc/{folder.name.rpartition('-')[2]}").exists():
            shutil.rmtree(folder)


def key_of(parts: Iterable[str | bytes | Path]) -> str:
    """A key of contents: texts as they are, files and folders with their names, modes and bytes."""
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
    """The folder `.cache/lab/<kind>/<key>`, made by `make(folder)` where it is not there yet; older keys are removed.

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
