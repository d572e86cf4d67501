"""Keyboard guns on real descriptors: a pipe as the event node of a wedge."""

import asyncio
import os
import threading
import time

from evdev import ecodes as e
from support.delivered import Captures

from drivers.scan_gun.decoding.framing import Framer, Framing
from drivers.scan_gun.driver import read_until_gone
from drivers.scan_gun.sources.evdev import EvdevDecoder
from drivers.scan_gun.sources.reader import boottime_ms

LATER_S = boottime_ms() / 1000 + 100_000  # stamps that no silence of this machine reaches, however slowly a test runs


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
    decoder.on_led_lit = lambda: calls.append(1)
    decoder.event(0, e.EV_LED, e.LED_CAPSL, 1)
    decoder.event(0, e.EV_LED, e.LED_CAPSL, 0)
    assert calls == [1]
