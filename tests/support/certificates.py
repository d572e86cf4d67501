"""Certificates for tests, made on demand: a county's authority, brokers and terminals, with any validity dates."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
USUAL = (NOW - DAY, NOW + 365 * DAY)
Times = tuple[datetime, datetime]


class Pair(NamedTuple):
    """A certificate (with its intermediate ones) and its key, as files."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority. `under` makes an intermediate one, whose certificate is added to those that it signs."""

    def __init__(
        self, folder: Path, name: str = "county", times: Times = USUAL, above: "Authority | None" = None
    ) -> None:
        self._folder, self._name, self._above = folder, name, above
        self._key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self._cert = self._signed(
            name,
            self._key,
            times,
            above or self,
            [(x509.BasicConstraints(ca=True, path_length=None), True), (usage, True)],
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._cert.public_bytes(Encoding.PEM))

    def under(self, name: str, times: Times = USUAL) -> "Authority":
        return Authority(self._folder, name, times, self)

    def server(self, name: str = "127.0.0.1", times: Times = USUAL) -> Pair:
        try:
            alternative: x509.GeneralName = x509.IPAddress(ip_address(name))
        except ValueError:
            alternative = x509.DNSName(name)
        return self._pair(f"broker-{name}", times, [x509.SubjectAlternativeName([alternative])], "SERVER_AUTH")

    def terminal(self, name: str, times: Times = USUAL) -> Pair:
        return self._pair(name, times, [], "CLIENT_AUTH")

    def _pair(self, name: str, times: Times, more: list[x509.ExtensionType], purpose: str) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([getattr(ExtendedKeyUsageOID, purpose)])
        cert = self._signed(name, key, times, self, [(one, False) for one in (usage, *more)])
        pair = Pair(self._folder / f"{self._name}-{name}.crt", self._folder / f"{self._name}-{name}.key")
        chain = cert.public_bytes(Encoding.PEM)
        if self._above:
            chain += self._cert.public_bytes(Encoding.PEM)
        pair.cert.write_bytes(chain)
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        pair.key.chmod(0o600)
        return pair

    def _signed(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        times: Times,
        by: "Authority",
        extensions: list[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(by._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(times[0])
            .not_valid_after(times[1])
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by._key.public_key()), False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(by._key, hashes.SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
