"""Real servers on loopback: one that sends given bytes, plain or over TLS."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Path of the request -> what the server sends: bytes, or None to stay silent; "…" at the end keeps the connection open.
Script: TypeAlias = dict[str, bytes | None]
Serve: TypeAlias = Callable[..., AbstractAsyncContextManager[int]]
HOLD = b"<hold>"


@asynccontextmanager
async def _serve(
    script: Script, tls: ssl.SSLContext | None = None, seen: list[bytes] | None = None
) -> AsyncIterator[int]:
    closing = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if seen is not None:
                seen.append(head)
            raw = script.get(head.split(b" ")[1].decode(), b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\n.")
            writer.write((raw or b"").removesuffix(HOLD))
            await writer.drain()
            if raw is None or raw.endswith(HOLD):
                await closing.wait()
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        closing.set()
        server.close()
        await server.wait_closed()


@pytest.fixture
def serve() -> Serve:
    return _serve


@pytest.fixture
def certificate(tmp_path: Path) -> Callable[..., ssl.SSLContext]:
    """A self-signed certificate for a host, valid from and for a number of days; trusted if its file is named so."""

    def make(host: str = "localhost", from_day: int = -1, days: int = 30) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        start = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=from_day)
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        (tmp_path / "cert.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
        (tmp_path / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        return context

    return make
