"""Outbox, writer, link and delivery of one station, as the daemon puts them together, without its devices."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
from support.mqtt_county import County

from agent.observable import Observable
from agent.outbox.outbox import Outbox
from agent.outbox.stamps import draft, journal, sequenced
from agent.outbox.writer import Writer
from agent.uplink.connection import Incoming
from agent.uplink.delivery import Delivery, Pace
from agent.uplink.link import Link, LinkState
from agent.uplink.rejections import Rejection
from common.clock import Clock, SystemClock
from common.messages import Capture, Receipt
from common.mqtt.session import BrokerAddress, ConnectOptions, Will


class Endpoint(Protocol):
    """The address of a broker, or of a line to one."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


NAME = "450225-GXBRS0001B-1"


class RecordedState(Observable[LinkState]):
    """The link's state, and a list of its ups, downs and new reasons."""

    def __init__(self, value: LinkState) -> None:
        super().__init__(value)
        self.states: list[LinkState] = []

    def set(self, value: LinkState) -> None:
        before = self.value
        super().set(value)
        if (value.up, value.why) != (before.up, before.why):
            self.states.append(value)


class Station:
    """Outbox, writer, link and delivery, as the daemon puts them together."""

    def __init__(
        self,
        outbox: Outbox,
        broker: Endpoint,
        *,
        password: str | None = None,
        pace: Pace | None = None,
        puback_suffices: bool = False,
        ack_timeout_s: float = 5,
        keepalive_s: int = 30,
        client_id: str = f"{NAME}.f00d",
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.outbox = outbox
        self.writer = Writer(outbox)
        self.link_state = RecordedState(LinkState.at_start(self.clock))
        self.rejections: list[tuple[str, str]] = []
        self.incoming: asyncio.Queue[Incoming] = asyncio.Queue()

        will = Will(f"yinong/1/{NAME}/state", b'{"state":"lost"}', 2)
        session = ConnectOptions(
            client_id,
            clean_start=False,
            expiry_s=300,
            connect_timeout_s=5,
            ack_timeout_s=ack_timeout_s,
            will=will,
            keepalive_s=keepalive_s,
        )
        address = BrokerAddress(broker.host, broker.port, NAME if password else None, password)
        self.link = Link(
            NAME,
            SystemClock(),
            address,
            lambda _: session,
            self._publish_birth,
            self.incoming.put_nowait,
            self.link_state,
            backoff_first_s=0.05,
            backoff_cap_s=0.2,
            rng=random.Random(1),
        )
        self.delivery = Delivery(
            self.writer,
            self.link,
            self.clock,
            puback_suffices=puback_suffices,
            pace=pace or Pace(10_000_000),
            on_rejected=self._on_rejected,
        )
        self.writer.subscribe(self.delivery.on_commit)

    async def _publish_birth(self, link: Link) -> None:
        await link.publish("state", b'{"state":"online"}', retain=True)

    @property
    def states(self) -> list[LinkState]:
        return self.link_state.states

    async def _on_rejected(self, rejection: Rejection) -> None:
        self.rejections.append((rejection.leaf, rejection.problem.code))

    async def record(self, *texts: str) -> None:
        await self.writer.commit([journal(self.clock, "x", n=text) for text in texts])

    async def scan(self, *texts: str) -> None:
        """Captures, each of its own text."""
        await self.writer.commit([draft(self.clock, "scan", capture(self.clock, text)) for text in texts])

    async def _process_receipts(self) -> None:
        while True:
            packet = await self.incoming.get()
            if packet.topic.endswith("/receipt"):
                await self.delivery.on_receipt(msgspec.json.decode(packet.payload, type=Receipt), packet.retained)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            loops = (self.writer.run(), self.link.run(), self.delivery.run(), self._process_receipts())
            tasks = [group.create_task(loop) for loop in loops]
            yield
            for task in tasks:
                task.cancel()
        await self.link.close(b'{"state":"closing"}')


@asynccontextmanager
async def station(outbox: Outbox, broker: Endpoint, **options: object) -> AsyncIterator[Station]:
    one = Station(outbox, broker, **options)  # type: ignore[arg-type]
    async with one.running():
        yield one


async def until(condition: Callable[[], object], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  what is waited for has no event of its own
            await asyncio.sleep(0.01)


def numbers(county: County) -> list[str]:
    return [message.json["details"]["n"] for message in county.of("journal")]


def capture(clock: Clock, text: str, number: int = 1) -> Capture:
    return Capture(
        **sequenced(clock),
        gun="g",
        identity="i",
        number=number,
        source="serial",
        text=text,
        raw="",
        charset="ascii",
        charset_because="ascii",
        symbology=None,
        start_mono_ms=1,
        end_mono_ms=2,
    )
