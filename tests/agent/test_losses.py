"""Losses of the line as the journal hears of them, with and without a flash budget, on a clock that the test advances."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent.county.link import LinkState
from agent.county.losses import SHORT_S, Losses


class Journal:
    """What was told, in order."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.spare = False
        self.told: list[Any] = []
        self.losses = Losses(clock, lambda: self.spare, self._through, self._note)

    async def _through(self, state: LinkState) -> None:
        self.told.append("up" if state.up else f"down {state.why}")

    async def _note(self, event: str, /, **details: object) -> None:
        self.told.append((event, details))

    async def turn(self, up: bool, why: str = "") -> None:
        await self.losses.changed(LinkState(up, 1, self.clock.mono_ms(), why))

    async def flap(self, down_s: float, up_s: float) -> None:
        await self.turn(False, "x")
        await self.clock.advance(down_s)
        await self.turn(True)
        await self.clock.advance(up_s)


@pytest.fixture
async def journal(clock: Any) -> AsyncIterator[Journal]:
    one = Journal(clock)
    task = asyncio.create_task(one.losses.run())
    await one.turn(True)
    one.told.clear()
    yield one
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_with_budget_everything_is_told_as_it_happens(journal: Journal) -> None:
    await journal.flap(5, 5)
    await journal.turn(False, "refused")
    await journal.turn(False, "no route")
    assert journal.told == ["down x", "up", "down refused", "down no route"]


async def test_a_line_that_flaps_all_day_without_budget_is_one_entry_an_hour(journal: Journal) -> None:
    journal.spare = True
    for _ in range(24 * 3600 // 5):
        await journal.flap(2, 3)
    assert 23 <= len(journal.told) <= 24
    assert all(event == "link_short_losses" for event, _ in journal.told)
    assert 23 * 720 <= sum(details["count"] for _, details in journal.told) <= 24 * 720
    assert journal.told[0][1]["down_s"] == 2 * journal.told[0][1]["count"]


async def test_a_loss_that_lasts_is_told_after_a_minute_and_so_is_its_end(journal: Journal) -> None:
    journal.spare = True
    await journal.flap(3, 10)
    await journal.turn(False, "cut")
    await journal.clock.advance(SHORT_S - 1)
    assert journal.told == []
    await journal.clock.advance(1)
    assert journal.told == [("link_short_losses", {"count": 1, "down_s": 3}), "down cut"]
    await journal.clock.advance(7200)
    await journal.turn(True)
    assert journal.told[2:] == ["up"]


async def test_a_short_loss_after_another_gets_its_own_minute(journal: Journal) -> None:
    journal.spare = True
    await journal.flap(50, 5)
    await journal.turn(False, "second")
    await journal.clock.advance(SHORT_S - 1)
    assert journal.told == []
    await journal.clock.advance(60)
    assert journal.told[-1] == "down second"


async def test_a_loss_told_with_budget_has_its_end_told_without(journal: Journal) -> None:
    await journal.turn(False, "cut")
    journal.spare = True
    await journal.turn(False, "refused")
    await journal.turn(True)
    assert journal.told == ["down cut", "down refused", "up"]


async def test_a_loss_held_back_has_its_end_held_back_also_where_the_budget_came_back(journal: Journal) -> None:
    journal.spare = True
    await journal.turn(False, "cut")
    journal.spare = False
    await journal.turn(True)
    await journal.flap(1, 1)
    assert journal.told == ["down x", "up"]
