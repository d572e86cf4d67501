"""How the configuration becomes a connection (address, TLS, connect options), and the terminal's own `state` messages.

`state` is `online` (the birth, on every connect), `closing` (a clean stop) or `lost` (the will).
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from agent.configuration.settings import Settings
from agent.observable import Observed
from agent.outbox.stamps import stamped
from agent.uplink.link import Link
from agent.uplink.tls import CountyTls
from common.clock import Clock
from common.messages import State, topic
from common.mqtt.session import BrokerAddress, ConnectOptions, Will

MAX_PACKET_SIZE = 65536  # commands and receipts are small


class Presence:
    """The link calls `connect_options` and `publish_birth`. `outbox` is the outbox id of this run's rows: it may change."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        run_id: str,
        version: str,
        fingerprint: str,
        outbox: str,
        export_key: Observed[str | None],
    ) -> None:
        self._settings, self._clock, self._run_id, self._version = settings, clock, run_id, version
        self._fingerprint, self._export_key = fingerprint, export_key
        self.outbox = outbox

    def connect_options(self, connection: int) -> ConnectOptions:
        """The connect options of the connection with this number, with its will."""
        return connect_options(self._settings, self._fingerprint, self._state("lost", connection))

    async def publish_birth(self, link: Link) -> None:
        """Raises LinkLost and Rejected."""
        await link.publish("state", self._state("online", link.state.connections), retain=True)

    def closing(self, connection: int) -> bytes:
        return self._state("closing", connection)

    def _state(self, state: Literal["online", "closing", "lost"], connection: int) -> bytes:
        terminal = self._settings.terminal
        state_message = State(
            **stamped(self._clock),
            state=state,
            run=self._run_id,
            outbox=self.outbox,
            fingerprint=self._fingerprint,
            connection=connection,
            version=self._version,
            division=terminal.division,
            number=str(terminal.number),
            terminal=terminal.terminal,
            export_key=self._export_key.value,
        )
        return msgspec.json.encode(state_message)


def tls_factory(
    settings: Settings, key_file: Path | None, certificates_after: Callable[[], datetime | None]
) -> CountyTls | None:
    """TLS to the county (`certificates_after` as in `agent.uplink.tls`); None if the configuration has `tls = false`."""
    broker = settings.broker
    return CountyTls(broker.ca_file, broker.cert_file, key_file, certificates_after) if broker.tls else None


def broker_address(settings: Settings, password: str | None, tls: CountyTls | None) -> BrokerAddress:
    """Address and credentials of the broker. The user name is the terminal's name."""
    return BrokerAddress(settings.broker.host, settings.broker.port, settings.terminal.name, password, tls)


def connect_options(settings: Settings, fingerprint: str, will: bytes) -> ConnectOptions:
    """The options of one connection. The client id is the terminal's name with its fingerprint, so that two terminals cloned
    from one disk do not take over each other's session. The session is resumed: a reconnect within the will delay prevents
    the will."""
    broker, name = settings.broker, settings.terminal.name
    return ConnectOptions(
        client_id=f"{name}.{fingerprint[:8]}",
        keepalive_s=broker.keepalive_s,
        clean_start=False,
        expiry_s=broker.session_expiry_s,
        max_packet_size=MAX_PACKET_SIZE,
        connect_timeout_s=broker.connect_timeout_s,
        ack_timeout_s=broker.acknowledge_timeout_s,
        will=Will(topic(name, "state"), will, broker.will_delay_s),
    )


def commands_allowed(settings: Settings, password: str | None, key_file: Path | None) -> bool:
    """Whether commands are accepted over this link: authenticated TLS, or a broker on this machine."""
    return settings.broker.loopback or (settings.broker.tls and (password is not None or key_file is not None))
