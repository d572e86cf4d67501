"""A screen's loose plug uses up the day's flash budget: from then on scans are written and hardly anything else.

The daemon's own parts in compressed time (`tests/support/compressed.py`); the bytes are the kernel's.
"""

from pathlib import Path

import msgspec
import pytest
from support.broker import Broker
from support.compressed import CompressedStation

from agent.host.write_budget import DAY_MS
from common.messages import Device, Journal

BUDGET_MB = 1
TURNS = 300


def bodies(life: CompressedStation, leaf: str, kind: type) -> list:
    found = life.runtime.storage.writer._outbox.db.execute("SELECT body FROM entry WHERE leaf = ? ORDER BY id", (leaf,))
    return [msgspec.json.decode(body, type=kind) for (body,) in found]


def written(life: CompressedStation) -> int:
    life.runtime.storage.budget.update()
    if life.runtime.storage.budget.day_bytes is None:
        pytest.skip("this kernel keeps no account of I/O")
    return life.runtime.storage.budget.day_bytes


async def test_a_loose_plug_spends_the_budget_and_scans_are_still_written(tmp_path: Path, broker: Broker) -> None:
    async with CompressedStation(tmp_path, broker, flash_budget_mb=BUDGET_MB) as life:
        while written(life) < BUDGET_MB * 1_000_000:
            await life.turn_screen(then_s=10)
        await life.pass_s(60)
        at_met = written(life)
        reported = len(bodies(life, "device/led_screen/main", Device))
        for _ in range(TURNS):
            await life.turn_screen(then_s=10)
        of_turns = written(life) - at_met
        assert len(bodies(life, "device/led_screen/main", Device)) - reported <= 1
        assert of_turns < TURNS * 1000, "a turn cost ten thousand bytes before"
        for _ in range(30):
            await life.scan()
        await life.drained()
        assert life.county.scans == 30
        (entry,) = [one for one in bodies(life, "journal", Journal) if one.event == "flash_budget_met"]
        assert entry.details["budget_bytes"] == BUDGET_MB * 1_000_000
        assert life.runtime.storage.budget.status()["met"]
        await life.pass_s(DAY_MS / 1000)
        assert not life.runtime.storage.budget.status()["met"]
        last = bodies(life, "device/led_screen/main", Device)[-1]
        assert last.condition == life.runtime.devices.states.devices["led_screen/main"].reading.condition
