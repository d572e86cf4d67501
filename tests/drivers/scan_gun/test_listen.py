"""`listen` on real descriptors: a pseudo-terminal as serial gun, a pipe as the event node of a wedge."""

import asyncio
import os
import pty
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from evdev import ecodes as e

from drivers.reading import Condition, DriverError
from drivers.scan_gun.capture import Capture
from drivers.scan_gun.driver import ScanGun, read_until_gone
from drivers.scan_gun.evdev_source import EvdevDecoder
from drivers.scan_gun.framing import Framer, Framing
from drivers.scan_gun.reader import boottime_ms
from drivers.scan_gun.serial_source import SerialDecoder

ROOT = Path("/")
LATER_S = boottime_ms() / 1000 + 100_000  # stamps that no silence of this machine reaches, however slowly a test runs


class Captures(list[Capture]):
    """What was delivered, and waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()
        self.threads: set[int] = set()

    def deliver(self, capture: Capture) -> None:
        self.append(capture)
        self.threads.add(threading.get_ident())
        self._more.set()

    async def number(self, number: int) -> list[Capture]:
        async with asyncio.timeout(20):
            while len(self) < number:
                self._more.clear()
                await self._more.wait()
        return self


async def opened(gun: ScanGun, changed: asyncio.Event | None = None) -> None:
    """Until `listen` has the gun open."""
    async with asyncio.timeout(20):
        while True:
            try:
                if (await gun.look(ROOT)).measures["openings"]:
                    return
            except DriverError:
                pass
            await asyncio.sleep(0.01)


class SerialGun:
    """The gun's end of a pseudo-terminal; `link` is the by-id link that udev would make."""

    def __init__(self, link: Path) -> None:
        self._link = link
        self.plug()

    def plug(self) -> None:
        self.end, other = pty.openpty()
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(os.ttyname(other))
        self._other = other

    def send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.end, data) :]

    def unplug(self) -> None:
        self._link.unlink(missing_ok=True)
        os.close(self._other)
        os.close(self.end)


@pytest.fixture
def gun(tmp_path: Path) -> AsyncIterator[SerialGun]:
    made = SerialGun(tmp_path / "usb-Newland_HR-if00")
    yield made
    try:
        made.unplug()
    except OSError:
        pass


@pytest.fixture
async def listening(gun: SerialGun, tmp_path: Path) -> AsyncIterator[Callable[..., None]]:
    tasks: list[asyncio.Task[None]] = []

    def start(**options: object) -> tuple[ScanGun, Captures, asyncio.Event]:
        table = ScanGun(id="g1", port=str(tmp_path / "usb-Newland_HR-if00"), **options)  # type: ignore[arg-type]
        captures, changed = Captures(), asyncio.Event()
        tasks.append(asyncio.create_task(table.listen(ROOT, captures.deliver, changed)))
        return table, captures, changed

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_serial_gun_text_in_capture_out(gun, listening):
    table, captures, _ = listening()
    await opened(table)
    before = boottime_ms()
    gun.send("桂AB1234".encode("gbk") + b"\r\n\x1d01\x1d\r\n")
    first, second = await captures.number(2)
    assert (first.text, first.charset, first.source, first.gun) == ("桂AB1234", "gb18030", "serial", "g1")
    assert second.text == "\x1d01\x1d"
    assert before <= first.start_mono_ms <= first.end_mono_ms <= boottime_ms()
    assert captures.threads == {threading.get_ident()}
    reading = await table.look(ROOT)
    assert (reading.condition, reading.reason.code) == (Condition.WORKING, "ready")
    assert reading.measures == {"captures": 2, "damaged_captures": 0, "openings": 1}


async def test_what_the_gun_sent_before_it_was_opened_is_not_thrown_away(gun, listening):
    gun.send(b"6901234567892\r")
    _, captures, _ = listening()
    assert [c.text for c in await captures.number(1)] == ["6901234567892"]


async def test_every_byte_value_comes_through_the_line_discipline(gun, listening):
    table, captures, _ = listening(charset="iso-8859-1", suffix="\r\n")
    await opened(table)
    data = bytes(range(256)) + b"\xff\xff\0"
    gun.send(data + b"\r\n")
    (capture,) = await captures.number(1)
    assert capture.text.encode("latin-1") == data
    assert capture.raw == (data + b"\r\n").hex()


async def test_silence_ends_a_scan_without_a_terminator(gun, listening):
    table, captures, _ = listening(suffix="none")
    await opened(table)
    gun.send(b"6901234567892")
    assert [c.text for c in await captures.number(1)] == ["6901234567892"]


