"""The daemon's parts, put together once: what owns what, and which loops run."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from agent.configuration.settings import Loaded, Settings
from agent.control.camera import CameraRequests
from agent.control.commands import Commands, county_commands
from agent.control.export import ExportRequests
from agent.control.scans import ScanRequests
from agent.control.socket import RequestHandler, serve
from agent.control.status import Parts, StatusRequests
from agent.devices.checks import Checks, verdicts_now
from agent.devices.debounce import STATE_PREFIX as DEVICE_STATES
from agent.devices.debounce import Debounced
from agent.devices.poller import Poller
from agent.devices.state import ConfirmedReadings, DeviceState, DeviceStates
from agent.devices.watched import WatchedDevice
from agent.host.keys import CardKeyError, card_key
from agent.host.log import logged_bytes
from agent.host.write_budget import STATE_KEY as FLASH
from agent.host.write_budget import BudgetState, WriteBudget
from agent.journal.clock_watch import ClockWatch
from agent.journal.journal import JournalWriter, section_hashes
from agent.journal.last_alive import LastAliveFile, path_for
from agent.outbox.disk_watch import DiskWatch
from agent.outbox.outbox import Outbox, load_state
from agent.outbox.retention import Retention
from agent.outbox.rows import OutboxFull
from agent.outbox.writer import Writer
from agent.reports.outages import OutageLog
from agent.reports.telemetry import Reports
from agent.scans.captures import Captures
from agent.scans.card_actions import CardActions, device_works
from agent.scans.feedback import open_feedback
from agent.uplink.delivery import Delivery, Pace
from agent.uplink.inbox import Inbox
from agent.uplink.link import Link
from agent.uplink.presence import Presence, broker_address, commands_allowed, tls_factory
from agent.uplink.rejections import Rejection
from common.clock import Clock
from common.messages import Item
from common.mqtt.error_texts import link_line
from common.mqtt.errors import LinkLost, Rejected
from drivers.hotplug import HotplugEvent
from drivers.reading import Condition, Reading, YinongError
from drivers.scan_gun.driver import ScanGun
from drivers.table import CLASSES
from drivers.video.driver import Video

log = logging.getLogger(__name__)


class Runtime:
    """Everything that runs. `loops` go into one task group; then `farewell`, then `close`."""

    def __init__(self, loaded: Loaded, outbox: Outbox, clock: Clock, socket: Path, root: Path, version: str) -> None:
        assert loaded.settings is not None
        self.settings: Settings = loaded.settings
        self.clock, self._loaded, self._socket = clock, loaded, socket
        self.run_id = os.urandom(4).hex()
        self.ready = asyncio.Event()
        self._opening = outbox.opening
        if outbox.opening.kind == "other_hardware":
            outbox.forget_states(DEVICE_STATES)  # every device is reported anew
        self.writer = Writer(outbox)
        self.room = DiskWatch(self.writer, clock)
        budget = self.settings.outbox.flash_budget_bytes_day
        self.flash = WriteBudget(clock, budget, load_state(outbox, FLASH, BudgetState), root=root, logged=logged_bytes)
        self.writer.extra_state = self.flash.state
        self._retention = Retention(self.writer, clock, self.settings.outbox.archive_days, self.flash)
        self.device_states = DeviceStates()
        self.journal = JournalWriter(self.writer, clock, self.run_id, version, root)
        self._last_alive = _last_alive_file(outbox.path)
        self._clock_watch = ClockWatch(
            clock, self.run_id, self._last_alive, lambda: self.link.state.up, self.journal.record, self._on_clock_synced,
            budget_spent=lambda: self.flash.spent,
        )  # fmt: skip
        self.poller = Poller(
            _watched_devices(loaded, outbox), root, clock, self.writer, self.device_states, self._verdicts,
            self.settings.profile.value, self._on_plug, budget_spent=lambda: self.flash.spent,
        )  # fmt: skip
        checks = Checks(self.settings, clock, self.device_states, self.poller)
        station, key = self.settings.terminal.key, _card_key(outbox.path)
        cards = CardActions(
            station, key, clock, self.writer,
            device_works(checks), lambda answer: self.captures.show_card_answer(answer),
        )  # fmt: skip
        guns = tuple(driver for _, driver in loaded.devices if isinstance(driver, ScanGun))
        feedback = open_feedback(guns, root, beep=self.settings.scan.beep)
        self.captures = Captures(guns, root, clock, self.writer, cards, feedback)
        self._outages = OutageLog(
            clock, self.journal.record, lambda: self.poller.poll_now(self._line_keys()),
            None if self.settings.broker.loopback else self._line, budget_spent=lambda: self.flash.spent,
        )  # fmt: skip
        self._export = ExportRequests(outbox.path, self.settings.terminal, clock, self.writer)
        self._presence = Presence(
            self.settings, clock, self.run_id, version, outbox.fingerprint, outbox.id, lambda: self._export.key
        )
        name, secrets = self.settings.terminal.name, loaded.secrets
        self._tls = tls_factory(self.settings, secrets.key_file, lambda: self._clock_watch.certificates_after)
        broker = broker_address(self.settings, secrets.password, self._tls)
        self.link = Link(
            name, clock, broker, self._presence.connect_options, self._presence.publish_birth,
            lambda packet: self._inbox.put(packet),
            self._outages.link_changed, backoff_cap_s=self.settings.broker.reconnect_cap_s,
        )  # fmt: skip
        self.delivery = Delivery(
            self.writer, self.link, clock, puback_suffices=self.settings.delivery.acknowledge == "broker",
            pace=Pace(self.settings.delivery.backlog_kbit_s * 125), on_rejected=self._note_rejected,
        )  # fmt: skip
        self.writer.on_commit = self.delivery.on_commit
        spool_bytes = self.settings.outbox.telemetry_max_bytes
        self.reports = Reports(
            self.device_states, self.writer, self.link, clock, self.run_id, spool_bytes, self.flash, root
        )
        running = Parts(
            self.settings, version, self.writer, self.link, self.delivery, self.device_states, checks, self.reports,
            self.flash,
        )  # fmt: skip
        self._status = StatusRequests(running)
        self._scan_requests = ScanRequests(clock, self.writer, self.captures, self.delivery, station, key)
        self._camera = CameraRequests(self.captures, root, _camera(loaded))
        self._inbox: Inbox = Inbox(name, self.link, self.delivery, self._presence, self.journal.record_other)
        self._commands = Commands(
            name, county_commands(checks, self._status.status_now), clock, self.link, self._inbox.commands,
            trusted_link=commands_allowed(self.settings, secrets.password, secrets.key_file),
        )  # fmt: skip

    def loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Every loop of the daemon by name; each runs until it is cancelled."""
        return {
            "writer": self.writer.run(),
            "journal": self._begin(),
            "clock watch": self._once_ready(self._clock_watch.run()),
            "outages": self._once_ready(self._outages.run()),
            "captures": self._once_ready(self.captures.run()),
            "poller": self._once_ready(self.poller.run()),
            "link": self._once_ready(self.link.run()),
            "delivery": self.delivery.run(),
            "inbox": self._inbox.run(),
            "commands": self._commands.run(),
            "reports": self.reports.run(),
            "retention": self._retention.run(),
            "room": self._once_ready(self.room.run()),
            "flash": self._once_ready(self.flash.watch(self.journal.record_other)),
            "camera": self._camera.run(),
            "parcels": self._once_ready(self._tell_export_key()),
            "control": serve(self._socket, self._request_handlers()),
        }

    def _request_handlers(self) -> dict[str, RequestHandler]:
        parts = (self._status, self._scan_requests, self._camera, self._export)
        return {ask: handler for part in parts for ask, handler in part.handlers().items()}

    def status_line(self) -> str:
        """One line for `systemctl status`."""
        state = self.link.state
        up = ["已连接县中心 / connected"] if state.up else []
        link = "; ".join([*up, *(link_line(one) for one in (state.problem, *state.warnings) if one)])
        counts = ", ".join(f"{verdict} {count}" for verdict, count in self.device_states.verdict_counts().items())
        return f"{self.settings.terminal.number} {link}; {counts}{self._room_words()}"

    def _room_words(self) -> str:
        words = {
            "ok": "",
            "nearly_full": "; 磁盘将满 / the disk is nearly full",
            "full": "; 磁盘已满 / the disk is full",
        }
        held = self.captures.queued
        waits = f"; {held} 条扫码等待保存 / {held} scans wait to be saved" if held else ""
        return words[self.room.level] + waits

    async def note_stop(self) -> None:
        self.writer.extra_state = lambda: self.flash.state(now=True)
        await self.journal.end()
        await self._clock_watch.final_mark()

    async def farewell(self, *, clean: bool) -> None:
        """What is held in memory to the disk, and `closing` to the broker. Bounded by the caller.

        Not `clean` (a loop failed): the will speaks, as it does of every other end.
        """
        for keep in (self.writer.flush, self.captures.flush, self.reports.write_spool):
            try:
                await keep()
            except (OutboxFull, sqlite3.Error) as error:
                log.error("at the stop: %s", error)
        if clean:
            await self.link.close(self._presence.closing(self.link.state.connections))

    def close(self) -> None:
        self.writer.close()
        if self._last_alive:
            self._last_alive.close()
        self._socket.unlink(missing_ok=True)

    async def _begin(self) -> None:
        before = self._last_alive.previous if self._last_alive else None
        await self.journal.begin(self._opening, len(self._loaded.mistakes), before and before.alive)
        await self.journal.record_configuration(section_hashes(self._loaded))
        await self.poller.resume_measurements()
        self.ready.set()

    async def _on_clock_synced(self) -> None:
        if self._tls and self._tls.outside_validity(self.clock.now()):
            self.link.reconnect()
        await self.poller.resume_measurements()

    def _line_keys(self) -> list[str]:
        return [key for key, seen in self.device_states.devices.items() if seen.device_class == "broadband"]

    def _line(self) -> list[DeviceState]:
        return [self.device_states.devices[key] for key in self._line_keys()]

    async def _once_ready(self, loop: Coroutine[Any, Any, None]) -> None:
        """The journal's start entry comes first."""
        try:
            await self.ready.wait()
        except asyncio.CancelledError:
            loop.close()
            raise
        await loop

    async def _tell_export_key(self) -> None:
        """Of a key that was only made now (a terminal's first start) the county hears by one more birth."""
        try:
            if await self._export.begin():
                await self.link.up.wait()
                await self._presence.publish_birth(self.link)
        except (LinkLost, Rejected):
            pass  # the next birth tells it
        except (YinongError, sqlite3.Error) as error:
            log.error("the export key: %s", error)

    def _verdicts(self, confirmed: ConfirmedReadings) -> tuple[Item, ...]:
        return verdicts_now(self.settings, confirmed, self.clock)

    def _on_plug(self, plug: HotplugEvent) -> None:
        if not plug.subsystem or plug.subsystem in CLASSES["scan_gun"].hotplug:
            self.captures.on_hotplug()

    async def _note_rejected(self, rejection: Rejection) -> None:
        await self.journal.record_other(
            "refused", leaf=rejection.leaf, why=rejection.problem.code, said=rejection.problem.detail
        )


