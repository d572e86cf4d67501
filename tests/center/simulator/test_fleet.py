"""Simulated stations: realistic, marked everywhere, on real connections, and every row receipted at the end."""

import asyncio
import random
import re
from collections import Counter
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from support.broker import Broker
from support.messages_of import NAME, Probe, recording

from center.simulator.fleet import Fleet, Plan, terminals
from center.simulator.outbox import MemoryOutbox, Row
from center.simulator.scenes import EQUIPMENT, SCENES, standard_items
from center.simulator.station import SimulatedStation
from center.store.intake import Arrived, parse, split_topic
from center.store.store import Store
from common.clock import SystemClock
from common.events import LinkDown, LinkUp, Start, read_event
from common.messages import SIMULATED, Journal, Receipt, type_of
from common.mqtt.session import BrokerAddress
from common.standard.register import load_register
from common.station import StationType
from drivers.catalogue import reason_codes, sentence

COUNTY = load_register(Path(__file__).parents[3] / "config/counties/450225.toml")


async def test_twenty_stations_live_some_seconds_and_every_row_is_receipted(
    broker: Broker, store: Store, tmp_path: Path
) -> None:
    output: list[str] = []
    fleet = Fleet(
        COUNTY, BrokerAddress(broker.host, broker.port), SystemClock(), Plan(20, 6, pace=300, drain_s=30), output.append
    )
    async with recording(broker, store, simulated=True) as recorder:
        assert await fleet.run(), output
    total = fleet.total()
    assert (total.stations, total.waiting, total.reconnects) == (20, 0, 0), output
    assert total.cuts > 5
    assert total.connects > 20
    assert total.receipted == fleet.counts["rows"] == recorder.counts["stored"]
    assert (recorder.counts["conflicts"], recorder.counts["set_aside"]) == (0, 0)
    assert str(total) in output[-1]


async def test_a_broker_restarted_in_between_leaves_no_row_without_its_receipt(broker: Broker, store: Store) -> None:
    fleet = Fleet(
        COUNTY, BrokerAddress(broker.host, broker.port), SystemClock(), Plan(8, 5, pace=300, drain_s=60), lambda _: None
    )
    async with recording(broker, store, simulated=True) as recorder, asyncio.TaskGroup() as group:
        run = group.create_task(fleet.run())
        await asyncio.sleep(2)
        broker.restart()
        assert await run
        assert recorder.counts["connects"] == 2
    assert fleet.total().receipted == recorder.counts["stored"]


async def test_without_a_recorder_nothing_is_receipted_and_the_fleet_reports_it(broker: Broker) -> None:
    fleet = Fleet(
        COUNTY, BrokerAddress(broker.host, broker.port), SystemClock(), Plan(3, 1, drain_s=0.5), lambda _: None
    )
    assert not await fleet.run()
    assert fleet.total().waiting == fleet.counts["rows"] > 0


async def test_everything_that_a_simulated_station_sends_follows_the_contract_and_is_marked(broker: Broker) -> None:
    received: list[Arrived] = []
    probe = Probe(broker)
    probe.received = lambda _wire, m: received.append(  # type: ignore[method-assign]
        Arrived(m.topic, bytes(m.payload), m.retain, False, SIMULATED in getattr(m.properties, "UserProperty", []))
    )
    async with probe.on("yinong/1/#"):
        fleet = Fleet(
            COUNTY,
            BrokerAddress(broker.host, broker.port),
            SystemClock(),
            Plan(6, 3, pace=600, drain_s=0),
            lambda _: None,
        )
        await fleet.run()
    kinds = Counter((split_topic(one.topic) or ("", ""))[1].partition("/")[0] for one in received)
    assert {"state", "heartbeat", "device", "standard", "journal", "scan"} <= set(kinds), kinds
    for one in received:
        name, leaf = split_topic(one.topic) or ("", "")
        assert one.simulated, one.topic
        assert name.endswith("-sim"), "no simulated station can be mistaken for a real terminal"
        assert type_of(leaf)
        assert not parse(one).set_aside, (one, parse(one).set_aside)