async def test_unplugged_in_mid_scan_is_a_damaged_capture(gun, listening):
    table, captures, _ = listening()
    await opened(table)
    gun.send(b"1\r690123")  # one write is one read: with the first scan the half of the second has come
    await captures.number(1)
    gun.unplug()
    _, capture = await captures.number(2)
    assert (capture.text, capture.seen, capture.damage) == ("", "690123", "unplugged")
    with pytest.raises(DriverError) as absent:
        await table.look(ROOT)
    assert absent.value.reading.reason.code == "not_connected"


async def test_a_replugged_gun_is_read_again_without_polling(gun, listening):
    table, captures, changed = listening()
    await opened(table)
    gun.send(b"1\r")
    await captures.number(1)
    gun.unplug()
    gun.plug()
    changed.set()
    gun.send(b"2\r")
    assert [c.text for c in await captures.number(2)] == ["1", "2"]


async def test_stopped_in_mid_scan_tells_of_what_was_seen(gun, tmp_path):
    table, captures = ScanGun(id="g2", port=str(tmp_path / "usb-Newland_HR-if00")), Captures()
    before = threading.active_count()
    task = asyncio.create_task(table.listen(ROOT, captures.deliver, asyncio.Event()))
    await opened(table)
    gun.send(b"1\r690")
    await captures.number(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(c.text, c.seen, c.damage) for c in captures] == [("1", "", None), ("", "690", "stopped")]
    assert threading.active_count() == before


async def test_a_deliver_that_fails_ends_the_listening(gun, tmp_path):
    def fail(capture: Capture) -> None:
        raise OSError("disk full")

    table = ScanGun(id="g3", port=str(tmp_path / "usb-Newland_HR-if00"))
    task = asyncio.create_task(table.listen(ROOT, fail, asyncio.Event()))
    await opened(table)
    gun.send(b"1\r2\r")
    with pytest.raises(OSError, match="disk full"):
        async with asyncio.timeout(10):
            await task


async def test_a_port_that_another_program_holds(gun, listening, tmp_path):
    table, _, _ = listening()
    await opened(table)
    other = ScanGun(id="other", port=table.port)
    task = asyncio.create_task(other.listen(ROOT, lambda c: None, asyncio.Event()))
    codes: list[str] = []
    async with asyncio.timeout(10):
        while "held_by_other" not in codes:
            try:
                await other.look(ROOT)
            except DriverError as error:
                codes.append(error.reading.reason.code)
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_gun_that_no_table_names_is_never_opened(gun, tmp_path):
    task = asyncio.create_task(ScanGun(id="any").listen(ROOT, lambda c: None, asyncio.Event()))
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def wedge(opened_ms: int | None = None) -> EvdevDecoder:
    return EvdevDecoder(Framer("w1", "usb:0c2e:1", "evdev", Framing()), "ignore", opened_ms)


async def test_a_loop_blocked_for_two_seconds_loses_nothing_at_gun_speed(typist):
    read, write = os.pipe()
    captures = Captures()
    task = asyncio.create_task(read_until_gone(read, wedge(), captures.deliver))
    await asyncio.sleep(0)
    codes = [f"69012345{n:05}" for n in range(40)]

    def type_at_gun_speed() -> None:
        gun = typist(LATER_S, step_s=0.001)
        for code in codes:
            data = gun.type(code + "\n").raw()
            gun.events.clear()
            for at in range(0, len(data), 24 * 6):
                os.write(write, data[at : at + 24 * 6])
                time.sleep(0.003)
        os.close(write)

    gun = threading.Thread(target=type_at_gun_speed)
    gun.start()
    time.sleep(2)  # noqa: ASYNC251 - this is the stall
    await captures.number(40)
    gun.join()
    assert await task == "end of file"
    os.close(read)
    assert [(c.text, c.damaged) for c in captures] == [(code, False) for code in codes]


async def test_a_pipe_that_stays_full_is_emptied_while_the_loop_is_blocked(typist):
    read, write = os.pipe()
    os.set_blocking(write, False)
    captures = Captures()
    task = asyncio.create_task(read_until_gone(read, wedge(), captures.deliver))
    await asyncio.sleep(0)
    data = typist(LATER_S, step_s=0).type("6901234567892\n" * 100).raw()
    assert len(data) > 65536  # more than the pipe holds
    deadline = time.monotonic() + 10
    while data and time.monotonic() < deadline:  # the loop does not run in here
        try:
            data = data[os.write(write, data) :]
        except BlockingIOError:
            time.sleep(0.001)  # noqa: ASYNC251
    assert not data
    assert [c.text for c in await captures.number(100)] == ["6901234567892"] * 100
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    os.close(read), os.close(write)


