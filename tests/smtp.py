"""A real SMTP server in the test's own event loop, with a certificate of its own where a test wants one."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTPUTF8
from functools import partial
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.core.clock import utc_now

USER, PASSWORD = "mail@example.com", "p@ss:w/rd"


@dataclass
class Inbox:
    """What the server has taken, and how it came."""

    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    had_tls: list[bool] = field(default_factory=list)
    logins: list[bool] = field(default_factory=list)

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content, policy=SMTPUTF8))
        self.recipients.append(envelope.rcpt_tos)
        self.had_tls.append(session.ssl is not None)
        return "250 OK"

    async def wait_for(self, number: int) -> list[EmailMessage]:
        async with asyncio.timeout(20):
            while len(self.messages) < number:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        return self.messages

    def authenticate(self, *arguments: Any) -> AuthResult:
        credentials = arguments[-1]
        assert isinstance(credentials, LoginPassword)
        fits = credentials == LoginPassword(USER.encode(), PASSWORD.encode())
        self.logins.append(fits)
        # Not `handled`: the server itself shall say 535.
        return AuthResult(success=fits, handled=fits)


@asynccontextmanager
async def smtp_server(
    tls: ssl.SSLContext | None = None, *, implicit: bool = False, **options: Any
) -> AsyncIterator[Inbox]:
    """Serve on a free port: STARTTLS where there is a context, TLS from the first byte if `implicit`."""
    inbox = Inbox()
    protocol = partial(
        SMTP,
        inbox,
        hostname="mail.test",
        tls_context=None if implicit else tls,
        authenticator=inbox.authenticate,
        **options,
    )
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=tls if implicit else None)
    inbox.port = server.sockets[0].getsockname()[1]
    try:
        yield inbox
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Accepts connections and never says a word."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def tls_contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's side, with a self-signed certificate for 127.0.0.1, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc_now() - timedelta(minutes=5))
        .not_valid_after(utc_now() + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    path = folder / "mail.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + pem
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=pem.decode())
