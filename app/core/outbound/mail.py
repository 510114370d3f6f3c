"""Sending mail: to a folder or to an SMTP server. What mails say is none of its business."""

import os
import secrets
import ssl
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from email.utils import localtime, make_msgid
from pathlib import Path
from typing import Protocol

import structlog
from anyio.to_thread import run_sync

from app.core.config.mail_url import MailFolder, MailServer, mail_route, parse_address, parse_mail_url
from app.core.config.private_files import make_private_folder
from app.core.config.settings import Settings
from app.core.security.domains import ascii_domain

log = structlog.get_logger()

TIMEOUT_SECONDS = 10.0


class Mailer(Protocol):
    async def send(self, message: EmailMessage) -> None:
        """Hand the message over.

        Raises:
            OSError, aiosmtplib.SMTPException: if it was not taken; their texts may hold addresses.
        """
        ...


class FileMailer:
    """Writes one `.eml` a message, named so that the newest sorts last; for development and tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def send(self, message: EmailMessage) -> None:
        await run_sync(self.write, message)

    def write(self, message: EmailMessage) -> None:
        # Mails hold links that open accounts: nobody else may read them.
        make_private_folder(self.folder)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}.eml"
        draft = self.folder / f".{name}"
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(message.as_bytes(policy=default.clone(utf8=True)))
            # Whoever watches the folder sees whole messages only.
            draft.rename(self.folder / name)
        finally:
            draft.unlink(missing_ok=True)


class SmtpMailer:
    """Sends each message over a connection of its own; the server's certificate is always verified."""

    def __init__(
        self, server: MailServer, *, tls_context: ssl.SSLContext | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        self.server = server
        # Made once: reading the system's certificates takes long enough to be felt by other requests.
        self.tls_context = tls_context or ssl.create_default_context()
        self.timeout = timeout

    async def send(self, message: EmailMessage) -> None:
        server = self.server
        import aiosmtplib  # noqa: PLC0415 - not for those who mail into files

        await aiosmtplib.send(
            message,
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.encryption == "tls",
            # None takes STARTTLS where the server offers it; True refuses to go on without.
            start_tls={"starttls": True, "opportunistic": None}.get(server.encryption, False),
            tls_context=self.tls_context,
            timeout=self.timeout,
        )


def open_mailer(settings: Settings) -> Mailer:
    """The mailer that MAIL_URL asks for: a folder in DATA_DIR unless it is set."""
    if settings.mail_url is None:
        if settings.is_exposed:
            log.warning("MAIL_URL is not set: mail is written to files and not delivered")
        return FileMailer(settings.data_dir / "mail")
    target = parse_mail_url(settings.mail_url.get_secret_value())
    return FileMailer(target.path) if isinstance(target, MailFolder) else SmtpMailer(target)


def compose(sender: Address, to: str, subject: str, text: str, html: str) -> EmailMessage:
    """A message in two forms, text and HTML, that says no human wrote it.

    Raises:
        ValueError: if `to` is not exactly one address, or a header would hold a line break.
    """
    message = EmailMessage()
    message["From"] = mail_route(sender)
    message["To"] = mail_route(parse_address(to))
    message["Subject"] = subject
    message["Date"] = localtime()
    # With the domain given: asking the system for its name may wait for a DNS server.
    message["Message-ID"] = make_msgid(domain=ascii_domain(sender.domain))
    # RFC 3834: keeps out-of-office replies from answering.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text, cte=transfer_encoding(text))
    message.add_alternative(html, subtype="html", cte=transfer_encoding(html))
    return message


def transfer_encoding(text: str) -> str:
    """Never quoted-printable, which would break long links for whoever reads the file as it is."""
    return "7bit" if text.isascii() else "8bit"
