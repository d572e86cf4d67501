"""The thread that reads a gun, and the loop that receives what it read."""

import asyncio
import os
import threading
import time

from drivers.scan_gun.sources.reader import Bytes, Gone, Quiet, Reader

WRITES = 200


async def test_a_gun_that_types_faster_than_it_is_processed_does_not_block_the_loop() -> None:
    ours, guns = os.pipe()
    os.set_blocking(ours, False)
    received, turns, over = bytearray(), 0, asyncio.Event()

    def take(what: Bytes | Quiet | Gone) -> None:
        if isinstance(what, Bytes):
            time.sleep(0.004)  # twice as long as the gun takes
            received.extend(what.data)
        elif isinstance(what, Gone):
            over.set()

    def types() -> None:
        for _ in range(WRITES):
            os.write(guns, b"x")
            time.sleep(0.002)
        os.close(guns)

    reader = Reader(ours, asyncio.get_running_loop(), take)
    typing = threading.Thread(target=types)
    typing.start()
    while not over.is_set():
        turns += 1
        await asyncio.sleep(0)
    typing.join()
    reader.close()
    os.close(ours)
    assert received == b"x" * WRITES
    assert turns > WRITES / 10
