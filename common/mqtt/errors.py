"""Problems of a connection or a packet: a code, with the text of the kernel, the library or the broker as evidence.

Pure. The codes are used in status and journal; their texts, with remedies, are in `common/mqtt/error_texts.toml`. MQTT's reason
codes are those of MQTT 5, 2.4.

Two terminals under one name (decision 15), in three words:
  clone             a terminal made from a copy of our disk: same name, perhaps same client id and outbox id (code `twin`)
  session takeover  another client connected with our client id, and the broker ended our connection (0x8E, code `taken_over`)
  foreign outbox    an outbox id under our name that this terminal never had (code `namesake`)
"""

import errno
import socket
import ssl
from typing import NamedTuple

from drivers.reading import YinongError

NO_SUBSCRIBERS = 0x10
UNSPECIFIED, IMPLEMENTATION_SPECIFIC, NOT_AUTHORIZED = 0x80, 0x83, 0x87
KEEPALIVE_TIMEOUT = 0x8D
SESSION_TAKEN_OVER = 0x8E  # another client came with this client id
TOPIC_NAME_INVALID, PACKET_TOO_LARGE, QUOTA_EXCEEDED, PAYLOAD_FORMAT_INVALID = 0x90, 0x95, 0x97, 0x99
RETAIN_NOT_SUPPORTED, QOS_NOT_SUPPORTED = 0x9A, 0x9B

_CONNACK = {
    0x84: "wrong_version", 0x85: "client_id_refused", 0x86: "not_admitted", NOT_AUTHORIZED: "not_admitted",
    0x88: "server_unavailable", 0x89: "server_busy", 0x8A: "banned", 0x8B: "server_stopping",
    KEEPALIVE_TIMEOUT: "keepalive_timeout", SESSION_TAKEN_OVER: "taken_over", PACKET_TOO_LARGE: "packet_too_large",
    0x96: "rate_exceeded", QUOTA_EXCEEDED: "quota_exceeded", 0x98: "disconnected_by_operator",
    RETAIN_NOT_SUPPORTED: "retain_not_supported", QOS_NOT_SUPPORTED: "qos_not_supported",
    0x9C: "use_another_server", 0x9D: "use_another_server", 0x9F: "rate_exceeded", 0xA0: "disconnected_by_operator",
}  # fmt: skip
_PUBACK = {
    NO_SUBSCRIBERS: "nobody_listens", NOT_AUTHORIZED: "row_not_authorized", TOPIC_NAME_INVALID: "row_topic_refused",
    PACKET_TOO_LARGE: "row_too_large", QUOTA_EXCEEDED: "row_quota_exceeded", PAYLOAD_FORMAT_INVALID: "row_format_refused",
}  # fmt: skip
_NO_NETWORK = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}
_CERTIFICATE = {
    9: "certificate_not_yet_valid",
    10: "certificate_expired",
    62: "certificate_of_another",
    64: "certificate_of_another",
}


class LinkProblem(NamedTuple):
    """A code of the catalogue, and the text of the kernel, the library or the broker."""

    code: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.code} ({self.detail})" if self.detail else self.code


class LinkLost(YinongError):  # noqa: N818
    """The connection is lost or could not be made; `problem` is the reason."""

    def __init__(self, problem: LinkProblem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Rejected(YinongError):  # noqa: N818
    """The broker rejected the packet (reason code of 0x80 or more in CONNACK, PUBACK or SUBACK)."""

    def __init__(self, problem: LinkProblem, code: int) -> None:
        super().__init__(str(problem))
        self.problem, self.code = problem, code


def from_connect(error: OSError) -> LinkProblem:
    """The problem of an attempt to connect: name lookup, TCP or TLS."""
    # with the text of `agent.uplink.tls`
    cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    detail = str(error) if isinstance(error, YinongError) else f"{type(error).__name__}: {error}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return LinkProblem(_CERTIFICATE.get(cause.verify_code, "certificate_not_trusted"), detail)
    if isinstance(cause, ssl.SSLError | YinongError):
        return LinkProblem("tls_failed", detail)
    if isinstance(error, socket.gaierror):
        return LinkProblem("no_such_server", detail)
    if isinstance(error, ConnectionRefusedError):
        return LinkProblem("server_not_running", detail)
    if isinstance(error, TimeoutError):
        return LinkProblem("server_unreachable", detail)
    if isinstance(error, ConnectionError):
        return LinkProblem("connection_cut", detail)
    return LinkProblem("no_network" if error.errno in _NO_NETWORK else "cannot_connect", detail)


def from_connack(code: int, detail: str, *, connecting: bool) -> LinkProblem:
    """The problem of a reason code in CONNACK (`connecting`) or DISCONNECT."""
    return LinkProblem(_CONNACK.get(code, "refused" if connecting else "disconnected"), f"{detail}, 0x{code:02X}")


def from_puback(code: int, detail: str, leaf: str) -> LinkProblem:
    """The problem of a reason code in the PUBACK of a message on a topic; of 0x80 or more, or no subscribers."""
    return LinkProblem(_PUBACK.get(code, "row_refused"), f"{leaf}: {detail}, 0x{code:02X}")
