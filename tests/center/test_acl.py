"""The shipped ACL file on a real broker: a terminal writes its own branch and nothing else, whatever it tries."""

import asyncio
from collections.abc import Iterator

import pytest
from support.broker import Broker
from support.messages_of import NAME, OTHER, Probe, device, journal, state

from common.messages import TOPICS, topic
from common.mqtt.errors import Rejected
from common.mqtt.session import Will

DENIED = "Not authorized"
MINE = ("state", "heartbeat", "device/printer/main", "standard", "journal", "scan", "telemetry", "reply")


@pytest.fixture
def county(secured_broker: Broker) -> Iterator[Broker]:
    for name in ("recorder", "console", "watch", NAME, OTHER):
        secured_broker.add_user(name, f"secret-{name}")
    yield secured_broker


async def test_a_terminal_may_write_all_of_its_own_leaves(county: Broker) -> None:
    async with Probe(county, NAME).on() as terminal:
        for leaf in MINE:
            assert await terminal.send(leaf, b"{}") in ("Success", "No matching subscribers"), leaf


def test_those_leaves_are_the_contracts() -> None:
    firsts = {line.leaf.partition("/")[0] for line in TOPICS if line.by == "terminal"}
    assert firsts == {leaf.partition("/")[0] for leaf in MINE}


async def test_a_terminal_cannot_write_a_receipt_or_a_command_not_even_its_own(county: Broker) -> None:
    async with Probe(county, NAME).on() as terminal:
        for name in (NAME, OTHER):
            for leaf in ("receipt", "command/check", "command/run/x", "anything", ""):
                assert await terminal.send(leaf, b"{}", name=name) == DENIED, (name, leaf)


async def test_a_terminal_cannot_write_into_another_branch(county: Broker) -> None:
    async with Probe(county, NAME).on() as terminal:
        for leaf in MINE:
            assert await terminal.send(leaf, b"{}", name=OTHER) == DENIED, leaf
        for where in ("yinong/1/state", "yinong/2/x/state", "$SYS/x", "other", f"yinong/1/{NAME}x/state"):
            assert await terminal.publish(where, b"{}") == DENIED, where


async def test_a_terminal_receives_only_its_own_commands_and_receipts(county: Broker) -> None:
    eager, recorder, console, other = (Probe(county, name) for name in (NAME, "recorder", "console", OTHER))
    own = topic(NAME, "receipt")
    greedy = ("#", "yinong/#", f"yinong/1/{OTHER}/#", own, topic(NAME, "command/+"))
    async with eager.on(*greedy), recorder.on(), console.on(), other.on():
        await other.send("journal", journal(1), name=OTHER)
        await recorder.send("receipt", b"{}", name=OTHER)
        await console.send("command/check", b"{}", name=OTHER)
        await console.send("command/check", b"{}")
        await recorder.send("receipt", b"{}")
        await eager.until(lambda: own in [where for where, _, _ in eager.received_all])
    assert {where for where, _, _ in eager.received_all} == {topic(NAME, "command/check"), topic(NAME, "receipt")}


async def test_only_the_recorder_writes_receipts_and_only_the_console_commands(county: Broker) -> None:
    for user, receipt, command, own in (
        ("recorder", True, False, False),
        ("console", False, True, False),
        ("watch", False, False, False),
    ):
        async with Probe(county, user).on() as probe:
            for leaf, allowed in (("receipt", receipt), ("command/check", command), ("state", own), ("journal", own)):
                reason = await probe.send(leaf, b"{}")
                assert (reason != DENIED) is allowed, (user, leaf, reason)


async def test_the_recorder_and_watch_receive_every_terminal(county: Broker) -> None:
    listeners = [Probe(county, user) for user in ("recorder", "watch", "console")]
    async with listeners[0].on("yinong/1/+/device/#"), listeners[1].on("yinong/1/#"), listeners[2].on("yinong/1/#"):
        async with Probe(county, NAME).on() as one, Probe(county, OTHER).on() as other:
            await one.send("device/printer/main", device(1))
            await other.send("device/printer/main", device(1), name=OTHER)
        for listener in listeners:
            await listener.until(lambda listener=listener: len(listener.received_all) == 2)


async def test_a_will_into_another_branch_is_never_published(county: Broker) -> None:
    watch = Probe(county, "watch")
    async with watch.on("yinong/1/#"):
        for name in (OTHER, NAME):  # the foreign will first: if the own one arrives, it would have arrived before
            thief = Probe(county, NAME)
            try:
                async with thief.on(will=Will(topic(name, "state"), state("lost", name=name), 0)):
                    thief.wire.drop()
            except Rejected as refused:
                assert name == OTHER, refused  # a broker may also reject such a connection at once
        await watch.until(lambda: bool(watch.received_all))
        await asyncio.sleep(0.3)
    assert [where for where, _, _ in watch.received_all] == [topic(NAME, "state")]


async def test_nobody_connects_without_a_password_or_with_a_wrong_one(county: Broker) -> None:
    for user, password in ((None, ""), (NAME, "wrong"), ("nobody", "secret-nobody")):
        probe = Probe(county, user)
        county_password = county.passwords.get(user or "")
        probe._address = probe._address._replace(password=password)
        with pytest.raises(Rejected, match="Not authorized"):
            async with probe.on():
                pytest.fail(f"{user} with {password!r} instead of {county_password!r} was accepted")


async def test_a_name_with_a_wildcard_gains_nothing(county: Broker) -> None:
    for name in ("+", "#", f"{NAME}/../{OTHER}"):
        county.add_user(name, "x")
        try:
            async with Probe(county, name).on() as sly:
                assert await sly.publish(topic(OTHER, "state"), b"{}") == DENIED
        except Rejected:
            pass  # rejected at once
