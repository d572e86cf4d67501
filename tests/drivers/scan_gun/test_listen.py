"""`listen` on real descriptors: a pseudo-terminal as serial gun."""

import asyncio
import os
import pty
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.delivered import Captures

from drivers.reading import Condition, DriverError
from drivers.scan_gun.capture import RawCapture
from drivers.scan_gun.decoding.framing import Framer, Framing
from drivers.scan_gun.driver import ScanGun
from drivers.scan_gun.sources.reader import boottime_ms
from drivers.scan_gun.sources.serial_port import SerialDecoder

ROOT = Path("/")


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


async def test_stopped_in_mid_scan_reports_what_was_read(gun, tmp_path):
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
    def fail(capture: RawCapture) -> None:
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


def test_bytes_that_were_read_late_are_not_taken_for_silence():
    for quiet, texts in ((False, ["690123456"]), (True, ["690123", "456"])):
        decoder = SerialDecoder(Framer("s", "x", "serial", Framing(suffix="none"), stamped=False))
        captures = decoder.feed(b"690123", 1000)
        captures += decoder.quiet(1255) if quiet else []
        captures += decoder.feed(b"456", 1400) + decoder.quiet(9000)
        assert [c.text for c in captures] == texts


def test_a_byte_with_a_parity_error_damages_its_scan():
    decoder = SerialDecoder(Framer("s", "x", "serial", Framing()), marked=True)
    captures = decoder.feed(b"69\xff", 1) + decoder.feed(b"\0", 2) + decoder.feed(b"X1\r2\xff\xff\r", 3)
    assert [c.damage for c in captures] == ["line_error", "undecodable"]  # FF FF is one FF, which is no GB18030


@pytest.mark.parametrize(("acknowledge", "sign"), [("bel", b"\x07"), ("ack", b"\x06"), ("none", b"")])
async def test_a_serial_gun_gets_its_configured_acknowledgement_when_its_scan_is_stored(
    gun, listening, acknowledge, sign
):
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


async def test_acknowledging_a_gun_whose_line_is_stuck_or_gone_does_not_block(gun, listening):
    table, _, changed = listening(acknowledge="ack")
    table.confirm()  # not open yet
    await opened(table)
    for _ in range(100_000):  # the other end is not read: its buffer is full long before
        table.confirm()
    gun.unplug()
    changed.set()
    table.confirm()
