"""A value that others wait on."""

import asyncio

from agent.observable import Observable


async def test_a_subscriber_gets_every_value_in_order_also_those_that_came_and_went() -> None:
    link = Observable("connecting")
    changes = link.changes()
    for value in ("up", "down", "up"):
        link.set(value)
    assert [await anext(changes) for _ in range(3)] == ["up", "down", "up"]
    assert link.value == "up"


async def test_an_equal_value_is_no_change() -> None:
    link = Observable("down")
    changes = link.changes()
    link.set("down")
    link.set("up")
    assert await anext(changes) == "up"


async def test_a_subscriber_gets_nothing_from_before_it_subscribed() -> None:
    quality = Observable("unsynced")
    quality.set("synced")
    changes = quality.changes()
    waiting = asyncio.ensure_future(anext(changes))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert not waiting.done()
    quality.set("unsynced")
    assert await waiting == "unsynced"


async def test_each_subscriber_has_its_own_place() -> None:
    value = Observable(0)
    early = value.changes()
    value.set(1)
    late = value.changes()
    value.set(2)
    assert [await anext(early), await anext(early)] == [1, 2]
    assert await anext(late) == 2
