"""The live view: the stations' states in words; it subscribes and never publishes."""

import asyncio
import io
import subprocess
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from support.broker import Broker
from support.messages_of import NAME, OTHER, Probe, capture, command, device, heartbeat, journal, scan, state

from center.live.stations import Instant, Stations
from center.live.watch import WatchScreen, _printable
from center.store.intake import Arrived
from center.store.presence import SILENT_AFTER_S, Presence, is_newer, presence
from common.clock import SystemClock
from common.messages import SIMULATED, State, topic
from drivers.catalogue import Lang

BEGIN = Instant(1000.0, datetime(2026, 11, 24, 1, 0, tzinfo=UTC))


def after(seconds: float) -> Instant:
    return Instant(BEGIN.mono_s + seconds, BEGIN.wall + timedelta(seconds=seconds))


def of(leaf: str, payload: bytes, name: str = NAME, **other: bool) -> Arrived:
    return Arrived(topic(name, leaf), payload, **other)


def state_of(word: str = "online", **other: object) -> State:
    return msgspec.json.decode(state(word, **other), type=State)


def test_a_terminal_is_online_while_it_sends_and_silent_after_two_and_a_half_heartbeats() -> None:
    online = state_of()
    assert presence(online, 10, 500) is Presence.ONLINE
    assert presence(online, SILENT_AFTER_S + 1, 500) is Presence.SILENT
    assert presence(online, None, 20) is Presence.CLAIMED, "the broker retains it, nothing proves it yet"
    assert presence(online, None, SILENT_AFTER_S + 1) is Presence.SILENT
    assert presence(state_of("lost"), 1, 500) is Presence.LOST
    assert presence(state_of("closing"), 1, 500) is Presence.CLOSED
    assert presence(None, None, 500) is Presence.UNKNOWN


def test_a_late_will_belongs_to_an_earlier_connection() -> None:
    now = state_of(run="r2", connection=3, mono_ms=9000)
    assert not is_newer(now, state_of("lost", run="r2", connection=2, mono_ms=7000))
    assert is_newer(now, state_of("lost", run="r2", connection=3, mono_ms=9000))
    assert not is_newer(now, state_of("lost", run="r1", connection=9, mono_ms=4000)), "an earlier run of this boot"
    assert not is_newer(now, state_of("lost", boot="ffffffff", at="2026-11-23T08:00:00.000+08:00", run="r0"))
    assert is_newer(now, state_of("online", boot="ffffffff", run="r9"))


def test_a_birth_that_the_broker_retained_proves_a_terminal_only_while_it_is_fresh() -> None:
    for age_s, wanted in ((60, Presence.ONLINE), (4000, Presence.CLAIMED)):
        stations = Stations(BEGIN)
        at = (BEGIN.wall - timedelta(seconds=age_s)).isoformat(timespec="milliseconds")
        stations.receive(of("state", state(at=at), retained=True), BEGIN)
        (view,) = stations.by_urgency(after(1))
        assert view.presence(after(1)) is wanted
    stations.receive(of("heartbeat", heartbeat()), after(2))
    assert view.presence(after(3)) is Presence.ONLINE


def test_the_highest_number_is_shown_never_the_latest_to_arrive() -> None:
    stations = Stations(BEGIN)
    stations.receive(of("device/printer/main", device(9, "faulty")), BEGIN)
    stations.receive(of("device/printer/main", device(4, "working"), late=True), BEGIN)
    (view,) = stations.views.values()
    assert [d.seq for d in view.problems] == [9]


def dead_clock(body: bytes, **other: object) -> bytes:
    """The body as sent by a terminal whose clock shows 1970."""
    changed = {**msgspec.json.decode(body), "at": "1970-01-01T08:00:05.000+08:00", "clock": "unsynced", **other}
    return msgspec.json.encode(changed)


