"""Address and connect options of a connection, and their MQTT 5 packets: CONNECT, the will, the properties of a PUBLISH."""

import ssl
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

UserProperties: TypeAlias = Sequence[tuple[str, str]]


class BrokerAddress(NamedTuple):
    """Address of the broker, and our credentials."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: Callable[[], ssl.SSLContext] | None = None


class Will(NamedTuple):
    topic: str
    payload: bytes
    delay_s: int
    user: UserProperties = ()


class ConnectOptions(NamedTuple):
    """The options of a connection."""

    client_id: str
    keepalive_s: int = 30
    clean_start: bool = True
    expiry_s: int = 0
    receive_maximum: int = 20
    manual_ack: bool = False
    max_packet_size: int | None = None  # bytes that we accept; None: no limit
    connect_timeout_s: float = 7.5
    # a QoS 1 packet without an acknowledgement for this time: half open, or the broker hangs; the connection is ended
    ack_timeout_s: float = 20
    will: Will | None = None


def new_client(broker: BrokerAddress, options: ConnectOptions, tls: ssl.SSLContext | None) -> paho.Client:
    """A paho client for one connection: it does not reconnect, and has no inflight window."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        options.client_id,
        protocol=paho.MQTTv5,
        reconnect_on_failure=False,
        manual_ack=options.manual_ack,
    )
    if broker.username:
        client.username_pw_set(broker.username, broker.password)
    if tls:
        client.tls_set_context(tls)
    if will := options.will:
        properties = Properties(PacketTypes.WILLMESSAGE)
        properties.WillDelayInterval = will.delay_s
        if will.user:
            properties.UserProperty = list(will.user)
        client.will_set(will.topic, will.payload, qos=1, retain=True, properties=properties)
    client.max_inflight_messages = 0  # the callers keep the window
    client.connect_timeout = options.connect_timeout_s
    return client


def connect_properties(options: ConnectOptions) -> Properties:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = options.expiry_s
    properties.ReceiveMaximum = options.receive_maximum
    if options.max_packet_size:
        properties.MaximumPacketSize = options.max_packet_size
    return properties


def publish_properties(user: UserProperties, correlation: bytes | None) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)
    if user:
        properties.UserProperty = list(user)
    if correlation is not None:
        properties.CorrelationData = correlation
    return properties


def publish_size(topic: str, payload: bytes, properties: Properties) -> int:
    """Bytes of the QoS 1 PUBLISH (MQTT 5, 3.3): fixed header, topic, packet id, properties, payload."""
    packed = bytes(properties.pack())  # type: ignore[reportUnknownArgumentType]
    remaining = 2 + len(topic.encode()) + 2 + len(packed) + len(payload)
    return 1 + (1 if remaining < 1 << 7 else 2 if remaining < 1 << 14 else 3 if remaining < 1 << 21 else 4) + remaining