def test_a_simulated_station_has_the_journal_of_an_agent() -> None:
    terminal, _ = terminals(COUNTY, 1)[0]
    station = SimulatedStation(terminal, BrokerAddress("127.0.0.1", 9), SystemClock(), random.Random(1), Counter())
    station.start()
    station.cut_line()
    station.line_back(away_s=40)
    station.cut_power()
    station.power_back()
    station.outbox.requeue()
    rows: list[Row] = []
    while batch := station.outbox.next_batch()[0]:
        rows += batch
    entries = [msgspec.json.decode(row.body, type=Journal) for row in rows if row.leaf == "journal"]
    first, down, up, again = [read_event(one.event, one.details) for one in entries]
    assert isinstance(first, Start) and isinstance(down, LinkDown)
    assert isinstance(up, LinkUp) and up.down_ms == 40_000
    assert isinstance(again, Start)
    assert (again.previous_end, again.previous_run, again.new_boot) == ("cut", first.run, True)


def test_every_reason_of_a_simulated_device_is_in_its_drivers_catalogue_with_all_its_parameters() -> None:
    for name, scene in SCENES.items():
        for reading in (scene.normal, *(reading for _, _, reading in scene.troubles)):
            assert reading.reason.code in reason_codes(name), (name, reading.reason.code)
            for lang in ("zh", "en"):
                assert not re.search(r"\{\w+\}", "".join(sentence(name, reading.reason, lang)[:2])), reading.reason


def test_a_station_with_normal_readings_meets_the_standard() -> None:
    for kind in StationType:
        items = standard_items(kind, {name: SCENES[name].normal for name in EQUIPMENT[kind]})
        assert {item.verdict for item in items} <= {"met", "attested", "not_required"}, items


def test_the_fleet_has_the_countys_numbers_and_townships() -> None:
    fleet = terminals(COUNTY, 618)
    assert len({terminal for terminal, _ in fleet}) == 618
    assert Counter(terminal.number.type for terminal, _ in fleet) == dict.fromkeys(StationType, 206)
    townships = Counter(place for _, place in fleet)
    assert [townships[i] for i in range(20)] == [place.all_stations for place in COUNTY.township]
    assert NAME not in {terminal.name for terminal, _ in fleet}


def receipt(upto: int, store: str = "s1") -> Receipt:
    return Receipt(at="2026-11-24T08:00:00.000+08:00", store=store, outbox="0123456789ab", upto=upto)


def filled(rows: int, leaf: str = "journal") -> MemoryOutbox:
    box = MemoryOutbox("0123456789ab", lambda seq: f"void {seq}".encode())
    for seq in range(1, rows + 1):
        box.add(leaf, str(seq).encode(), False, live=False)
    return box


def test_live_rows_go_first_and_the_backlog_behind_them_is_late() -> None:
    box = filled(2)
    box.add("journal", b"3", False, live=True)
    order = [([row.seq for row in rows], late) for rows, late in iter(box.next_batch, ([], True))]
    assert order == [([3], False), ([1], True), ([2], True)]


def test_captures_of_the_backlog_go_together_and_other_rows_alone() -> None:
    box = filled(3, "scan")
    box.add("journal", b"4", False, live=False)
    box.add("scan", b"5", False, live=False)
    assert [[row.seq for row in rows] for rows, _ in iter(box.next_batch, ([], True))] == [[1, 2, 3], [4], [5]]


def test_a_new_store_gets_the_archive_again_and_a_void_for_rows_that_it_no_longer_has() -> None:
    box = filled(600)
    box.apply_receipt(receipt(600), False)
    assert box.waiting == 0
    assert box.apply_receipt(receipt(0, "s2"), False)
    box.requeue()
    bodies = [row.body for rows, _ in iter(box.next_batch, ([], True)) for row in rows]
    assert bodies[:100] == [f"void {seq}".encode() for seq in range(1, 101)]
    assert bodies[100:] == [str(seq).encode() for seq in range(101, 601)]


@settings(max_examples=50)
@given(st.integers())
def test_whatever_is_lost_on_the_way_every_row_is_published_until_it_is_receipted(seed: int) -> None:
    box, stored, rng = filled(0), set[int](), random.Random(seed)
    for _ in range(200):
        if rng.random() < 0.5:
            box.add(rng.choice(("scan", "journal")), b"", False, live=rng.random() < 0.5)
        rows, _ = box.next_batch()
        stored |= {row.seq for row in rows if rng.random() < 0.6}
        if rng.random() < 0.2:
            box.apply_receipt(receipt(next(n for n in range(999) if n + 1 not in stored)), False)
            box.requeue()
    for _ in range(999):
        if not box.waiting:
            break
        rows, _ = box.next_batch()
        stored |= {row.seq for row in rows}
        box.apply_receipt(receipt(next(n for n in range(999) if n + 1 not in stored)), False)
        if not rows:
            box.requeue()
    assert stored == set(range(1, box.last_seq + 1))
