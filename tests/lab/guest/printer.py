"""Act as a USB printer: accept print data and report a port status (Documentation/usb/gadget_printer.rst).

The gadget's node has room for one opener and forgets its status when that one closes it, so one thread holds it.
"""

import base64
import fcntl
import os
import queue
import select
import threading
import time
from pathlib import Path

import usb

_SET_STATUS = 0xC0016722  # GADGET_SET_PRINTER_STATUS, _IOWR('g', 0x22, unsigned char); expects the byte itself
_STATUS = {"ok": 0x18, "paper out": 0x38, "error": 0x10, "offline": 0x08, "paper out and error": 0x30, "jam": 0x18}
_asked: dict[str, "queue.Queue[tuple[str, bytes, threading.Event]]"] = {}


def start(name: str, received: str) -> None:
    """Switch the printer on; print data is appended to the file `received`."""
    _asked[name] = queue.Queue()
    fd = os.open(usb.node(name), os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, _SET_STATUS, _STATUS["ok"])
    usb.in_background(_be, fd, Path(received), _asked[name])


def show(name: str, status: str) -> None:
    """A port status of USB printer class 1.1, 4.2.2, by a name of the table above; `jam` also accepts no more data."""
    _ask(name, "show", bytes([_STATUS[status], status == "jam"]))


def reply(name: str, data: str) -> None:
    """Bytes (base64) from the printer to its reader."""
    _ask(name, "reply", base64.b64decode(data))


def _ask(name: str, what: str, data: bytes) -> None:
    done = threading.Event()
    _asked[name].put((what, data, done))
    if not done.wait(10):
        raise TimeoutError(f"the printer {name} does not take {what}")


def _be(fd: int, received: Path, asked: "queue.Queue[tuple[str, bytes, threading.Event]]") -> None:
    jammed = False
    while True:
        while not asked.empty():
            what, data, done = asked.get()
            if what == "show":
                fcntl.ioctl(fd, _SET_STATUS, data[0])
                jammed = bool(data[1])
            else:
                os.write(fd, data)
            done.set()
        if jammed or not select.select([fd], [], [], 0.02)[0]:
            time.sleep(0.01)
            continue
        try:
            with received.open("ab") as file:
                file.write(os.read(fd, 8192))
        except BlockingIOError:
            pass
        except OSError:  # the cable is unplugged
            time.sleep(0.1)
