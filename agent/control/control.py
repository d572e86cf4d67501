"""The answers for people as one part: the socket, the county's commands, the camera, exports."""

import asyncio
from pathlib import Path

from agent.configuration.settings import Loaded
from agent.context import Context
from agent.control.camera import CameraRequests
from agent.control.commands import Commands, county_commands
from agent.control.export import ExportRequests
from agent.control.scans import ScanRequests
from agent.control.socket import serve
from agent.control.status import StatusRequests
from agent.devices.devices import Devices
from agent.observable import Observable
from agent.reports.reports import Reports
from agent.scans.scans import Scans
from agent.storage import Storage
from agent.uplink.uplink import Uplink
from drivers.video.driver import Video


class Control:
    """`serve` answers from the first moment: on a slow disk the command line must find a daemon, and leave the devices to it.
    `run` comes after the start entry."""

    def __init__(
        self,
        context: Context,
        loaded: Loaded,
        socket: Path,
        storage: Storage,
        devices: Devices,
        scans: Scans,
        uplink: Uplink,
        reports: Reports,
        export_key: Observable[str | None],
    ) -> None:
        terminal, clock, writer = context.settings.terminal, context.clock, storage.writer
        self._socket = socket
        status = StatusRequests(context, storage, devices, uplink, reports.periodic.heartbeat)
        self._camera = CameraRequests(scans.captures, context.root, _camera(loaded))
        self._export = ExportRequests(storage.path, terminal, clock, writer, export_key)
        scan_requests = ScanRequests(clock, writer, scans.captures, uplink.delivery, terminal.key, scans.card_key)
        self._handlers = {
            **status.handlers(),
            **scan_requests.handlers(),
            **self._camera.handlers(),
            **self._export.handlers(),
        }
        self.commands = Commands(
            terminal.name,
            county_commands(devices.checks, status.status_now),
            clock,
            uplink.link,
            uplink.received.commands,
            trusted_link=uplink.commands_allowed,
        )

    async def serve(self) -> None:
        """Answer at the socket until cancelled."""
        await serve(self._socket, self._handlers)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._camera.run())
            group.create_task(self.commands.run())
            group.create_task(self._export.begin())

    async def stop(self) -> None:
        self._socket.unlink(missing_ok=True)


def _camera(loaded: Loaded) -> str:
    """The camera of the station's video device: it reads codes too."""
    return next((driver.device for _, driver in loaded.devices if isinstance(driver, Video)), "auto")
