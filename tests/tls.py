"""A certificate authority of the tests' own, and PostgreSQL's side of TLS with a certificate of it."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.standin import StandIn


class Authority:
    """Signs certificates, and keeps all of them in a folder as PEM."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tests")])
        self.key = ec.generate_private_key(ec.SECP256R1())
        own = x509.BasicConstraints(ca=True, path_length=None)
        self.path = self.write("ca", self.sign(self.name, self.key, own), self.key)[0]

    def sign(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> bytes:
        builder = (
            x509.CertificateBuilder(self.name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(days=1))
            .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, host: str) -> tuple[Path, Path]:
        """A certificate for a host or a client of that name, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        return self.write(host, self.sign(name, key, x509.SubjectAlternativeName([x509.DNSName(host)])), key)

    def write(self, name: str, certificate: bytes, key: ec.EllipticCurvePrivateKey) -> tuple[Path, Path]:
        paths = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        for path, content in zip(paths, (certificate, private), strict=True):
            path.write_bytes(content)
            path.chmod(0o600)
        return paths


class TlsStandIn(StandIn):
    """Refuses everyone, but once they have agreed on TLS; knows which names and certificates it was shown."""

    def __init__(self, code: str, authority: Authority, host: str) -> None:
        super().__init__(code)
        self.names: list[str | None] = []
        self.clients: list[object] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_verify_locations(authority.path)
        self.context.load_cert_chain(*authority.issue(host))
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.context.set_alpn_protocols(["postgresql"])
        self.context.sni_callback = lambda _, name, __: self.names.append(name)

    async def serve_tls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == struct.pack("!II", 8, 80877103)
        writer.write(b"S")
        try:
            await writer.start_tls(self.context)
        except (ssl.SSLError, ConnectionError):
            writer.close()
            return
        self.clients.append(writer.get_extra_info("peercert"))
        await self.serve(reader, writer)


@asynccontextmanager
async def tls_server(authority: Authority, host: str) -> AsyncIterator[tuple[TlsStandIn, int]]:
    server = TlsStandIn("3D000", authority, host)
    async with await asyncio.start_server(server.serve_tls, "127.0.0.1", 0) as listener:
        yield server, listener.sockets[0].getsockname()[1]
