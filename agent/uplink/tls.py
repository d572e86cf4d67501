"""TLS to the county's broker: the pinned authority, and a terminal whose clock is dead.

    settings, certificates_after -> CountyTls -> one context a connection -> _Socket.do_handshake -> MQTT

With a good clock certificates are checked as usual. While the time is unknown (`certificates_after` returns a floor instead of
None), the validity dates are not checked, for the county's own authority only: name, chain, key and purpose are checked as
always, and every certificate of the chain must expire after the floor, before anything but the handshake is sent.
Only for this connection, never to enrol or to accept an update: `docs/decisions/0016-tls-with-a-dead-clock.md`.
"""

import contextlib
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drivers.catalogue import refused_by_system
from drivers.reading import YinongError

NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, X509_VERIFY_PARAM_set_flags(3)

# X509_V_ERR_*, X509_STORE_CTX_get_error(3)
_VERIFY_ERRORS = {
    9: ("服务器证书尚未生效", "the broker's certificate is not valid yet"),
    10: ("服务器证书已过期", "the broker's certificate has expired"),
    18: ("服务器证书是自签名的，不是本县签发的", "the broker's certificate is self-signed, not the county's"),
    19: ("服务器证书不是本县签发的", "the broker's certificate is not from the county's authority"),
    20: ("服务器证书不是本县签发的", "the broker's certificate is not from the county's authority"),
    26: ("服务器证书的用途不对", "the broker's certificate is not for a server"),
    62: ("服务器证书是发给别的名字的", "the broker's certificate is for another name"),
    64: ("服务器证书是发给别的地址的", "the broker's certificate is for another address"),
}


# Alerts by which the broker ends the connection: the reason of an ssl.SSLError without its version (RFC 8446, 6.2)
_ALERTS = {
    "CERTIFICATE_REQUIRED": ("服务器要求本机出示证书", "the broker wants a certificate of this terminal"),
    "CERTIFICATE_EXPIRED": ("本机证书已过期", "this terminal's certificate has expired"),
    "CERTIFICATE_REVOKED": ("本机证书已被吊销", "this terminal's certificate was revoked"),
    "CERTIFICATE_UNKNOWN": ("服务器不接受本机证书", "the broker does not take this terminal's certificate"),
    "BAD_CERTIFICATE": ("服务器不接受本机证书", "the broker does not take this terminal's certificate"),
    "UNKNOWN_CA": (
        "服务器不认识签发本机证书的机构",
        "the broker does not know the authority of this terminal's certificate",
    ),
    "HANDSHAKE_FAILURE": (
        "双方没有共同的加密方式，或缺少本机证书",
        "no cipher in common, or no certificate of this terminal",
    ),
}


class TlsFileError(YinongError):
    """A certificate file cannot be used."""


class TlsHandshakeError(YinongError, OSError):
    """The handshake failed, or the broker's certificates are not sufficient; the text states the reason."""


class CountyContext(ssl.SSLContext):
    """Of one connection. `alert` is the reason in words why the broker ended it: with TLS 1.3 that comes after the handshake."""

    floor: datetime | None = None  # None: validity dates are checked
    alert = ""
    validity: tuple[datetime, datetime] | None = None  # of a chain accepted without a check of its dates


class CountyTls:
    """Makes the context of each connection; raises TlsFileError if a file cannot be used.

    `certificates_after` is called for every connection: None if the clock is good, else the moment after which every
    certificate must expire.
    """

    def __init__(
        self, ca_file: str, cert_file: str, key_file: Path | None, certificates_after: Callable[[], datetime | None]
    ) -> None:
        self._ca_file, self._cert_file, self._key_file = ca_file, cert_file, key_file
        self._certificates_after = certificates_after
        self._newest: CountyContext | None = None

    def __call__(self) -> CountyContext:
        context = CountyContext(ssl.PROTOCOL_TLS_CLIENT)  # checks chain and name
        try:
            context.load_verify_locations(self._ca_file)
            if self._cert_file:
                context.load_cert_chain(self._cert_file, str(self._key_file) if self._key_file else None)
        except (OSError, ssl.SSLError) as error:
            broken = isinstance(error, ssl.SSLError)
            why = "内容不是有效的证书或私钥" if broken else refused_by_system(error)
            raise TlsFileError(f"{why} / {error}") from error
        context.sslsocket_class = _Socket
        context.floor = self._certificates_after()
        if context.floor is not None:
            context.verify_flags |= NO_CHECK_TIME
        self._newest = context
        return context

    def outside_validity(self, now: datetime) -> bool:
        """Whether the newest connection relies on a certificate that would be rejected, now that the time is known."""
        times = self._newest.validity if self._newest else None
        return times is not None and not times[0] <= now <= times[1]


class _Socket(ssl.SSLSocket):
    """Reports in words why a connection failed, and ends it if a certificate expires before the floor."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            self._handshake(block)
        except BaseException:
            self.close()  # paho leaves it open
            raise

    def _handshake(self, block: bool) -> None:
        try:
            super().do_handshake(block)
        except ssl.SSLCertVerificationError as error:
            zh, en = _VERIFY_ERRORS.get(
                error.verify_code, ("服务器证书不可信", "the broker's certificate is not trusted")
            )
            raise TlsHandshakeError(f"{zh} / {en} ({error.verify_message})") from error
        except ssl.SSLError as error:
            raise TlsHandshakeError(
                _alert(error) or f"TLS 握手失败 / the TLS handshake failed: {error.reason}"
            ) from error
        context = self.context
        if isinstance(context, CountyContext) and context.floor is not None:
            chain = self._chain()
            if ended := expired_before(context.floor, chain):
                raise TlsHandshakeError(
                    f"证书早已过期 / a certificate expired before this program was made or last ran: {ended}"
                )
            context.validity = max(_time(c["notBefore"]) for c in chain), min(_time(c["notAfter"]) for c in chain)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except ssl.SSLError as error:
            self._note_alert(error)
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            with contextlib.suppress(OSError):
                self.recv(1)  # the broker's alert may be there
            raise

    def _note_alert(self, error: ssl.SSLError) -> None:
        if isinstance(self.context, CountyContext):
            self.context.alert = _alert(error) or self.context.alert

    def _chain(self) -> list[Mapping[str, Any]]:
        """The chain as OpenSSL verified it, the authority's certificate included.

        Public from Python 3.13 on, as DER only; the object below it has given the decoded ones since 3.10.
        """
        chain = getattr(self._sslobj, "get_verified_chain", lambda: None)()  # type: ignore[attr-defined]
        if not chain:
            raise TlsHandshakeError("证书无法核对 / the certificates cannot be looked at")
        return [certificate.get_info() for certificate in chain]


def expired_before(floor: datetime, chain: list[Mapping[str, Any]]) -> str:
    """The first certificate of a chain that expires before the floor, in words; "" if none does. Pure."""
    for certificate in chain:
        ends = _time(certificate["notAfter"])
        if ends < floor:
            names = dict(pair for (pair, *_) in certificate["subject"])
            return f"{names.get('commonName', '?')}, {ends:%Y-%m-%d} < {floor:%Y-%m-%d}"
    return ""


def _alert(error: ssl.SSLError) -> str:
    """The broker's alert in words; "" if the error is not an alert."""
    _, alert, name = (error.reason or "").partition("_ALERT_")
    zh, en = _ALERTS.get(name, ("服务器中止了 TLS 连接", f"the broker ended the TLS connection: {name.lower()}"))
    return f"{zh} / {en}" if alert else ""


def _time(words: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(words), UTC)
