"""All that these tests import of the program: few and lasting names. Where one is renamed, only this file changes."""

from agent.configuration.settings import load as load_agent
from agent.outbox.opening import open_outbox
from center.settings import load as load_center
from center.store.intake import Arrived, parse
from center.store.store import Store
from common.clock import SystemClock
from common.events import read_event
from common.messages import type_of
from common.station import Terminal
from drivers.scan_gun.replay.replay import replay

ingest, heads_owed = Store.ingest, Store.imported_outboxes

__all__ = [
    "Arrived",
    "Store",
    "SystemClock",
    "Terminal",
    "heads_owed",
    "ingest",
    "load_agent",
    "load_center",
    "open_outbox",
    "parse",
    "read_event",
    "replay",
    "type_of",
]
