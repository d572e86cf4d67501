"""What a grabbed gun typed is repeated: in order, immediately, and never read by the agent itself."""

import asyncio
import os
import time
from pathlib import Path

from evdev import ecodes as e

from drivers.catalogue import reason_codes
from drivers.scan_gun.decoding.framing import Framer, Framing
from drivers.scan_gun.identity import PASS_THROUGH_NAME, at_path, candidates
from drivers.scan_gun.session import read_until_gone
from drivers.scan_gun.sources.evdev import EVENT, EvdevDecoder
from drivers.scan_gun.sources.pass_through import PassThrough

KEYBOARD = "10000 7 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe"
LATER_S = 4_000_000_000


def events(data: bytes) -> list[tuple[int, int, int]]:
    return [(kind, code, value) for _, _, kind, code, value in EVENT.iter_unpack(data)]


def test_keys_and_reports_go_on_in_order_and_nothing_else(typist):
    written: list[bytes] = []
    gun = typist().type("aB\n")
    raw = gun.event(e.EV_LED, e.LED_CAPSL, 1).raw()
    again = PassThrough(written.append)
    for at in range(0, len(raw), 24 * 5):
        again(raw[at : at + 24 * 5])
    assert events(b"".join(written)) == [(k, c, v) for _, k, c, v in gun.events if k in (e.EV_KEY, e.EV_SYN)]


def test_a_key_whose_way_up_was_lost_is_let_go(typist):
    written: list[bytes] = []
    gun = typist().edge(e.KEY_LEFTSHIFT, 1).edge(e.KEY_A, 1).edge(e.KEY_A, 0)
    gun.event(e.EV_SYN, e.SYN_DROPPED, 0).key(e.KEY_B)
    PassThrough(written.append)(gun.raw())
    typed = [(c, v) for k, c, v in events(b"".join(written)) if k == e.EV_KEY]
    assert typed == [
        (e.KEY_LEFTSHIFT, 1),
        (e.KEY_A, 1),
        (e.KEY_A, 0),
        (e.KEY_LEFTSHIFT, 0),
        (e.KEY_B, 1),
        (e.KEY_B, 0),
    ]


async def test_a_blocked_event_loop_does_not_hold_up_the_shops_program(typist):
    gun_end, agent_end = os.pipe()[::-1]
    shop_end, again = os.pipe()
    decoder = EvdevDecoder(Framer("w", "x", "evdev", Framing()), "ignore")
    task = asyncio.create_task(
        read_until_gone(agent_end, decoder, lambda c: None, PassThrough(lambda data: os.write(again, data)))
    )
    await asyncio.sleep(0)
    gun = typist(LATER_S, step_s=0).type("6901234567892\n")
    os.write(gun_end, gun.raw())
    os.set_blocking(shop_end, False)
    seen, deadline = b"", time.monotonic() + 10
    while len(seen) < 24 * 28 * 2 and time.monotonic() < deadline:  # the loop does not run in here
        try:
            seen += os.read(shop_end, 65536)
        except BlockingIOError:
            time.sleep(0.001)  # noqa: ASYNC251
    assert events(seen) == [(k, c, v) for _, k, c, v in gun.events if k in (e.EV_KEY, e.EV_SYN)]
    os.close(gun_end)
    await task
    for fd in (agent_end, shop_end, again):
        os.close(fd)


def test_a_virtual_keyboard_that_is_gone_stops_nothing(typist):
    def gone(data: bytes) -> None:
        raise OSError(19, "No such device")

    PassThrough(gone)(typist().type("1").raw())


def test_our_own_virtual_keyboard_is_never_read_again(tmp_path: Path):
    for name, phys in ((f"{PASS_THROUGH_NAME}: Honeywell 1900", ""), ("renamed barcode scanner", PASS_THROUGH_NAME)):
        root = tmp_path / (phys or "by-name")
        device = root / "sys/class/input/event7/device"
        (device / "capabilities").mkdir(parents=True)
        (device / "capabilities/key").write_text(KEYBOARD)
        (device / "name").write_text(name + "\n")
        (device / "phys").write_text(phys + "\n")
        (root / "dev/input").mkdir(parents=True)
        (root / "dev/input/event7").touch()
        assert candidates(root) == []
        assert at_path(root, "/dev/input/event7", None) is None
        (device / "name").write_text("Honeywell 1900\n")
        (device / "phys").write_text("usb-0000:00:14.0-2/input0\n")
        assert len(candidates(root)) == 1 and at_path(root, "/dev/input/event7", None)


def test_a_gun_that_cannot_be_passed_on_is_reported():
    assert "not_passed_on" in reason_codes("scan_gun")
