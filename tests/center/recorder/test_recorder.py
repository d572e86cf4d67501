"""The recorder against a real broker: receipts only of what is committed, and nothing lost however it ends."""

import asyncio
import contextlib
import json
import random
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.broker import Broker
from support.messages_of import (
    NAME,
    OTHER,
    OUTBOX,
    Probe,
    capture,
    command,
    device,
    heartbeat,
    journal,
    recording,
    scan,
    state,
    url_of,
)

from center.store.store import Store
from common.messages import SIMULATED, topic

RECEIPTS = "yinong/1/+/receipt"


def stored(folder: Path) -> set[int]:
    db = sqlite3.connect(folder / "center.db")
    seqs = {seq for (seq,) in db.execute("select seq from entry where outbox = ?", (OUTBOX,))}
    db.close()
    return seqs


def reach(seqs: set[int]) -> int:
    return next(n for n in range(len(seqs) + 1) if n + 1 not in seqs)


async def test_what_a_terminal_sends_is_stored_and_receipted(broker: Broker, store: Store, tmp_path: Path) -> None:
    probe = Probe(broker)
    async with recording(broker, store), probe.on(RECEIPTS):
        await probe.send("journal", journal(1))
        await probe.send("device/printer/main", device(2))
        await probe.send("scan", scan(capture(3), capture(4)))
        await probe.receipted(4)
    assert stored(tmp_path) == {1, 2, 3, 4}
    _, receipt, _ = probe.received_all[-1]
    assert receipt["store"] == store.id


async def test_a_receipt_waits_for_the_gap_to_close(broker: Broker, store: Store) -> None:
    probe = Probe(broker)
    async with recording(broker, store), probe.on(RECEIPTS):
        for seq in (1, 4, 5):
            await probe.send("journal", journal(seq))
        await probe.receipted(1)
        await probe.send("journal", journal(3))
        await probe.send("journal", journal(2, "void"))
        await probe.receipted(5)
    assert max(probe.receipts()) == 5
    assert probe.receipts() == sorted(probe.receipts())


async def test_a_terminal_gets_at_most_one_receipt_a_second(broker: Broker, store: Store) -> None:
    probe = Probe(broker)
    async with recording(broker, store), probe.on(RECEIPTS):
        began = asyncio.get_running_loop().time()
        for seq in range(1, 101):
            await probe.send("journal", journal(seq))
        await probe.receipted(100)
        took = asyncio.get_running_loop().time() - began
    assert len(probe.receipts()) <= 2 + took


async def test_a_birth_is_answered_with_the_receipt_of_its_outbox(broker: Broker, store: Store) -> None:
    probe = Probe(broker)
    async with recording(broker, store), probe.on(RECEIPTS):
        await probe.send("journal", journal(1))
        await probe.receipted(1)
        await probe.send("state", state(outbox="ffffffffffff"), retain=True)
        await probe.receipted(0, outbox="ffffffffffff")
        await probe.send("state", state())
        await probe.until(lambda: probe.receipts() == [1, 1])


async def test_a_row_sent_again_is_receipted_again(broker: Broker, store: Store) -> None:
    probe = Probe(broker)
    async with recording(broker, store), probe.on(RECEIPTS):
        await probe.send("journal", journal(1))
        await probe.receipted(1)
        await probe.send("journal", journal(1))
        await probe.until(lambda: probe.receipts() == [1, 1])


async def test_receipts_are_retained_for_terminals_that_are_offline(broker: Broker, store: Store) -> None:
    probe, later = Probe(broker), Probe(broker)
    async with recording(broker, store), probe.on(RECEIPTS):
        await probe.send("journal", journal(1))
        await probe.receipted(1)
    async with later.on(topic(NAME, "receipt")):
        await later.receipted(1)
    assert later.received_all[0][2], "delivered as retained"


async def test_while_nothing_can_be_stored_nothing_is_receipted(broker: Broker, store: Store, tmp_path: Path) -> None:
    probe = Probe(broker)
    holder = sqlite3.connect(tmp_path / "center.db", isolation_level=None)
    with store._engine.connect() as connection:  # pyright: ignore
        connection.exec_driver_sql("PRAGMA busy_timeout=10")
    async with recording(broker, store), probe.on(RECEIPTS):
        holder.execute("BEGIN EXCLUSIVE")
        await probe.send("journal", journal(1))
        await asyncio.sleep(0.7)
        assert probe.receipts() == []
        holder.execute("ROLLBACK")
        await probe.receipted(1)
    holder.close()


async def test_malformed_messages_never_stop_the_recorder(broker: Broker, store: Store, tmp_path: Path) -> None:
    probe, rng = Probe(broker), random.Random(4)
    leaves = ("state", "heartbeat", "device/a/b", "device/x", "standard", "journal", "scan", "telemetry", "reply")
    async with recording(broker, store) as recorder, probe.on(RECEIPTS):
        for leaf in leaves:
            for body in (b"", b"{}", b"null", b"[" * 50_000, b"\xff\xfe", rng.randbytes(300), journal(2**70)):
                await probe.send(leaf, body)
            await probe.publish(f"yinong/1/nobody/{leaf}", b"{}")
        await probe.send("journal", journal(1))
        await probe.receipted(1)
    assert recorder.counts["set_aside"] > 40
    assert stored(tmp_path) == {1}