async def test_two_wedges_at_once_do_not_mix(typist):
    pipes = [os.pipe(), os.pipe()]
    found = [Captures(), Captures()]
    tasks = [
        asyncio.create_task(read_until_gone(read, wedge(), captures.deliver))
        for (read, _), captures in zip(pipes, found, strict=True)
    ]
    texts = ["6901111111111", "ABCDEFGHIJKLM"]
    raws = [typist(LATER_S, step_s=0).type(text + "\n").raw() for text in texts]
    for at in range(0, max(map(len, raws)), 24):
        for (_, write), raw in zip(pipes, raws, strict=True):
            os.write(write, raw[at : at + 24])
    for captures, text in zip(found, texts, strict=True):
        assert [c.text for c in await captures.number(1)] == [text]
    for _, write in pipes:
        os.close(write)
    await asyncio.gather(*tasks)
    for read, _ in pipes:
        os.close(read)


def test_a_scan_that_begins_as_the_node_is_opened_may_lack_its_front(typist):
    gun = typist(10.02).type("4567892\n6901234567892\n")
    first, second = wedge(10_000).feed(gun.raw(), 0)
    assert (first.damage, second.text) == ("opened_mid_scan", "6901234567892")
    (capture,) = wedge(9_000).feed(typist(10.02).type("4567892\n").raw(), 0)
    assert not capture.damaged


def test_half_an_event_waits_for_its_other_half(typist):
    raw = typist().type("aB1\n").raw()
    for size in (1, 7, 24, 25, 100):
        decoder = wedge()
        captures = [c for at in range(0, len(raw), size) for c in decoder.feed(raw[at : at + size], 0)]
        assert [c.text for c in captures] == ["aB1"]


def test_leds_switched_on_are_put_out_again():
    decoder, calls = wedge(), []
    decoder.when_lit = lambda: calls.append(1)
    decoder.event(0, e.EV_LED, e.LED_CAPSL, 1)
    decoder.event(0, e.EV_LED, e.LED_CAPSL, 0)
    assert calls == [1]


def test_bytes_that_were_read_late_are_not_taken_for_silence():
    for told, texts in ((False, ["690123456"]), (True, ["690123", "456"])):
        decoder = SerialDecoder(Framer("s", "x", "serial", Framing(suffix="none"), stamped=False))
        captures = decoder.feed(b"690123", 1000)
        captures += decoder.quiet(1255) if told else []
        captures += decoder.feed(b"456", 1400) + decoder.quiet(9000)
        assert [c.text for c in captures] == texts


def test_a_byte_with_a_parity_error_damages_its_scan():
    decoder = SerialDecoder(Framer("s", "x", "serial", Framing()), marked=True)
    captures = decoder.feed(b"69\xff", 1) + decoder.feed(b"\0", 2) + decoder.feed(b"X1\r2\xff\xff\r", 3)
    assert [c.damage for c in captures] == ["line_error", "undecodable"]  # FF FF is one FF, which is no GB18030


@pytest.mark.parametrize(("acknowledge", "sign"), [("bel", b"\x07"), ("ack", b"\x06"), ("none", b"")])
async def test_a_serial_gun_is_told_what_its_table_says_when_its_scan_is_kept(gun, listening, acknowledge, sign):
    table, captures, _ = listening(acknowledge=acknowledge)
    await opened(table)
    gun.send(b"1\r")
    await captures.number(1)
    os.set_blocking(gun.end, False)
    with pytest.raises(BlockingIOError):
        os.read(gun.end, 10)  # not before
    table.confirm()
    os.set_blocking(gun.end, bool(sign))
    if sign:
        assert os.read(gun.end, 10) == sign
    else:
        with pytest.raises(BlockingIOError):
            os.read(gun.end, 10)


async def test_telling_a_gun_whose_line_is_stuck_or_gone_waits_for_nothing(gun, listening):
    table, _, changed = listening(acknowledge="ack")
    table.confirm()  # not open yet
    await opened(table)
    for _ in range(100_000):  # nobody reads the other end: its buffer is full long before
        table.confirm()
    gun.unplug()
    changed.set()
    table.confirm()
