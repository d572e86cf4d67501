"""What the terminal says of itself on `state`: born with every connection, `closing` at a clean stop, `lost` by its will."""

from collections.abc import Callable
from typing import Literal

import msgspec

from agent.configuration.settings import Settings
from agent.outbox.stamps import stamped
from agent.uplink.call import session_of
from agent.uplink.link import Link
from common.clock import Clock
from common.messages import State
from common.mqtt.session import Session


class Presence:
    """`session` and `born` are what the link asks for. `outbox` is the id that this run's rows go under: it may change."""

    def __init__(
        self, settings: Settings, clock: Clock, run_id: str, version: str, fingerprint: str, outbox: str,
        export_key: Callable[[], str | None],
    ) -> None:  # fmt: skip
        self._settings, self._clock, self._run_id, self._version = settings, clock, run_id, version
        self._fingerprint, self._export_key = fingerprint, export_key
        self.outbox = outbox

    def session(self, connection: int) -> Session:
        """What the connection of this number asks for, with its will."""
        return session_of(self._settings, self._fingerprint, self._said("lost", connection))

    async def born(self, link: Link) -> None:
        """Raises LinkLost and Refused."""
        await link.publish("state", self._said("online", link.state.connections), retain=True)

    def closing(self, connection: int) -> bytes:
        return self._said("closing", connection)

    def _said(self, state: Literal["online", "closing", "lost"], connection: int) -> bytes:
        terminal = self._settings.terminal
        said = State(
            **stamped(self._clock), state=state, run=self._run_id, outbox=self.outbox, fingerprint=self._fingerprint,
            connection=connection, version=self._version, division=terminal.division, number=str(terminal.number),
            terminal=terminal.terminal, export_key=self._export_key(),
        )  # fmt: skip
        return msgspec.json.encode(said)
