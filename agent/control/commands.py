"""Commands of the console over MQTT: a short list, none runs a shell, each asked once.

Taken only over authenticated TLS or loopback, never retained, with a message expiry of 60 s at most, with correlation data
and the own `reply` topic as response topic; ids are remembered, so a repeated delivery is answered once.
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from agent.outbox.stamps import stamped
from agent.uplink.connection import Incoming
from common.clock import Clock
from common.messages import Command, Reply, topic
from drivers.reading import YinongError

log = logging.getLogger(__name__)

Doer: TypeAlias = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
LONGEST_EXPIRY_S = 60
REMEMBERED = 1000


class Commands:
    """`take` judges an incoming packet and gives what is to be done, or None where it is refused (and logged)."""

    def __init__(self, name: str, doers: Mapping[str, Doer], clock: Clock, *, trusted_link: bool) -> None:
        self._name, self._doers, self._clock, self._trusted = name, doers, clock, trusted_link
        self._seen: OrderedDict[str, None] = OrderedDict()

    def refusal(self, packet: Incoming) -> str | None:
        """Why the packet is not taken; None where it is."""
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

    async def take(self, packet: Incoming) -> Reply | None:
        """Do the command and give the reply; None where it is refused, or was done already."""
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
        self._seen[command.id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        doer = self._doers.get(name)
        if doer is None:
            return self._reply(command, name, error=f"unknown command; known: {', '.join(self._doers)}")
        try:
            return self._reply(command, name, answer=await doer(command.options))
        except YinongError as error:
            return self._reply(command, name, error=str(error))
        except Exception as error:  # a bug must not let the console end the daemon
            log.exception("command %s failed", name)
            return self._reply(command, name, error=f"{type(error).__name__}: {error}"[:300])

    def _reply(self, command: Command, name: str, answer: dict[str, Any] | None = None, error: str = "") -> Reply:
        return Reply(
            **stamped(self._clock), id=command.id, command=name, ok=not error, answer=answer or {}, error=error
        )