async def test_simulated_stations_are_accepted_only_if_wanted(broker: Broker, store: Store, tmp_path: Path) -> None:
    probe = Probe(broker)
    async with recording(broker, store) as recorder, probe.on(RECEIPTS):
        await probe.send("journal", journal(1), user=(SIMULATED,))
        await probe.send("state", state(name=OTHER, simulated=True), name=OTHER)
        await probe.send("journal", journal(1), name=OTHER)
        await probe.until(lambda: recorder.counts["simulated, ignored"] == 3)
    assert stored(tmp_path) == set()
    async with recording(broker, store, simulated=True), probe.on(RECEIPTS):
        await probe.send("journal", journal(1), user=(SIMULATED,))
        await probe.receipted(1)
    assert stored(tmp_path) == {1}


async def test_messages_sent_while_the_recorder_was_down_are_stored_when_it_is_back(
    broker: Broker, store: Store
) -> None:
    probe = Probe(broker)
    async with recording(broker, store), probe.on(RECEIPTS):
        await probe.send("journal", journal(1))
        await probe.receipted(1)
    async with probe.on(RECEIPTS):
        for seq in range(2, 1502):
            await probe.send("journal", journal(seq))
        async with recording(broker, store) as recorder:
            await probe.receipted(1501)
        assert recorder.counts["stored"] == 1500


async def test_the_queue_of_an_absent_recorder_survives_a_restart_of_the_secured_broker(
    secured_broker: Broker, store: Store
) -> None:
    """mosquitto checks restored sessions against their listener's ACL: it must not drop the messages queued in them."""
    for name in ("recorder", NAME):
        secured_broker.add_user(name, f"secret-{name}")
    probe = Probe(secured_broker, NAME)
    async with recording(secured_broker, store):
        pass
    async with probe.on():
        assert await probe.send("journal", journal(1)) == "Success"
    secured_broker.restart()
    async with probe.on(topic(NAME, "receipt")):
        assert await probe.send("journal", journal(2)) == "Success"
        async with recording(secured_broker, store):
            await probe.receipted(2)


async def test_the_recorder_reconnects_to_a_broker_that_died_and_restarted(broker: Broker, store: Store) -> None:
    probe = Probe(broker)
    async with recording(broker, store) as recorder:
        async with probe.on(RECEIPTS):
            await probe.send("journal", journal(1))
            await probe.receipted(1)
        broker.restart(kill=True)
        await probe.until(lambda: recorder.counts["connects"] == 2)
        async with probe.on(RECEIPTS):
            await probe.send("journal", journal(2))
            await probe.receipted(2)


@contextlib.contextmanager
def recorder_process(address: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process of its own; it is killed at the end, however the test ends."""
    arguments = ("record", "--broker", address, "--store", url_of(folder))
    with subprocess.Popen(command(*arguments), stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


async def test_a_recorder_killed_at_any_moment_has_stored_all_that_it_receipted(broker: Broker, tmp_path: Path) -> None:
    probe, rng, seq = Probe(broker), random.Random(7), 0
    async with probe.on(RECEIPTS):
        await probe.send("state", state(), retain=True)
        with recorder_process(broker.address, tmp_path):
            await probe.receipted(0)  # from now on the broker queues what it misses
        for _ in range(4):
            with recorder_process(broker.address, tmp_path):
                known, more = len(probe.receipts()), rng.randint(60, 400)
                while more > 0 or len(probe.receipts()) == known:
                    seq, more = seq + 1, more - 1
                    await probe.send("journal", journal(seq))
                    if (
                        more < 0
                    ):  # a recorder that starts slowly is not flooded with messages that the test does not need
                        await asyncio.sleep(0.02)
            await probe.send("journal", journal(seq))  # a round trip: what the recorder published has arrived
            assert known < len(probe.receipts())
            assert max(probe.receipts()) <= reach(stored(tmp_path))
        with recorder_process(broker.address, tmp_path) as process:
            await probe.send("state", state())
            await probe.receipted(seq)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 10) == 0
    assert reach(stored(tmp_path)) == seq


async def test_a_clean_stop_receipts_what_was_just_received(broker: Broker, tmp_path: Path) -> None:
    probe = Probe(broker)
    async with probe.on(RECEIPTS):
        with recorder_process(broker.address, tmp_path) as process:
            await probe.send("state", state(), retain=True)
            await probe.receipted(0)
            for seq in range(1, 20):  # within the second in which no further receipt is due
                await probe.send("journal", journal(seq))
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 10) == 0
        await probe.until(lambda: max(probe.receipts()) == reach(stored(tmp_path)))


def test_a_recorder_without_a_broker_stops_on_sigterm(tmp_path: Path) -> None:
    with recorder_process("127.0.0.1:1", tmp_path) as process:
        assert process.stderr
        while b"no connection" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


async def test_heartbeats_are_kept_as_last_values_at_the_stop(broker: Broker, store: Store, tmp_path: Path) -> None:
    probe = Probe(broker)
    async with recording(broker, store), probe.on(RECEIPTS):
        probe.wire.publish(topic(NAME, "heartbeat"), heartbeat(3), 0)
        await probe.send("journal", journal(1))
        await probe.receipted(1)
    db = sqlite3.connect(tmp_path / "center.db")
    ((body,),) = db.execute("select body from latest where leaf = 'heartbeat'").fetchall()
    db.close()
    assert json.loads(body)["waiting"] == 3


@pytest.mark.parametrize("retained", [True, False])
async def test_the_recorder_reads_states_that_the_broker_retained(broker: Broker, store: Store, retained: bool) -> None:
    probe = Probe(broker)
    async with probe.on(RECEIPTS):
        await probe.send("state", state(), retain=retained)
        async with recording(broker, store):
            if retained:
                await probe.receipted(0)
            await probe.send("journal", journal(1))
            await probe.receipted(1)
    assert (0 in probe.receipts()) is retained
