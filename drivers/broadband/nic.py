"""The kernel's state of the network interfaces and routes, without sending a packet.

Sources: Documentation/ABI/testing/sysfs-class-net (operstate, carrier, speed, duplex, carrier_changes, mtu),
sysfs-class-net-statistics (rx_bytes, tx_bytes), `/proc/net/route` (route(8), addresses in host byte order), `/proc/net/wireless`.
"""

import socket
import sys
from pathlib import Path
from typing import NamedTuple

_RTF_UP = 0x0001  # include/uapi/linux/route.h
_ARPHRD_PPP = "512"  # include/uapi/linux/if_arp.h


class Route(NamedTuple):
    """One IPv4 default route."""

    interface: str
    gateway: str  # dotted; empty on a point-to-point link (PPP), which has none
    metric: int


class Nic(NamedTuple):
    """One interface; None if the kernel does not report a value (Wi-Fi has no speed, an interface that is down no carrier)."""

    name: str
    operstate: str | None
    carrier: bool | None
    speed_mbps: int | None
    duplex: str | None
    carrier_changes: int | None
    mtu: int | None
    rx_bytes: int | None
    tx_bytes: int | None
    wifi: bool
    wifi_level_dbm: float | None

    @property
    def linked(self) -> bool:
        """Cable connected or Wi-Fi associated, as far as the kernel reports it."""
        return self.carrier is not False and self.operstate not in ("down", "lowerlayerdown", "notpresent")


def interfaces(root: Path) -> list[str]:
    """The interfaces that can be a line: hardware, PPP, and any with a default route; by name, those with a route first.

    Bridges, tunnels and the like have no line of their own; `lo` never counts.
    """
    routed = [route.interface for route in default_routes(root)]
    try:
        names = sorted(entry.name for entry in (root / "sys/class/net").iterdir())
    except OSError:
        names = []
    real = [name for name in names if name != "lo" and (name in routed or _is_hardware(root, name))]
    return sorted(real, key=lambda name: routed.index(name) if name in routed else len(routed))


def default_routes(root: Path) -> list[Route]:
    """IPv4 default routes that are up, lowest metric first."""
    routes: list[Route] = []
    for line in (text(root / "proc/net/route") or "").splitlines()[1:]:
        words = line.split()
        if len(words) < 8 or words[1] != "00000000" or words[7] != "00000000":
            continue
        flags, metric, gateway = as_int(words[3], 16), as_int(words[6]), _dotted(words[2])
        if flags is not None and flags & _RTF_UP and metric is not None and gateway is not None:
            routes.append(Route(words[0], gateway, metric))
    return sorted(routes, key=lambda route: route.metric)


def read_nic(root: Path, name: str) -> Nic | None:
    """The present state of one interface; None if there is none of this name."""
    at = root / "sys/class/net" / name
    if not at.is_dir():
        return None
    speed = as_int(text(at / "speed"))
    wifi = (at / "wireless").is_dir() or (at / "phy80211").exists()
    return Nic(
        name=name,
        operstate=text(at / "operstate"),
        carrier={"1": True, "0": False}.get(text(at / "carrier") or ""),
        speed_mbps=speed if speed is not None and speed > 0 else None,  # -1: unknown
        duplex=text(at / "duplex"),
        carrier_changes=as_int(text(at / "carrier_changes")),
        mtu=as_int(text(at / "mtu")),
        rx_bytes=as_int(text(at / "statistics/rx_bytes")),
        tx_bytes=as_int(text(at / "statistics/tx_bytes")),
        wifi=wifi,
        wifi_level_dbm=_wifi_level(root, name) if wifi else None,
    )


def uptime_s(root: Path) -> float | None:
    """Seconds since boot, including suspend (`/proc/uptime`): the clock for differences between two looks."""
    words = (text(root / "proc/uptime") or "").split()
    try:
        return float(words[0]) if words else None
    except ValueError:
        return None


def text(path: Path) -> str | None:
    """A small file of the kernel, stripped; None if it cannot be read (an interface that is down answers EINVAL)."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        return None


def as_int(word: str | None, base: int = 10) -> int | None:
    try:
        return None if word is None else int(word, base)
    except ValueError:
        return None


def _is_hardware(root: Path, name: str) -> bool:
    at = root / "sys/class/net" / name
    return (at / "device").exists() or text(at / "type") == _ARPHRD_PPP


def _dotted(word: str) -> str | None:
    """`0101A8C0` of a little-endian kernel to `192.168.1.1`; empty for 0.0.0.0, None if it is not an address."""
    number = as_int(word, 16)
    if number is None or not 0 <= number < 1 << 32:
        return None
    return socket.inet_ntoa(number.to_bytes(4, sys.byteorder)) if number else ""


def _wifi_level(root: Path, name: str) -> float | None:
    """Signal level in dBm, the fourth column of `/proc/net/wireless`; drivers that report only a quality have 0 or more there."""
    for line in (text(root / "proc/net/wireless") or "").splitlines():
        head, _, rest = line.partition(":")
        words = rest.split()
        if head.strip() == name and len(words) >= 3:
            try:
                level = float(words[2].rstrip("."))
            except ValueError:
                return None
            return level if -200 < level < 0 else None
    return None
