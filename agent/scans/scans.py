"""The scan guns as one part: captures, control cards and what the officer hears."""

import logging
from pathlib import Path

from agent.configuration.settings import Loaded
from agent.context import Context
from agent.host.keys import CardKeyError, card_key
from agent.scans.captures import Captures
from agent.scans.card_actions import CardActions, Checks, device_works
from agent.scans.feedback import open_feedback
from agent.storage import Storage
from drivers.hotplug import Hotplug, HotplugEvent
from drivers.scan_gun.driver import ScanGun
from drivers.table import CLASSES

log = logging.getLogger(__name__)


class Scans:
    """`captures` and `card_key` are for the others; without a key (it cannot be read) control cards do nothing."""

    def __init__(self, context: Context, loaded: Loaded, storage: Storage, checks: Checks, hotplug: Hotplug) -> None:
        guns = tuple(driver for _, driver in loaded.devices if isinstance(driver, ScanGun))
        self.card_key = _card_key(storage.path)
        cards = CardActions(
            context.settings.terminal.key, self.card_key, context.clock, storage.writer, device_works(checks)
        )
        feedback = open_feedback(guns, context.root, beep=context.settings.scan.beep)
        self.captures = Captures(guns, context.root, context.clock, storage.writer, cards, feedback)
        hotplug.subscribe(self._on_hotplug)

    async def run(self) -> None:
        await self.captures.run()

    async def stop(self) -> None:
        """Commit what was read, after the writer was flushed. Raises OutboxFull and sqlite3.Error."""
        await self.captures.flush()

    def _on_hotplug(self, event: HotplugEvent) -> None:
        if not event.subsystem or event.subsystem in CLASSES["scan_gun"].hotplug:
            self.captures.on_hotplug()


def _card_key(outbox: Path) -> bytes | None:
    try:
        return card_key(outbox)
    except CardKeyError as error:
        log.error("%s", error)
        return None
