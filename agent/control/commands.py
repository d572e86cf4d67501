"""Commands of the console over MQTT: a short list, none runs a shell, each executed once.

Accepted only over authenticated TLS or loopback, never retained, with a message expiry of 60 s at most, with correlation data
and the own `reply` topic as response topic; ids are remembered, so a repeated delivery is answered once. One command is executed
after another (`measure` may take 45 s); `MAX_WAITING` may wait for that, and the next one is answered with an error.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from agent.devices.checks import Checks
from agent.devices.state import device_json
from agent.host.log import recent_lines
from agent.outbox.stamps import stamped
from agent.uplink.connection import Incoming
from agent.uplink.link import Link
from common.clock import Clock
from common.messages import LONGEST_EXPIRY_S, Command, Reply, topic
from common.mqtt.errors import LinkLost, Rejected
from drivers.catalogue import Lang
from drivers.reading import YinongError

log = logging.getLogger(__name__)

CommandHandler: TypeAlias = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
REMEMBERED = 1000
MAX_LOG_LINES = 100
MAX_WAITING = 16  # each may take 45 s, and a console waits for a minute


class _Request(NamedTuple):
    """A command that waits to be executed."""

    name: str
    command: Command
    correlation: bytes | None
    expires_mono_ms: int


class Commands:
    """Reads `packets` (`agent.uplink.inbox`) and answers them over the link. `run` belongs in the daemon's task group."""

    def __init__(
        self,
        name: str,
        handlers: Mapping[str, CommandHandler],
        clock: Clock,
        link: Link,
        packets: asyncio.Queue[Incoming],
        *,
        trusted_link: bool,
    ) -> None:
        self._name, self._handlers, self._clock, self._trusted = name, handlers, clock, trusted_link
        self._link, self._packets = link, packets
        self._waiting: asyncio.Queue[_Request] = asyncio.Queue(MAX_WAITING)
        self._seen: OrderedDict[str, None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Commands that wait to be executed."""
        return self._waiting.qsize()

    async def run(self) -> None:
        """Until cancelled. What cannot be queued is answered while another command is executed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue_packets())
            group.create_task(self._execute_queued())

    def refusal(self, packet: Incoming) -> str | None:
        """Why the packet is not accepted; None if it is."""
        if not self._trusted:
            return "the link is neither authenticated TLS nor loopback"
        if packet.retained:
            return "a command must not be retained"
        if packet.expiry_s is None or packet.expiry_s > LONGEST_EXPIRY_S:
            return f"a command needs a message expiry of {LONGEST_EXPIRY_S} s at most"
        if packet.response_topic != topic(self._name, "reply"):
            return "the response topic must be the terminal's own reply topic"
        if not packet.correlation:
            return "correlation data is missing"
        return None

    def enqueue(self, packet: Incoming) -> Reply | None:
        """Queue the command. Returns the reply if the queue is full; None if it is queued, refused (and logged) or known.

        The id of a command that is not queued is not used up: it may be sent again.
        """
        name = packet.topic.rsplit("/", 1)[-1]
        if why := self.refusal(packet):
            log.warning("command %s refused: %s", name, why)
            return None
        try:
            command = msgspec.json.decode(packet.payload, type=Command)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            log.warning("command %s refused: %s", name, error)
            return None
        if command.id in self._seen:
            return None
        expires_mono_ms = self._clock.mono_ms() + (packet.expiry_s or 0) * 1000
        request = _Request(name, command, packet.correlation, expires_mono_ms)
        if self._waiting.full():
            log.warning("command %s refused: %d commands are waiting", name, MAX_WAITING)
            return self._reply(request, error=f"busy: {MAX_WAITING} commands are waiting; send it again later")
        self._seen[command.id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        self._waiting.put_nowait(request)
        return None

    async def execute_next(self) -> tuple[Reply, bytes | None]:
        """Execute the oldest queued command, or wait for one; returns the reply with its correlation data."""
        request = await self._waiting.get()
        handler = self._handlers.get(request.name)
        if self._clock.mono_ms() > request.expires_mono_ms:  # nobody waits for it any more (MQTT 5, 3.3.2.3.3)
            reply = self._reply(request, error="expired while other commands were executed; send it again")
        elif handler is None:
            reply = self._reply(request, error=f"unknown command; known: {', '.join(self._handlers)}")
        else:
            try:
                reply = self._reply(request, answer=await handler(request.command.options))
            except YinongError as error:
                reply = self._reply(request, error=str(error))
            except Exception as error:  # a bug must not let the console end the daemon
                log.exception("command %s failed", request.name)
                reply = self._reply(request, error=f"{type(error).__name__}: {error}"[:300])
        return reply, request.correlation

    async def _queue_packets(self) -> None:
        while True:
            packet = await self._packets.get()
            if reply := self.enqueue(packet):
                await self._send(reply, packet.correlation)

    async def _execute_queued(self) -> None:
        while True:
            await self._send(*await self.execute_next())

    async def _send(self, reply: Reply, correlation: bytes | None) -> None:
        try:
            await self._link.publish("reply", msgspec.json.encode(reply), correlation=correlation)
        except (LinkLost, Rejected) as error:
            log.warning("the reply to %s is lost: %s", reply.command, error)

    def _reply(self, request: _Request, answer: dict[str, Any] | None = None, error: str = "") -> Reply:
        return Reply(
            **stamped(self._clock),
            id=request.command.id,
            command=request.name,
            ok=not error,
            answer=answer or {},
            error=error,
        )


def county_commands(checks: Checks, status: Callable[[Lang], Awaitable[dict[str, Any]]]) -> dict[str, CommandHandler]:
    """The commands that the county may send, by name. There are no others."""

    async def check(options: dict[str, Any]) -> dict[str, Any]:
        report = await checks.check(options.get("device"), "zh")
        return {
            "devices": {f"{d['class']}/{d['id']}": [d["condition"], d["reason"]] for d in report["devices"]},
            "standard": {item["item"]: item["verdict"] for item in report["standard"]},
        }

    async def measure(_options: dict[str, Any]) -> dict[str, Any]:
        device = device_json(await checks.measure(), "zh")
        return {name: device[name] for name in ("condition", "reason", "measures")}

    async def log_lines(options: dict[str, Any]) -> dict[str, Any]:
        lines = options.get("lines", MAX_LOG_LINES)
        return {"lines": recent_lines(min(MAX_LOG_LINES, lines) if isinstance(lines, int) else MAX_LOG_LINES)}

    async def short_status(_options: dict[str, Any]) -> dict[str, Any]:
        whole = await status("zh")
        return {name: whole[name] for name in ("version", "link", "outbox", "flash")}

    return {"check": check, "measure": measure, "log": log_lines, "status": short_status}