def test_a_terminal_with_a_dead_clock_is_shown_by_the_countys_clock() -> None:
    stations = Stations(BEGIN)
    one_capture = dead_clock(capture(1), mono_ms=1000, end_mono_ms=1000)
    stations.receive(of("scan", dead_clock(scan(), captures=[msgspec.json.decode(one_capture)])), BEGIN)
    stations.receive(of("state", dead_clock(state())), after(1))
    (one,) = stations.views.values()
    assert one.last_scan is not None and one.scanned_at is None, "unknown until a heartbeat"
    assert one.state_at == "2026-11-24T01:00:01.000+00:00", "when it was received"
    stations.receive(of("heartbeat", dead_clock(heartbeat(), mono_ms=31_000)), after(60))
    assert one.scanned_at == after(30).wall
    stations.receive(of("heartbeat", dead_clock(heartbeat(), boot="ffffffff", mono_ms=5000)), after(90))
    assert one.scanned_at == after(30).wall, "of another boot"


def test_stations_that_need_attention_come_first() -> None:
    stations = Stations(BEGIN)
    stations.receive(of("state", state()), BEGIN)
    stations.receive(of("state", state("lost", name=OTHER), name=OTHER), BEGIN)
    assert [view.terminal.name for view in stations.by_urgency(BEGIN)] == [OTHER, NAME]


@given(
    st.sampled_from(["state", "heartbeat", "device/a/b", "standard", "scan", "x"]),
    st.binary() | st.sampled_from([b"[" * 99_999]),
)
def test_hostile_bytes_are_ignored(leaf: str, payload: bytes) -> None:
    Stations(BEGIN).receive(of(leaf, payload), BEGIN)


@given(st.text())
def test_a_scanned_text_cannot_control_the_terminal_window(text: str) -> None:
    assert all(c.isprintable() for c in _printable(text))


def shown(lang: Lang, *messages: Arrived) -> str:
    view = WatchScreen(SystemClock(), lang, console=Console(file=io.StringIO(), width=200))
    for message in messages:
        view.stations.receive(message, view._now())
    out = io.StringIO()
    Console(file=out, width=200).print(view.render(None))
    return out.getvalue()


@pytest.mark.parametrize(
    ("lang", "words"),
    [("zh", ("桂BRS0001B", "在线", "打印机没有纸了", "请在纸盒里放入", "模拟", "6901234567892", "标准站")),
     ("en", ("桂BRS0001B", "online", "out of paper", "simulated", "6901234567892", "standard station"))],
)  # fmt: skip
def test_a_station_is_shown_in_the_catalogues_words(lang: Lang, words: tuple[str, ...]) -> None:
    text = shown(
        lang,
        of("state", state(), simulated=True),
        of("device/printer/main", device(2, "faulty", reason="paper_out")),
        of("scan", scan(capture(3))),
    )
    for one in words:
        assert one in text.replace("\n", ""), text


async def test_once_prints_a_snapshot_of_the_brokers_retained_messages(broker: Broker) -> None:
    probe = Probe(broker)
    async with probe.on():
        await probe.send(
            "state", state(at=datetime.now(UTC).isoformat(timespec="milliseconds")), retain=True, user=(SIMULATED,)
        )
        await probe.send("device/printer/main", device(1, "faulty", reason="paper_out"), retain=True)
        await probe.send("journal", journal(2))
        run = await asyncio.to_thread(
            subprocess.run,
            command("--lang", "zh", "watch", "--once", "1", "--broker", broker.address),
            capture_output=True,
            timeout=30,
            env={"COLUMNS": "200", "LANG": "C.UTF-8", "PYTHONIOENCODING": "utf-8"},
        )
    text = run.stdout.decode()
    assert run.returncode == 0, run.stderr
    for word in ("1 站", "桂BRS0001B", "在线", "没有纸", "模拟"):
        assert word in text, text


async def test_watch_only_subscribes(secured_broker: Broker) -> None:
    for name in ("watch", NAME):
        secured_broker.add_user(name, "x")
    view = WatchScreen(SystemClock(), "en", console=Console(file=io.StringIO(), width=200))
    probe = Probe(secured_broker, NAME)
    async with asyncio.TaskGroup() as group, probe.on():
        run = group.create_task(view.run(Probe(secured_broker, "watch")._address, 2))
        await probe.until(lambda: not view._link_error)
        await probe.send("state", state())
        await run
    assert [view.terminal.name for view in view.stations.views.values()] == [NAME]
