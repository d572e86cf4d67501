"""Commands of the console: what is refused, what is answered, and that nothing sent here ends the daemon."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some
from support.broker import Broker
from support.mqtt_county import County
from support.one_station import Station, station, until
from support.running import running

from agent.configuration.settings import Broker as BrokerTable
from agent.configuration.settings import Settings
from agent.configuration.settings import Station as StationTable
from agent.control.commands import MAX_WAITING, REMEMBERED, CommandHandler, Commands
from agent.observable import Observable
from agent.outbox.outbox import Outbox
from agent.uplink.connection import Incoming
from agent.uplink.inbox import Inbox, Received
from agent.uplink.link import Link
from agent.uplink.presence import Presence
from common.clock import SystemClock
from common.messages import Command, Receipt, Reply
from drivers.reading import YinongError

NAME = "450225-GXBRS0001B-1"
GOOD = Incoming(
    f"yinong/1/{NAME}/command/check", b'{"id": "abcdefgh"}', False, f"yinong/1/{NAME}/reply", b"correlation", 60
)


async def _answer(options: dict[str, Any]) -> dict[str, Any]:
    return {"options": options}


async def _cannot(_options: dict[str, Any]) -> dict[str, Any]:
    raise YinongError("没有 / none")


async def _broken(_options: dict[str, Any]) -> dict[str, Any]:
    raise KeyError("a bug")


HANDLERS: dict[str, CommandHandler] = {"check": _answer, "cannot": _cannot, "broken": _broken}


class NoLink:
    """These tests send nothing."""


def commands(trusted: bool = True) -> Commands:
    return Commands(NAME, HANDLERS, SystemClock(), cast(Link, NoLink()), asyncio.Queue(), trusted_link=trusted)


async def answer(one: Commands, packet: Incoming) -> Reply | None:
    """The reply to a packet when nothing else is executed; None if there is none."""
    if reply := one.enqueue(packet):
        return reply
    return (await one.execute_next())[0] if one.waiting else None


async def test_a_command_on_the_list_is_answered_with_its_id() -> None:
    packet = GOOD._replace(payload=b'{"id": "abcdefgh", "options": {"device": "printer"}}')
    reply = await answer(commands(), packet)
    assert reply is not None
    assert (reply.id, reply.command, reply.ok, reply.error) == ("abcdefgh", "check", True, "")
    assert reply.answer == {"options": {"device": "printer"}}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"retained": True}, "retained"),
        ({"expiry_s": None}, "expiry"),
        ({"expiry_s": 61}, "expiry"),
        ({"response_topic": None}, "response topic"),
        ({"response_topic": "yinong/1/450225-GXBRS0002B-1/reply"}, "response topic"),
        ({"response_topic": f"yinong/1/{NAME}/state"}, "response topic"),
        ({"correlation": None}, "correlation"),
        ({"correlation": b""}, "correlation"),
    ],
)
async def test_a_command_that_breaks_a_rule_is_refused_with_the_reason(wrong: dict[str, Any], why: str) -> None:
    packet = GOOD._replace(**wrong)
    one = commands()
    assert why in (one.refusal(packet) or "")
    assert await answer(one, packet) is None
    assert await answer(one, GOOD) is not None, "a refused command's id is not used up"


async def test_nothing_is_accepted_over_a_link_without_authentication() -> None:
    assert await answer(commands(trusted=False), GOOD) is None


async def test_an_unknown_command_is_answered_with_the_known_ones() -> None:
    reply = await answer(commands(), GOOD._replace(topic=f"yinong/1/{NAME}/command/shell"))
    assert reply is not None
    assert not reply.ok
    assert "check" in reply.error


async def test_what_cannot_be_done_is_answered_with_the_reason() -> None:
    reply = await answer(commands(), GOOD._replace(topic=f"yinong/1/{NAME}/command/cannot"))
    assert reply is not None
    assert (reply.ok, reply.error) == (False, "没有 / none")


async def test_a_bug_in_a_command_is_a_failed_reply_and_not_the_end_of_the_daemon() -> None:
    reply = await answer(commands(), GOOD._replace(topic=f"yinong/1/{NAME}/command/broken"))
    assert reply is not None
    assert not reply.ok
    assert "KeyError" in reply.error


async def test_a_command_that_is_delivered_twice_is_done_once() -> None:
    one = commands()
    assert await answer(one, GOOD) is not None
    assert await answer(one, GOOD) is None


async def test_ids_are_remembered_up_to_a_bound() -> None:
    one = commands()
    for n in range(REMEMBERED + 5):
        await answer(one, GOOD._replace(payload=b'{"id": "id-%06d"}' % n))
    assert await answer(one, GOOD._replace(payload=b'{"id": "id-%06d"}' % REMEMBERED)) is None
    assert len(one._seen) == REMEMBERED


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"null", b"[]", b'"abcdefgh"', b'{"id": "short"}', b'{"id": "abcdefgh", "more": 1}', b'{"id": "abcdefgh\xff"}',
        b'{"id": "abcdefgh", "options": {"a": {}}}', b'{"id": "abcdefgh", "options": {"a": 1e999}}', b"[" * 100_000,
        b'{"options":' + b"[" * 100_000, b'{"id": "abcdefgh", "options": {"a": "\xed\xa0\x80"}}',
    ],
)  # fmt: skip
async def test_a_payload_that_is_not_a_command_is_refused(payload: bytes) -> None:
    assert await answer(commands(), GOOD._replace(payload=payload)) is None


def _like_a_command() -> some.SearchStrategy[bytes]:
    texts = some.text(max_size=80)
    values = some.none() | some.booleans() | some.integers() | some.floats() | texts | some.dictionaries(texts, texts)
    keys = some.sampled_from(["v", "id", "options", "command", "late"]) | texts
    return some.dictionaries(keys, values).map(lambda made: json.dumps(made).encode("utf-8", "surrogatepass"))


@given(
    payload=some.binary(max_size=200) | _like_a_command(),
    where=some.text(max_size=40),
    mangle=some.sampled_from([lambda b: b, lambda b: b[:-1], lambda b: b + b"\xff", lambda b: b"\xef\xbb\xbf" + b]),
)
def test_hostile_payloads_and_topics_give_a_reply_or_nothing(
    payload: bytes, where: str, mangle: Callable[[bytes], bytes]
) -> None:
    packet = GOOD._replace(topic=f"yinong/1/{NAME}/command/{where}", payload=mangle(payload))
    reply = asyncio.run(answer(commands(), packet))
    assert reply is None or isinstance(reply, Reply)


def test_a_command_has_no_field_for_free_text_that_could_be_run() -> None:
    assert Command.__struct_fields__ == ("v", "id", "options")


def packet_of(n: int, name: str = "check") -> Incoming:
    return GOOD._replace(topic=f"yinong/1/{NAME}/command/{name}", payload=b'{"id": "id-%06d"}' % n)


def test_a_command_beyond_the_queue_is_answered_and_its_id_is_not_used_up() -> None:
    one = commands()
    for n in range(MAX_WAITING):
        assert one.enqueue(packet_of(n)) is None
    reply = one.enqueue(packet_of(99))
    assert reply is not None
    assert (reply.id, reply.command, reply.ok, reply.error.partition(":")[0]) == ("id-000099", "check", False, "busy")
    assert one.enqueue(packet_of(3)) is None, "one that waits already is not another one"
    asyncio.run(one.execute_next())
    assert one.enqueue(packet_of(99)) is None
    assert one.waiting == MAX_WAITING


class Slow:
    """A command that takes as long as the test wants, and the options that it received."""

    def __init__(self) -> None:
        self.started, self.finish, self.asked = asyncio.Event(), asyncio.Event(), 0

    async def __call__(self, _options: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        self.started.set()
        await self.finish.wait()
        return {}


@asynccontextmanager
async def inbox_of(one: Station, handlers: dict[str, CommandHandler]) -> AsyncIterator[Received]:
    """Receipts and commands of a running station, wired as in the daemon."""
    settings = Settings(
        station=StationTable(division="450225", number="桂BRS0001B"), broker=BrokerTable(host="127.0.0.1")
    )
    presence = Presence(settings, one.clock, "run", "0", "f00d", one.outbox.id, Observable(None))

    async def note(_event: str, **_details: Any) -> None:
        """There is no journal here."""

    received = Received(NAME)
    inbox = Inbox(received.receipts, one.link, one.delivery, presence, note)
    console = Commands(NAME, handlers, one.clock, one.link, received.commands, trusted_link=True)
    async with running(inbox.run()), running(console.run()):
        yield received


async def test_a_receipt_does_not_wait_for_a_command_that_is_executed(outbox: Outbox, broker: Broker) -> None:
    slow = Slow()
    with County(broker.host, broker.port) as county:
        async with station(outbox, broker) as one, inbox_of(one, {"measure": slow}) as received:
            await one.record("a", "b")
            await asyncio.to_thread(county.wait_for, lambda c: len(c.of("journal")) == 2)
            received.put(packet_of(1, "measure"))
            await asyncio.wait_for(slow.started.wait(), 10)
            receipt = Receipt(at="2026-03-02T09:00:00.000+08:00", store="store-1", outbox=outbox.id, upto=2)
            received.put(Incoming(f"yinong/1/{NAME}/receipt", msgspec.json.encode(receipt), False, None, None, None))
            await until(lambda: not outbox.waiting(0, 1), 5)
            assert not slow.finish.is_set()


async def test_commands_are_executed_one_after_another_and_those_beyond_the_queue_are_answered_at_once(
    outbox: Outbox, broker: Broker
) -> None:
    slow = Slow()
    with County(broker.host, broker.port) as county:
        async with station(outbox, broker) as one, inbox_of(one, {"measure": slow}) as received:
            await one.link.up.wait()
            received.put(packet_of(0, "measure"))
            await asyncio.wait_for(slow.started.wait(), 10)
            for n in range(1, MAX_WAITING + 4):
                received.put(packet_of(n, "measure"))
            await asyncio.to_thread(county.wait_for, lambda c: len(c.of("reply")) == 3)
            refused = [
                (message.json["id"], message.json["error"][:5], message.correlation) for message in county.of("reply")
            ]
            assert refused == [(f"id-{MAX_WAITING + n:06d}", "busy:", b"correlation") for n in (1, 2, 3)]
            assert slow.asked == 1
            slow.finish.set()
            await asyncio.to_thread(county.wait_for, lambda c: len(c.of("reply")) == 3 + 1 + MAX_WAITING)
    done = [message.json["id"] for message in county.of("reply") if message.json["ok"]]
    assert done == [f"id-{n:06d}" for n in range(MAX_WAITING + 1)]


async def test_a_command_that_expired_while_it_waited_is_answered_and_not_executed(clock: Any) -> None:
    one = Commands(NAME, HANDLERS, clock, cast(Link, NoLink()), asyncio.Queue(), trusted_link=True)
    assert one.enqueue(GOOD) is None
    await clock.advance(61)
    reply, correlation = await one.execute_next()
    assert (reply.ok, reply.error[:7], correlation) == (False, "expired", b"correlation")
