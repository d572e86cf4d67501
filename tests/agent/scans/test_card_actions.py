"""Effects of cards: a gun's context, voiding, work; cards without effect and why. Through the captures, as in the daemon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.scripted_gun import ScriptedGun, read

from agent.outbox.opening import read_only
from agent.outbox.outbox import Outbox
from agent.outbox.writer import Writer
from agent.scans.captures import Captures
from agent.scans.card_actions import CardActions, CardAnswer
from agent.scans.gun_state import GunState
from common.codes.control_cards import Card, card_text
from common.messages import Capture, Journal
from drivers.reading import YinongError
from drivers.scan_gun.capture import RawCapture

KEY, STATION = bytes(range(32)), "450225/GXBRS0001B"


def card(action: str, value: str = "") -> str:
    return card_text(KEY, STATION, Card(action, value))


class Beeps:
    def __init__(self) -> None:
        self.sounds: list[str] = []

    def ok(self, gun: str) -> None:
        self.sounds.append(f"{gun} ok")

    def refused(self, gun: str) -> None:
        self.sounds.append(f"{gun} refused")


class Counter:
    """The counter of a shop: guns, card actions, and the answers."""

    def __init__(self, writer: Writer, outbox: Outbox, clock: Any, key: bytes | None = KEY, **works: Any) -> None:
        self.outbox, self.beeps, self.answers = outbox, Beeps(), []
        self.cards = CardActions(STATION, key, clock, writer, works)
        self.guns = {id: ScriptedGun(id=id, reads=[]) for id in ("main", "side")}
        self.captures = Captures(tuple(self.guns.values()), Path("/"), clock, writer, self.cards, self.beeps)
        self.answers: list[CardAnswer]

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Counter"]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.captures.run()), group.create_task(self._watch())]
            await asyncio.sleep(0)
            yield self
            for task in tasks:
                task.cancel()

    async def _watch(self) -> None:
        async for one in self.captures.subscribe():
            if isinstance(one, CardAnswer):
                self.answers.append(one)

    async def scan(self, *texts: str | RawCapture, gun: str = "main") -> None:
        """Scan, and wait until all of it is committed."""
        before = len(self.beeps.sounds)
        self.guns[gun].reads.extend(text if isinstance(text, RawCapture) else read(text, gun) for text in texts)
        async with asyncio.timeout(20):
            while len(self.beeps.sounds) < before + len(texts):  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    def _rows(self, leaf: str, kind: Any) -> list[Any]:
        with read_only(self.outbox.path) as box:
            return [msgspec.json.decode(row.body, type=kind) for row in box.waiting(0, 1000) if row.leaf == leaf]

    @property
    def goods(self) -> list[Capture]:
        return self._rows("scan", Capture)

    def entries(self, event: str) -> list[dict[str, Any]]:
        return [entry.details for entry in self._rows("journal", Journal) if entry.event == event]


@pytest.fixture
def counter(writer: Writer, outbox: Outbox, clock: Any) -> Counter:
    return Counter(writer, outbox, clock)


async def test_a_step_is_valid_for_its_gun_until_the_next_one(counter: Counter) -> None:
    async with counter.open():
        await counter.scan("A", card("RECEIVE"), "B", "C", card("SHIP"), "D")
        await counter.scan("X", gun="side")
    assert [(c.gun, c.number, c.text, c.context) for c in counter.goods] == [
        ("main", 1, "A", {}),
        ("main", 2, "B", {"step": "receiving"}),
        ("main", 3, "C", {"step": "receiving"}),
        ("main", 4, "D", {"step": "shipping"}),
        ("side", 1, "X", {}),
    ]


async def test_another_product_clears_the_batch(counter: Counter) -> None:
    async with counter.open():
        await counter.scan(
            card("PRODUCT", "沃柑"), card("BATCH", "b-1"), "A", card("PRODUCT", "砂糖橘"), "B", card("CLEAR"), "C"
        )
    assert [c.context for c in counter.goods] == [{"product": "沃柑", "batch": "b-1"}, {"product": "砂糖橘"}, {}]


async def test_the_context_and_the_void_outlive_a_restart(writer: Writer, outbox: Outbox, clock: Any) -> None:
    first = Counter(writer, outbox, clock)
    async with first.open():
        await first.scan(card("SELL"), card("PRODUCT", "沃柑"), "A")
    second = Counter(writer, outbox, clock)
    async with second.open():
        await second.scan(card("VOID"))
    third = Counter(writer, outbox, clock)
    async with third.open():
        await third.scan(card("VOID"), "A")
    assert [(c.number, c.context, c.flags) for c in third.goods] == [
        (1, {"step": "retail_selling", "product": "沃柑"}, ()),
        (2, {"step": "retail_selling", "product": "沃柑"}, ()),
    ]
    assert [e["number"] for e in third.entries("capture_voided")] == [1]
    assert [e["why"] for e in third.entries("card_refused")] == ["already_voided"]


async def test_numbers_continue_from_a_state_of_an_older_version(writer: Writer, outbox: Outbox, clock: Any) -> None:
    outbox.append([], {"gun:main": b'{"number":7,"text":"A"}'})
    counter = Counter(writer, outbox, clock)
    async with counter.open():
        await counter.scan("A")
    assert [(c.number, c.flags) for c in counter.goods] == [(8, ("repeated",))]


async def test_void_names_the_capture_of_its_own_gun_also_in_one_batch(counter: Counter) -> None:
    async with counter.open():
        await counter.scan("X", gun="side")
        await counter.scan("A", "B", card("VOID"), "C")
    (void,) = counter.entries("capture_voided")
    voided = next(c for c in counter.goods if c.text == "B")
    assert void == {"gun": "main", "number": 2, "outbox": voided.outbox, "seq": voided.seq}
    assert [c.text for c in counter.goods] == ["X", "A", "B", "C"]
    place = counter.outbox.rowid(voided.outbox, voided.seq)
    assert counter.outbox.states("voided:") == {f"voided:{place}": b"2"}


async def test_void_leaves_another_guns_newer_scan_of_the_same_number_alone(counter: Counter) -> None:
    async with counter.open():
        await counter.scan("A")
        await counter.scan("X", gun="side")
        await counter.scan(card("VOID"))
    (void,) = counter.entries("capture_voided")
    assert (void["gun"], void["seq"]) == ("main", counter.goods[0].seq)


async def test_void_voids_a_damaged_scan_too_and_not_the_good_one_before_it(counter: Counter) -> None:
    async with counter.open():
        await counter.scan("A", read("69012", damage="events_dropped"), card("VOID"))
    assert [e["number"] for e in counter.entries("capture_voided")] == [2]


async def test_void_without_a_scan_voids_nothing(counter: Counter) -> None:
    async with counter.open():
        await counter.scan("X", gun="side")
        await counter.scan(card("VOID"))
    assert counter.entries("capture_voided") == []
    assert [e["why"] for e in counter.entries("card_refused")] == ["nothing_to_void"]


async def test_the_same_code_after_a_void_or_in_another_step_is_not_a_repeat_and_a_card_in_between_hides_none(
    counter: Counter,
) -> None:
    async with counter.open():
        await counter.scan("A", card("VOID"), "A", card("RECEIVE"), "A", card("RECEIVE"), "A")
    assert [c.flags for c in counter.goods] == [(), (), (), ("repeated",)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("YNC1.SHIP.AAAAAAAAAAAAAAAA", "signature"), ("YNC1.", "form"), ("ync1.hello", "form"),
        (card_text(KEY, "450225/GXBRS0002B", Card("SHIP")), "signature"),
        (card_text(bytes(32), STATION, Card("VOID")), "signature"),
    ],
)  # fmt: skip
async def test_a_foreign_card_changes_nothing_and_is_not_goods(counter: Counter, text: str, why: str) -> None:
    async with counter.open():
        await counter.scan("A", text, "B")
    assert [(c.number, c.text, c.context) for c in counter.goods] == [(1, "A", {}), (2, "B", {})]
    assert counter.entries("card_refused") == [{"gun": "main", "identity": "usb:1eab:1", "why": why, "text": text}]
    assert counter.entries("card") == counter.entries("capture_voided") == []
    assert counter.beeps.sounds == ["main ok", "main refused", "main ok"]
    assert [answer.ok for answer in counter.answers] == [False]


async def test_without_a_key_cards_do_nothing(writer: Writer, outbox: Outbox, clock: Any) -> None:
    counter = Counter(writer, outbox, clock, key=None)
    async with counter.open():
        await counter.scan(card("SHIP"), "A")
    assert [c.context for c in counter.goods] == [{}]
    assert [e["why"] for e in counter.entries("card_refused")] == ["no_key"]


async def test_a_damaged_read_of_a_card_stays_a_damaged_capture(counter: Counter) -> None:
    async with counter.open():
        await counter.scan(read(card("VOID"), damage="line_error"))
    assert [(c.number, c.damage) for c in counter.goods] == [(1, "line_error")]
    assert counter.entries("card") == counter.entries("card_refused") == []
    assert counter.beeps.sounds == ["main refused"]


async def test_work_is_done_while_scans_go_on_and_its_answer_is_shown(
    writer: Writer, outbox: Outbox, clock: Any
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def check() -> tuple[str, str]:
        begun.set()
        await go_on.wait()
        return "好", "fine"

    async def measure() -> tuple[str, str]:
        raise YinongError("没有宽带 / no line")

    async def broken() -> tuple[str, str]:
        raise ZeroDivisionError

    counter = Counter(writer, outbox, clock, CHECK=check, MEASURE=measure)
    async with counter.open():
        await counter.scan(card("CHECK"))
        await begun.wait()
        await counter.scan("A")  # scans go on while the devices are checked
        await counter.scan(*[card("CHECK")] * 4)
        assert [e["why"] for e in counter.entries("card_refused")] == ["busy"]
        go_on.set()
        counter.cards._works["CHECK"] = broken  # the ones that wait
        async with asyncio.timeout(20):
            while len(counter.beeps.sounds) < 10:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await counter.scan(card("MEASURE"))
        async with asyncio.timeout(20):
            while counter.answers[-1].ok:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    assert [c.text for c in counter.goods] == ["A"]
    assert CardAnswer(gun="main", action="CHECK", ok=True, zh="好", en="fine") in counter.answers
    assert (counter.answers[-1].zh, counter.answers[-1].en) == ("没有宽带", "no line")


async def test_the_list_counts_today_by_step_without_what_was_voided(counter: Counter, clock: Any) -> None:
    async with counter.open():
        await counter.scan("yesterday")
        await clock.advance(24 * 3600)
        clock_ms = clock.mono_ms()
        fresh = [
            msgspec.structs.replace(read(t), start_mono_ms=clock_ms, end_mono_ms=clock_ms) for t in ("A", "B", "C", "D")
        ]
        damaged = msgspec.structs.replace(read("x", damage="line_error"), end_mono_ms=clock_ms)
        await counter.scan(fresh[0], card("SHIP"), fresh[1], fresh[2], card("VOID"), fresh[3], damaged, card("LIST"))
        async with asyncio.timeout(20):
            while counter.answers[-1].en.endswith("…"):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    assert counter.answers[-1].en == "today 3 (ship 2, no step 1); damaged 1, voided 1"
    assert counter.answers[-1].zh == "今天 3 条（出库 2，未分环节 1）；损坏 1 条，作废 1 条"


async def test_a_card_waits_for_room_like_a_scan_and_acts_in_order(
    counter: Counter, clock: Any, room: Any, until: Any
) -> None:
    async with counter.open():
        await counter.scan("A")
        room.none()
        big = msgspec.structs.replace(read("B"), raw="00" * 100_000)
        counter.guns["main"].reads.extend([big, read(card("SHIP")), read("C")])
        await until(lambda: clock._sleepers)
        assert [c.text for c in counter.goods] == ["A"]
        room.plenty()
        await clock.advance(2)
        await until(lambda: len(counter.beeps.sounds) == 4)
    assert [(c.text, c.context) for c in counter.goods] == [("A", {}), ("B", {}), ("C", {"step": "shipping"})]


async def test_cards_that_wait_at_a_clean_stop_act_in_order(counter: Counter) -> None:
    async with counter.open():
        await counter.scan("A")
    for text in ("B", card("VOID"), card("SHIP"), "C"):
        counter.captures._queue.put_nowait(read(text))
    await counter.captures.flush()
    assert [(c.number, c.text, c.context) for c in counter.goods] == [
        (1, "A", {}),
        (2, "B", {}),
        (3, "C", {"step": "shipping"}),
    ]
    assert [e["number"] for e in counter.entries("capture_voided")] == [2]


async def test_a_card_and_the_state_it_makes_are_one_transaction(counter: Counter) -> None:
    async with counter.open():
        await counter.scan(card("SHIP"))
    mark = counter.outbox.state("gun:main")
    assert mark is not None
    assert msgspec.json.decode(mark, type=GunState) == GunState(context={"step": "shipping"})
    assert counter.entries("card") == [
        {"gun": "main", "identity": "usb:1eab:1", "action": "SHIP", "context": {"step": "shipping"}}
    ]