def _last_alive_file(outbox: Path) -> LastAliveFile | None:
    """None where it cannot be made: the daemon runs, and the end of this run will be known less exactly."""
    try:
        return LastAliveFile(path_for(outbox))
    except OSError as error:
        log.error("no last-alive mark: %s", error)
        return None


def _card_key(outbox: Path) -> bytes | None:
    """None where it cannot be read: the daemon runs, and control cards do nothing."""
    try:
        return card_key(outbox)
    except CardKeyError as error:
        log.error("%s", error)
        return None


def _camera(loaded: Loaded) -> str:
    """The camera of the station's video device: it reads codes too."""
    return next((driver.device for _, driver in loaded.devices if isinstance(driver, Video)), "auto")


def _watched_devices(loaded: Loaded, outbox: Outbox) -> list[WatchedDevice]:
    watches: list[WatchedDevice] = []
    for kind, driver in loaded.devices:
        debounced = load_state(outbox, f"{DEVICE_STATES}{kind.name}/{driver.id}", Debounced)
        watches.append(WatchedDevice(kind, driver.id, driver, debounced))
    for kind, id, reason in loaded.disabled:
        watches.append(WatchedDevice(kind, id, None, None, Reading(condition=Condition.UNKNOWN, reason=reason)))
    return watches
