"""Commands of the console: what is refused, what is answered, and that nothing sent here ends the daemon."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agent.control.commands import REMEMBERED, Commands
from agent.uplink.connection import Incoming
from common.clock import SystemClock
from common.messages import Command, Reply
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


def commands(trusted: bool = True) -> Commands:
    doers = {"check": _answer, "cannot": _cannot, "broken": _broken}
    return Commands(NAME, doers, SystemClock(), trusted_link=trusted)


async def test_a_command_on_the_list_is_answered_with_its_id() -> None:
    packet = GOOD._replace(payload=b'{"id": "abcdefgh", "options": {"device": "printer"}}')
    reply = await commands().take(packet)
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
async def test_a_command_that_breaks_a_rule_is_refused_and_says_why(wrong: dict[str, Any], why: str) -> None:
    packet = GOOD._replace(**wrong)
    one = commands()
    assert why in (one.refusal(packet) or "")
    assert await one.take(packet) is None
    assert await one.take(GOOD) is not None, "a refused command's id is not used up"


async def test_nothing_is_taken_over_a_link_that_proves_nothing() -> None:
    assert await commands(trusted=False).take(GOOD) is None


async def test_an_unknown_command_is_answered_with_what_is_known() -> None:
    reply = await commands().take(GOOD._replace(topic=f"yinong/1/{NAME}/command/shell"))
    assert reply is not None
    assert not reply.ok
    assert "check" in reply.error


async def test_what_cannot_be_done_is_answered_with_the_reason() -> None:
    reply = await commands().take(GOOD._replace(topic=f"yinong/1/{NAME}/command/cannot"))
    assert reply is not None
    assert (reply.ok, reply.error) == (False, "没有 / none")


async def test_a_bug_in_a_command_is_a_failed_reply_and_not_the_end_of_the_daemon() -> None:
    reply = await commands().take(GOOD._replace(topic=f"yinong/1/{NAME}/command/broken"))
    assert reply is not None
    assert not reply.ok
    assert "KeyError" in reply.error


async def test_a_command_that_is_delivered_twice_is_done_once() -> None:
    one = commands()
    assert await one.take(GOOD) is not None
    assert await one.take(GOOD) is None


async def test_ids_are_remembered_up_to_a_bound() -> None:
    one = commands()
    for n in range(REMEMBERED + 5):
        await one.take(GOOD._replace(payload=b'{"id": "id-%06d"}' % n))
    assert await one.take(GOOD._replace(payload=b'{"id": "id-%06d"}' % REMEMBERED)) is None
    assert len(one._seen) == REMEMBERED


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"null", b"[]", b'"abcdefgh"', b'{"id": "short"}', b'{"id": "abcdefgh", "more": 1}', b'{"id": "abcdefgh\xff"}',
        b'{"id": "abcdefgh", "options": {"a": {}}}', b'{"id": "abcdefgh", "options": {"a": 1e999}}', b"[" * 100_000,
        b'{"options":' + b"[" * 100_000, b'{"id": "abcdefgh", "options": {"a": "\xed\xa0\x80"}}',
    ],
)  # fmt: skip
async def test_a_payload_that_is_no_command_is_refused(payload: bytes) -> None:
    assert await commands().take(GOOD._replace(payload=payload)) is None


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
    reply = asyncio.run(commands().take(packet))
    assert reply is None or isinstance(reply, Reply)


def test_a_command_has_no_field_for_free_text_that_could_be_run() -> None:
    assert Command.__struct_fields__ == ("v", "id", "options")
