"""Keeps a connection to the broker: reconnects after backoff with full jitter."""

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple

from common.mqtt.connection import Listener, MqttConnection
from common.mqtt.errors import LinkLost, LinkProblem, Rejected
from common.mqtt.session import BrokerAddress, ConnectOptions


class Retry(NamedTuple):
    """Full jitter: before try n, wait a random time from 0 to min(cap, first * 2**n)."""

    first_s: float = 1
    cap_s: float = 30


async def stay_connected(
    broker: BrokerAddress,
    options: Callable[[], ConnectOptions],
    listener: Listener,
    rng: random.Random,
    retry: Retry = Retry(),
    on_failure: Callable[[LinkProblem], None] = lambda _why: None,
) -> None:
    """Connect and reconnect until cancelled (then with DISCONNECT).

    `on_failure` is called with the reason of each failed attempt. A connection that lasted longer than `cap_s` resets the
    backoff. After a session takeover the wait is the longest, so that two clients of one id do not take over from each
    other every second.
    """
    failures = 0
    while True:
        connection = MqttConnection(broker, options(), listener)
        try:
            await connection.open()
            began = asyncio.get_running_loop().time()
            await asyncio.shield(connection.closed)
            lasted = asyncio.get_running_loop().time() - began
            failures = 0 if lasted > retry.cap_s else failures + 1
        except (LinkLost, Rejected) as error:
            failures += 1
            on_failure(error.problem)
        finally:
            connection.close()
        longest = (
            retry.cap_s if connection.session_takeover else min(retry.cap_s, retry.first_s * 2 ** min(failures, 16))
        )
        await asyncio.sleep(rng.uniform(retry.cap_s / 2 if connection.session_takeover else 0, longest))
