"""A connection after the other, with full jitter between the tries."""

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple

from common.mqtt.connection import Ears, Wire
from common.mqtt.errors import LinkLost, Refused, Trouble
from common.mqtt.session import Broker, Session


class Retry(NamedTuple):
    """Full jitter: before try n, wait anything from 0 to min(cap, first * 2**n)."""

    first_s: float = 1
    cap_s: float = 30


async def stay_connected(
    broker: Broker, session: Callable[[], Session], ears: Ears, rng: random.Random, retry: Retry = Retry(),
    on_failure: Callable[[Trouble], None] = lambda _why: None,
) -> None:  # fmt: skip
    """Until cancelled (the connection then goes with DISCONNECT): a connection after the other.

    `failed` is told why no connection came about. One that lasted half a minute begins the waits anew; one that was taken
    over by another client of the same id waits the longest, so that two of them do not kick each other each second.
    """
    failures = 0
    while True:
        wire = Wire(broker, session(), ears)
        try:
            await wire.open()
            began = asyncio.get_running_loop().time()
            await asyncio.shield(wire.closed)
            lasted = asyncio.get_running_loop().time() - began
            failures = 0 if lasted > retry.cap_s else failures + 1
        except (LinkLost, Refused) as error:
            failures += 1
            on_failure(error.trouble)
        finally:
            wire.close()
        longest = retry.cap_s if wire.taken_over else min(retry.cap_s, retry.first_s * 2 ** min(failures, 16))
        await asyncio.sleep(rng.uniform(retry.cap_s / 2 if wire.taken_over else 0, longest))
