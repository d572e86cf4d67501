"""python tests/lab COMMAND: the lab without pytest.

build           wheels, image, parked station (all cached by content)
shell           a root shell on the console of a cloned station; ends with `exit` or Ctrl-]
run COMMAND     a shell line in a fresh clone; exit code and output are its own
boot COMMAND    the same after a real boot
is-settled      exit code 0: what does not hang on the agent's code (pytest -m settled) was well as it is now; `settle` notes it
key             the key of wheels and image, for a cache between runs (.cache/lab/wheels, .cache/lab/image)
clean           remove the cache
"""

import os
import select
import shutil
import socket
import subprocess
import sys
import termios
import tty
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab.image import image_key
from lab.installed import installed
from lab.places import CACHE, CHECKOUT, LAB, LabError, key_of, made, remove_stale, say
from lab.station import Station, booted, clone, forget

_SETTLED = CACHE / "settled"


def main(arguments: list[str]) -> int:
    command, *rest = arguments or ["help"]
    try:
        if command == "build":
            remove_stale()
            installed()
            say("the lab is ready")
        elif command == "key":
            print(image_key())
        elif command == "is-settled":
            return 0 if (_SETTLED / _as_it_is()).is_dir() else 1
        elif command == "settle":
            made(_SETTLED.name, _as_it_is(), lambda _: None, what="the lab and the installation are well")
        elif command == "shell":
            return _with(clone(installed(), "shell"), _shell)
        elif command in ("run", "boot") and rest:
            make = clone if command == "run" else booted
            return _with(make(installed(), command), lambda station: _run(station, " ".join(rest)))
        elif command == "clean":
            shutil.rmtree(CACHE, ignore_errors=True)
        else:
            print(__doc__)
            return 2
    except LabError as error:
        say(error)
        return 1
    return 0


def _as_it_is() -> str:
    """The key of everything that the lab's own tests and those of the installation depend on."""
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], check=True, capture_output=True).stdout
    return key_of([image_key(), LAB, CHECKOUT / "systemd", CHECKOUT / "pyproject.toml", qemu])


def _with(station: Station, do: Callable[[Station], int]) -> int:
    try:
        return do(station)
    finally:
        forget(station)


def _run(station: Station, command: str) -> int:
    done = station.tried(command, timeout_s=600)
    sys.stdout.write(done.out)
    sys.stderr.write(done.err)
    return done.code


def _shell(station: Station) -> int:
    """The station's serial console on this terminal."""
    say("a station's console; Ctrl-] ends it and the station")
    with socket.socket(socket.AF_UNIX) as console:
        console.connect(str(station.machine.folder / "console"))
        console.sendall(b"\n")
        before = termios.tcgetattr(0) if os.isatty(0) else None
        if before:
            tty.setraw(0)
        try:
            while True:
                ready, _, _ = select.select([0, console], [], [])
                if console in ready:
                    received = console.recv(4096)
                    if not received:
                        return 0
                    os.write(1, received)
                if 0 in ready:
                    typed = os.read(0, 1024)
                    if not typed or b"\x1d" in typed:
                        return 0
                    console.sendall(typed)
        finally:
            if before:
                termios.tcsetattr(0, termios.TCSADRAIN, before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
