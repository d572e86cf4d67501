"""Cameras as sysfs lists them, and which processes have one open. Reads small files only; no camera is opened."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_NODE = re.compile(r"video(\d+)")


class Node(NamedTuple):
    """One `/dev/videoN`. A USB camera has two, for pictures and for metadata: same `identity`, different `number`."""

    path: str  # /dev/video0, without the root
    name: str  # from the kernel driver
    number: int  # 0 is the first node of its device
    identity: str  # USB id and serial number, else USB id and port, else the bus address
    link: str | None  # /dev/v4l/by-id/…, else by-path, if udev made one


def nodes(root: Path) -> list[Node]:
    """All video nodes by number, including codecs and other devices that are not cameras (only opening one shows it)."""
    links = _links(root)
    found: list[Node] = []
    for entry in (root / "sys/class/video4linux").glob("video*"):
        match = _NODE.fullmatch(entry.name)
        if match:
            path = f"/dev/{entry.name}"
            index = _text(entry / "index")
            found.append(
                Node(
                    path,
                    _text(entry / "name"),
                    int(index) if index.isdecimal() else 0,
                    _identity(entry),
                    links.get(path),
                )
            )
    return sorted(found, key=lambda node: int(node.path.removeprefix("/dev/video")))


def resolve(root: Path, device: str) -> str | None:
    """`/dev/videoN` behind a path such as `/dev/v4l/by-id/…`; None if the path does not exist."""
    path = root / device.lstrip("/")
    if not path.exists():
        return None
    return f"/dev/{path.resolve().name}"


class Holder(NamedTuple):
    """A process that has the camera open."""

    pid: int
    process: str


def holders(root: Path, device: str) -> tuple[list[Holder], int]:
    """The processes that have `device` open, and how many could not be inspected (other users', without the privilege)."""
    found: list[Holder] = []
    hidden = 0
    for process in _processes(root):
        try:
            targets = [_target(fd) for fd in (process / "fd").iterdir()]
        except PermissionError:
            hidden += 1
        except OSError:  # the process has ended
            continue
        else:
            if device in targets:
                found.append(Holder(int(process.name), _text(process / "comm")))
    return found, hidden


def _processes(root: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (entry for entry in (root / "proc").iterdir() if entry.name.isdecimal())


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _identity(entry: Path) -> str:
    """From the device behind the node: its USB device is the parent of the node's interface."""
    device = (entry / "device").resolve()
    for place in (device, *list(device.parents)[:3]):
        vendor, product = _text(place / "idVendor"), _text(place / "idProduct")
        if vendor and product:
            return f"usb-{vendor}:{product}-{_text(place / 'serial') or 'port-' + place.name}"
    return device.name if (entry / "device").exists() else entry.name


def _links(root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in ("by-path", "by-id"):  # by-id stays the same at another port, so it overrides
        with contextlib.suppress(OSError):
            for link in sorted((root / "dev/v4l" / folder).iterdir()):
                found[f"/dev/{link.resolve().name}"] = f"/dev/v4l/{folder}/{link.name}"
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
