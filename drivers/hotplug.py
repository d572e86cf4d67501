"""Hotplug events, as udev reports them after its rules have run (permissions are set, links exist)."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

from drivers.reading import CannotLook

log = logging.getLogger(__name__)

_BUFFER_BYTES = 1 << 20  # a hub with all its devices makes hundreds of events in a burst


class HotplugEvent(NamedTuple):
    """One event; an empty `subsystem` means that events were lost: check every device."""

    action: str  # add, remove, change, bind, unbind
    subsystem: str
    path: str


class Hotplug:
    """Plug events for everybody who subscribed before `run` began."""

    def __init__(self, subsystems: Iterable[str]) -> None:
        self._subsystems = frozenset(subsystems)
        self._subscribers: list[Callable[[HotplugEvent], None]] = []

    def subscribe(self, subscriber: Callable[[HotplugEvent], None]) -> None:
        """Call it for every event, and with an empty subsystem if events were lost."""
        self._subscribers.append(subscriber)

    async def run(self) -> None:
        """Until cancelled; without udev (a container) it ends, and devices are found by polling."""
        try:
            await watch_hotplug(self._subsystems, self._publish)
        except CannotLook as error:
            log.info("no hotplug events here: %s", error)

    def _publish(self, event: HotplugEvent) -> None:
        for subscriber in self._subscribers:
            subscriber(event)


async def watch_hotplug(subsystems: Iterable[str], on_event: Callable[[HotplugEvent], None]) -> None:
    """Call `on_event` for every event of the subsystems, until cancelled.

    Raises CannotLook `no_hotplug` if this machine has no udev (a container): devices are then found by polling.
    """
    import pyudev  # imported here: 2 MB that a machine without hotplug does not need

    try:
        monitor = cast(Any, pyudev.Monitor.from_netlink(pyudev.Context()))
        for subsystem in subsystems:
            monitor.filter_by(subsystem)
        _enlarge_buffer(monitor)
        monitor.start()
    except (OSError, ImportError, ValueError) as error:
        raise CannotLook("no_hotplug", error=str(error)) from error

    def read() -> None:
        while True:
            try:
                device = monitor.poll(timeout=0)
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    on_event(HotplugEvent("overflow", "", ""))
                return
            if device is None:
                return
            on_event(HotplugEvent(str(device.action), str(device.subsystem), str(device.sys_path)))

    loop = asyncio.get_running_loop()
    loop.add_reader(monitor.fileno(), read)
    try:
        await asyncio.Event().wait()
    finally:
        loop.remove_reader(monitor.fileno())


def _enlarge_buffer(monitor: Any) -> None:
    """Enlarge the buffer for bursts. More than net.core.rmem_max needs CAP_NET_ADMIN, which the service has dropped."""
    try:
        monitor.set_receive_buffer_size(_BUFFER_BYTES)
    except PermissionError:
        with socket.socket(fileno=os.dup(monitor.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
