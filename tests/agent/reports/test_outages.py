"""Outages of the link with their layer, from the states of the line's devices."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.running import running

from agent.devices.debounce import Debounced, debounce
from agent.devices.state import DeviceState
from agent.observable import Observable
from agent.reports.outages import CHECK_S, OUTAGES_PER_HOUR, SHORT_OUTAGE_MS, OutageLog
from agent.uplink.link import LinkState
from common.events import Event, LinkDown, LinkLayer, LinkUp
from drivers.reading import Condition, Evidence, Reading, Reason

PROBE = Evidence("icmp echo", "192.0.2.1", {"rtt_ms": None, "outcome": "timed out"})
CARRIES = Reading(condition=Condition.WORKING, reason=Reason("rate_ok"))
NO_GATEWAY = Reading(condition=Condition.UNREACHABLE, reason=Reason("lan_down"), evidence=(PROBE,))
NO_LINE = Reading(condition=Condition.FAULTY, reason=Reason("access_line_down"))


class Line:
    """A line, its reading set by the test and debounced as by the poller; each poll is one reading."""

    def __init__(self, clock: Any) -> None:
        self.clock, self.reading = clock, CARRIES
        self.debounced: Debounced | None = None
        self.recorded: list[Event] = []
        self.polls = 0
        self.connection = 0
        self.budget_spent = False
        self.entry_s = 0.0  # how long an entry takes
        self.link = Observable(LinkState(False, 0, clock.mono_ms(), "connecting"))
        self.outages = OutageLog(clock, self.link, self._record, self.poll, self._states, lambda: self.budget_spent)

    async def _record(self, event: Event) -> None:
        await self.clock.sleep(self.entry_s)
        self.recorded.append(event)

    async def poll(self) -> None:
        self.polls += 1
        self.debounced, _ = debounce(self.debounced, self.reading, self.clock.mono_ms(), self.clock.boot)

    def _states(self) -> list[DeviceState]:
        return [DeviceState("broadband", "main", self.reading, "", "synced", self.debounced)]

    async def confirm(self, reading: Reading) -> None:
        """Poll until the reading is confirmed, and let the outage log check it."""
        self.reading = reading
        for _ in range(3):
            await self.poll()
        await self.clock.advance(5)

    async def up(self) -> None:
        self.connection += 1
        self.link.set(LinkState(True, self.connection, self.clock.mono_ms(), ""))
        await self.clock.advance(0)

    async def down(self, why: str = "no acknowledgement") -> None:
        self.link.set(LinkState(False, self.connection, self.clock.mono_ms(), why))
        await self.clock.advance(0)

    async def flap(self, down_s: float, up_s: float = 1) -> None:
        await self.down()
        await self.clock.advance(down_s)
        await self.up()
        await self.clock.advance(up_s)

    @property
    def downs(self) -> list[LinkDown]:
        return [one for one in self.recorded if isinstance(one, LinkDown)]

    @property
    def ups_and_downs(self) -> list[str]:
        return [one.name for one in self.recorded if isinstance(one, (LinkDown, LinkUp))]


@pytest.fixture
async def line(clock: Any) -> AsyncIterator[Line]:
    one = Line(clock)
    async with running(one.outages.run()):
        yield one


async def test_an_outage_is_recorded_at_once_and_its_layer_when_it_is_confirmed(line: Line) -> None:
    await line.up()
    await line.poll()
    line.reading = NO_GATEWAY
    await line.down()
    assert [one.name for one in line.recorded] == ["link_up", "link_down"]
    assert line.polls == 2, "polled at once"
    await line.confirm(NO_GATEWAY)
    layer = line.recorded[-1]
    assert isinstance(layer, LinkLayer)
    assert (layer.layer, layer.before, layer.why) == ("gateway", None, "no acknowledgement")
    assert (layer.condition, layer.reason) == ("unreachable", "lan_down")
    assert [probe["raw"]["outcome"] for probe in layer.probes] == ["timed out"]
    await line.clock.advance(60)
    assert line.recorded[-1] is layer, "recorded once"


async def test_a_pending_layer_is_not_recorded(line: Line) -> None:
    await line.up()
    await line.poll()
    line.reading = NO_LINE
    await line.down()
    await line.clock.advance(60)
    assert [one.name for one in line.recorded] == ["link_up", "link_down"]


async def test_link_up_names_the_layer_that_lasted_longest_and_all_of_them(line: Line) -> None:
    await line.up()
    await line.poll()
    began_ms = line.clock.mono_ms()
    await line.down()
    await line.clock.advance(20)
    await line.confirm(NO_LINE)
    await line.clock.advance(300)
    await line.confirm(CARRIES)
    await line.up()
    up = line.recorded[-1]
    assert isinstance(up, LinkUp)
    assert up.cause == "access_line"
    assert [layer for layer, _ in up.layers] == ["county", "access_line", "county"]
    assert up.down_ms == line.clock.mono_ms() - began_ms


async def test_a_station_that_starts_without_a_line_records_the_layer(line: Line) -> None:
    line.reading = NO_LINE
    await line.down("OSError: Network is unreachable")
    await line.clock.advance(30)
    (layer,) = line.recorded
    assert isinstance(layer, LinkLayer) and layer.layer == "access_line"
    await line.up()
    assert isinstance(line.recorded[-1], LinkUp) and line.recorded[-1].cause == "access_line"


async def test_a_start_without_an_outage_neither_polls_the_line_nor_records_a_layer(line: Line) -> None:
    """What the link does on its way up: it counts the connection, and nobody subscribes to its birth."""
    connecting = line.link.value
    for state in (connecting._replace(connections=1), connecting._replace(connections=1, warning="nobody_listens")):
        line.link.set(state)
        await line.clock.advance(10)
    await line.up()
    (up,) = line.recorded
    assert isinstance(up, LinkUp) and (up.cause, up.layers) == (None, ())
    assert line.polls == 0


async def test_the_duration_is_the_links_own_if_the_disk_delays_the_entries(line: Line) -> None:
    await line.up()
    line.entry_s = 3
    await line.down()
    await line.clock.advance(1)
    await line.up()
    await line.clock.advance(30)
    up = line.recorded[-1]
    assert isinstance(up, LinkUp) and up.down_ms == 1000


async def test_a_new_reason_while_the_link_is_down_makes_no_entry(line: Line) -> None:
    await line.up()
    await line.poll()
    for why in ("refused", "no route", "refused"):
        await line.down(why)
        await line.clock.advance(5)
    assert [one.name for one in line.recorded] == ["link_up", "link_down", "link_layer"]


async def test_a_flapping_link_fills_no_journal_and_is_counted(line: Line) -> None:
    await line.up()
    for _ in range(100):
        await line.flap(down_s=2)
    assert len(line.downs) == OUTAGES_PER_HOUR
    assert len([one for one in line.recorded if isinstance(one, LinkUp)]) == OUTAGES_PER_HOUR + 1
    await line.clock.advance(3600)
    await line.down()
    assert line.downs[-1].untold == 100 - OUTAGES_PER_HOUR
    assert line.downs[-1].untold_ms == 2000 * line.downs[-1].untold


async def test_a_flapping_link_on_a_day_without_budget_is_recorded_once_an_hour(line: Line) -> None:
    line.budget_spent = True
    await line.up()
    outages = 4 * 3600 // 5
    for _ in range(outages):
        await line.flap(down_s=2, up_s=3)
    assert 4 <= len(line.downs) <= 5
    assert outages - 720 <= sum(1 + one.untold for one in line.downs) <= outages


@pytest.mark.parametrize("budget_spent", [False, True])
async def test_an_outage_that_lasts_is_recorded_after_a_minute_however_many_there_were(
    line: Line, budget_spent: bool
) -> None:
    await line.up()
    line.budget_spent = budget_spent
    recorded = 1 if budget_spent else OUTAGES_PER_HOUR
    for _ in range(recorded + 3):
        await line.flap(down_s=3)
    line.reading = NO_LINE
    await line.down("cut")
    await line.confirm(NO_LINE)
    await line.clock.advance(SHORT_OUTAGE_MS / 1000 - CHECK_S - 1)
    assert len(line.downs) == recorded
    await line.clock.advance(1 + CHECK_S)
    down, layer = line.recorded[-2:]
    assert isinstance(down, LinkDown)
    assert (down.why, down.untold, down.untold_ms) == ("cut", 3, 9000)
    assert SHORT_OUTAGE_MS <= down.down_ms <= SHORT_OUTAGE_MS + CHECK_S * 1000
    assert isinstance(layer, LinkLayer) and layer.layer == "access_line"
    await line.clock.advance(7200)
    await line.up()
    up = line.recorded[-1]
    assert isinstance(up, LinkUp)
    assert (up.cause, up.down_ms // 60_000) == ("access_line", 121)


async def test_a_short_outage_after_another_gets_its_own_minute(line: Line) -> None:
    await line.up()
    line.budget_spent = True
    await line.flap(1)
    await line.flap(down_s=50, up_s=5)
    await line.down("second")
    await line.clock.advance(SHORT_OUTAGE_MS / 1000 - 1)
    assert len(line.downs) == 1
    await line.clock.advance(1 + CHECK_S)
    assert [one.why for one in line.downs[1:]] == ["second"]


async def test_the_end_of_a_recorded_outage_is_recorded_even_without_budget(line: Line) -> None:
    await line.up()
    await line.down()
    line.budget_spent = True
    await line.up()
    assert line.ups_and_downs == ["link_up", "link_down", "link_up"]


async def test_the_end_of_a_suppressed_outage_is_suppressed_even_if_there_is_budget_again(line: Line) -> None:
    await line.up()
    line.budget_spent = True
    await line.flap(1)
    await line.down()
    line.budget_spent = False
    await line.up()
    assert line.ups_and_downs == ["link_up", "link_down", "link_up"]
    await line.flap(1)
    assert line.ups_and_downs[3:] == ["link_down", "link_up"]
    assert line.downs[-1].untold == 1


async def test_a_broker_on_this_machine_depends_on_no_line(clock: Any) -> None:
    recorded: list[Event] = []

    async def record(event: Event) -> None:
        recorded.append(event)

    async def poll() -> None:
        raise AssertionError("there is no line to poll")

    link = Observable(LinkState(False, 0, clock.mono_ms(), "connecting"))
    outages = OutageLog(clock, link, record, poll, None)
    async with running(outages.run()):
        link.set(LinkState(False, 0, clock.mono_ms(), "refused"))
        await clock.advance(10)
    assert [(one.name, getattr(one, "layer", None)) for one in recorded] == [("link_layer", "county")]
