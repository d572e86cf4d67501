"""The lab's command server in the station: accepts calls from the host over a virtio-serial port and runs them as root.

One JSON object a line: `{"id": 7, "call": "usb.plug", "with": {...}}` is answered by `{"id": 7, "returns": ...}` or
`{"id": 7, "fails": "..."}`. Each call has its own thread, so that a scan can be typed while a command waits for it.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import clock
import counter
import driver
import opened
import printer
import typist
import udev
import usb
import witness

_PORT = Path("/dev/virtio-ports/lab.hand")


def run(command: str, timeout_s: float, stdin: str = "") -> dict[str, Any]:
    """Run a shell line; return exit code and both outputs; 124 if it timed out, with the output so far."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LANG": "C.UTF-8"},
        start_new_session=True,
    )
    code = None
    try:
        out, err = process.communicate(stdin.encode(), timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        code = 124
    outcome = {"out": out.decode("utf-8", "replace"), "err": err.decode("utf-8", "replace")}
    return {"code": process.returncode if code is None else code, **outcome}


def put(path: str, data: str, mode: int, append: bool = False) -> None:
    """A file, from base64; on the disk when this returns."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab" if append else "wb") as written:
        written.write(base64.b64decode(data))
        written.flush()
        os.fsync(written.fileno())
    file.chmod(mode)


def get(path: str) -> str:
    """A file as base64."""
    return base64.b64encode(Path(path).read_bytes()).decode()


CALLS: dict[str, Callable[..., Any]] = {
    "ping": lambda: "pong",
    "run": run,
    "put": put,
    "get": get,
    "usb.create": usb.create,
    "usb.plug": usb.plug,
    "usb.unplug": usb.unplug,
    "usb.remove": usb.remove,
    "usb.replug_often": usb.replug_often,
    "keyboard.send": typist.send,
    "keyboard.lights": typist.lights,
    "keyboard.pressed": typist.pressed,
    "serial.write": usb.write_serial,
    "printer.start": printer.start,
    "printer.show": printer.show,
    "printer.reply": printer.reply,
    "witness.begin": witness.begin,
    "witness.now_ms": witness.now_ms,
    "witness.turned": witness.turned,
    "witness.replugged": witness.replugged,
    "counter.tell_on": counter.tell_on,
    "counter.waiting": counter.waiting,
    "counter.kept": counter.kept,
    "counter.mount": counter.mount,
    "driver.look": driver.look,
    "opened.by": opened.by,
    "udev.settle": udev.settle,
    "udev.arrived": udev.arrived,
    "udev.gone": udev.gone,
    "clock.set": clock.set_clock,
    "clock.true": clock.set_true_time,
    "clock.read": clock.read,
}


def main() -> None:
    talking = threading.Lock()
    while not _PORT.exists():
        time.sleep(0.05)
    port = os.open(_PORT, os.O_RDWR)
    waiting = b""
    while True:
        data = os.read(port, 65536)
        if not data:  # no peer at the other end: parked, or between two hosts
            time.sleep(0.02)
            continue
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            threading.Thread(target=answer, args=(line, port, talking), daemon=True).start()


def answer(line: bytes, port: int, talking: threading.Lock) -> None:
    number = None
    try:
        asked = json.loads(line)
        number = asked["id"]
        outcome = {"id": number, "returns": CALLS[asked["call"]](**asked.get("with", {}))}
    except Exception as error:
        outcome = {"id": number, "fails": f"{type(error).__name__}: {error}", "trace": traceback.format_exc(limit=4)}
    data = json.dumps(outcome).encode() + b"\n"
    with talking:
        while data:
            data = data[os.write(port, data) :]


if __name__ == "__main__":
    main()
